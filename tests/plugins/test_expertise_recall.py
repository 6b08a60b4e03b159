"""What a session is told: found by files, words, category and meaning, within a budget, no two alike."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from inspect import isawaitable
from threading import Thread
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from yoke_expertise import begin_run, recall, runs
from yoke_expertise.embed import embed, fill
from yoke_expertise.memories import Draft, change, retire, save, save_all
from yoke_expertise.rank import Candidate, Wanted, choose, render, score
from yoke_expertise.telling import chosen_for
from yokeflow.config import Config, Embeddings, Learning
from yokeflow.model import Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.plugins.lab import Lab
    from yoke_expertise.memories import Memory
    from yokeflow.model import Attempt

NOW = datetime(2026, 1, 1, tzinfo=UTC)
USES = text("SELECT memory_id, held_out FROM memory_uses WHERE session_id = CAST(:session AS uuid)")
#: Keeps nothing back.
ALL = Config(learning=Learning(holdout=None))


def _note(content: str, **more: Any) -> Draft:
    return Draft(**{"domain": "general", "kind": "note", "content": content, "confidence": 0.8, **more})


async def _save(lab: Lab, *drafts: Draft) -> list[Memory]:
    async with lab.store.begin() as conn:
        return await save_all(conn, lab.project, drafts, actor="test")


async def _told(lab: Lab, task: Task, config: Config = ALL) -> str:
    lab.tasks[task.id] = task
    attempt = lab.attempt(task.id)
    return "\n\n".join(await _recalled(attempt, config, lab))


async def _recalled(attempt: Attempt, config: Config, lab: Lab) -> Sequence[str]:
    answer = recall(attempt, config, lab.host(attempt))
    return await answer if isawaitable(answer) else answer


def _candidate(content: str, **more: Any) -> Candidate:
    id_ = uuid4()
    base = Candidate(id_, str(id_), "note", content, "general", 5, 0.5, NOW)
    return replace(base, **{"words": 1.0, **more})


async def test_lessons_are_found_by_file_glob_and_folder(lab: Lab) -> None:
    await _save(
        lab,
        _note("Alpha.", domain="security", files=("src/api/users.py",)),
        _note("Beta.", domain="security", files=("src/web/page.tsx",)),
        _note("Gamma.", domain="security", files=("100%/sure_1.txt",)),
        _note("Delta.", domain="security", files=("100x/sureX1.txt",)),
    )
    for files, found in (
        (("src/api/users.py",), "Alpha."),
        (("src/api/**",), "Alpha."),
        (("src/api",), "Alpha."),
        (("src/api/u*.py",), "Alpha."),
        (("**/*.tsx",), "Beta."),
        (("100%/*_1.txt",), "Gamma."),
    ):
        told = await _told(lab, Task("t", "e", "x", files=files))
        assert told == f"**Good practice here**\n\n- {found}", files
    assert await _told(lab, Task("t", "e", "x", files=("other/**",))) == ""


async def test_lessons_are_found_by_words_of_paths_and_names(lab: Lab) -> None:
    await _save(
        lab,
        _note("Invoices are rounded in billing_total.", domain="api"),
        _note("The parser needs a grammar.", domain="api"),
    )
    assert "Invoices" in await _told(
        lab, Task("t", "e", "Fix it", prompt="rounding of an invoice & total: 'x' | !")
    )
    assert "Invoices" in await _told(lab, Task("t", "e", "Change src/billing_total.py"))
    assert await _told(lab, Task("t", "e", "the a of")) == ""


async def test_lessons_are_found_by_category_and_domain(lab: Lab) -> None:
    await _save(
        lab,
        _note("For release work.", domain="api", categories=("release",)),
        _note("For tables.", domain="database"),
    )
    assert "For release work." in await _told(lab, Task("t", "e", "x", category="release"))
    assert (
        await _told(lab, Task("t", "e", "Add an sql migration")) == "**Good practice here**\n\n- For tables."
    )


async def test_what_is_retired_expired_or_unsure_is_not_told(lab: Lab) -> None:
    past = datetime.now(UTC) - timedelta(days=1)
    gone, _, _, unsure, _ = await _save(
        lab,
        _note("A gone one.", key="1"),
        _note("B expired one.", key="2", expires_at=past),
        _note("C good one.", key="3"),
        _note("D unsure one.", key="4", confidence=0.3),
        _note("E pinned one about nothing.", key="5", domain="api", pinned=True, confidence=0.1),
    )
    async with lab.store.begin() as conn:
        await retire(conn, gone.id, "test")
    told = await _told(lab, Task("t", "e", "one"))
    assert told == "**Good practice here**\n\n- E pinned one about nothing.\n- C good one."
    async with lab.store.begin() as conn:
        await change(conn, unsure.id, unsure.version, actor="test", confidence=0.5)
    assert "D unsure one." in await _told(lab, Task("t", "e", "one"))


async def test_other_projects_lessons_are_not_told(lab: Lab) -> None:
    async with lab.store.begin() as conn:
        other = await conn.scalar(
            text("INSERT INTO projects (repo_key, name) VALUES ('other', 'other') RETURNING id")
        )
        await save(conn, other, _note("Secret of others.", pinned=True), actor="test")
    assert await _told(lab, Task("t", "e", "secret of others")) == ""


async def test_what_is_told_and_kept_back_is_recorded_and_stays(lab: Lab) -> None:
    kinds = ["note"] * 5 + ["co_change"] * 5 + ["check"] * 3 + ["command"] * 3
    drafts = [_note(f"Rule{n} word{n} for{n} thing{n}.", kind=kind) for n, kind in enumerate(kinds)]
    lessons = await _save(lab, *drafts)
    config = Config(learning=Learning(holdout=2))
    arms: list[tuple[frozenset[str], frozenset[str]]] = []
    await lab.plan(Task("t1", "e1", "x"), Task("t2", "e2", "x"))
    for task, number in (("t1", 1), ("t1", 2), ("t2", 1)):
        attempt = lab.attempt(task, number)
        lab.start(attempt)
        told = "\n\n".join(await _recalled(attempt, config, lab))
        await lab.drain()
        async with lab.store.begin() as conn:
            rows = (await conn.execute(USES, {"session": attempt.session})).all()
        given = frozenset(str(row.memory_id) for row in rows if not row.held_out)
        kept = frozenset(str(row.memory_id) for row in rows if row.held_out)
        assert given
        assert kept
        assert len(rows) == 16
        for lesson in lessons:
            assert (lesson.content in told) == (str(lesson.id) in given)
        arms.append((given, kept))
    # Attempts at one task are in one arm; another task is dealt anew.
    assert arms[0] == arms[1] != arms[2]
    async with lab.store.begin() as conn:
        counted = await conn.scalar(text("SELECT sum(access_count) FROM memories"))
    assert counted == sum(len(given) for given, _ in arms)


async def test_nothing_is_told_or_recorded_without_a_fit_or_when_off(lab: Lab) -> None:
    await _save(lab, _note("A lesson.", pinned=True))
    for learning in (Learning(enabled=False), Learning(recall_tokens=0)):
        assert await _told(lab, Task("t", "e", "lesson"), Config(learning=learning)) == ""
    await lab.drain()
    async with lab.store.begin() as conn:
        assert await conn.scalar(text("SELECT count(*) FROM events WHERE type LIKE 'expertise%'")) == 0


async def test_the_store_is_not_asked_while_there_is_nothing_to_tell(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    await begin_run(ALL, lab.host())
    lab.tasks["t"] = Task("t", "e", "lesson")
    attempt = lab.attempt("t")
    assert recall(attempt, ALL, lab.host(attempt)) == []
    # Another process teaches something during the run, and later this one too.
    await _save(lab, _note("A lesson.", pinned=True))
    assert recall(attempt, ALL, lab.host(attempt)) == []
    monkeypatch.setattr(runs, "LOOK_AGAIN", 0.0)
    assert "A lesson." in await _told(lab, lab.tasks["t"])
    assert runs.remembered(lab.host()).has_lessons
    async with lab.store.begin() as conn:
        await conn.execute(text("UPDATE memories SET status = 'archived'"))
    await begin_run(ALL, lab.host())
    monkeypatch.setattr(runs, "LOOK_AGAIN", 60.0)
    assert await _told(lab, lab.tasks["t"]) == ""
    assert runs.remembered(lab.host()).has_lessons is False
    runs.remembered(lab.host()).saved()
    assert runs.remembered(lab.host()).has_lessons


async def test_a_run_goes_on_while_the_database_is_away(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    await _save(lab, _note("A lesson.", pinned=True))
    async with lab.store.begin() as conn:
        await conn.execute(text("ALTER TABLE memories RENAME TO away"))
    assert await _told(lab, Task("t", "e", "lesson")) == ""
    assert "nothing is recalled for t" in caplog.text


def test_near_duplicates_are_told_once() -> None:
    one = _candidate("Run the tests with make test before you finish.", importance=9)
    two = _candidate("Before you finish, run the tests with make test!")
    three = _candidate("Never change the lock file.")
    assert choose([two, three, one], Wanted(), 500, NOW) == [one, three]
    near = [
        _candidate("Say A.", vector=(1.0, 0.1), importance=9),
        _candidate("Tell me of it.", vector=(1.0, 0.0)),
    ]
    assert choose(near, Wanted(), 500, NOW) == near[:1]


def test_the_budget_is_kept_and_filled() -> None:
    long, short = _candidate("x" * 300, importance=9), _candidate("Short.")
    assert choose([long, short], Wanted(), 20, NOW) == [short]
    assert choose([long, short], Wanted(), 120, NOW) == [long, short]
    for tokens in range(5, 200, 7):
        many = [_candidate(f"{n} {'word' * n}") for n in range(20)]
        told = "\n\n".join(render(choose(many, Wanted(), tokens, NOW)))
        assert len(told) <= tokens * 3.5


def test_a_group_takes_so_many_and_pinned_ones_beside() -> None:
    failures = [_candidate(f"Failure{n} a{n} b{n}.", kind="failure_fix") for n in range(5)]
    assert len(choose(failures, Wanted(), 5000, NOW)) == 3
    pinned = [replace(each, pinned=True) for each in failures]
    assert len(choose(pinned, Wanted(), 5000, NOW)) == 5


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"files": ("a.py",)}, {}),
        ({"words": 1.0}, {"words": 0.3}),
        ({"meaning": 0.9, "words": 0.1}, {"words": 0.1}),
        ({"categories": ("c",)}, {}),
        ({"importance": 9}, {}),
        ({"confidence": 0.9}, {}),
        ({"effect": 0.9}, {}),
        ({}, {"effect": 0.1}),
        ({}, {"created_at": NOW - timedelta(days=30)}),
        ({}, {"status": "disputed", "files": ("a.py",)}),
        ({"pinned": True, "words": 0.0}, {"importance": 9, "confidence": 0.9}),
    ],
)
def test_each_part_of_the_score_counts(better: dict[str, Any], worse: dict[str, Any]) -> None:
    wanted = Wanted(("a.py",), "c", "testing")
    one, other = (score(_candidate("x", **each), wanted, 1.0, NOW) for each in (better, worse))
    assert one is not None
    assert other is not None
    assert one.score > other.score


def test_what_only_is_important_is_not_told() -> None:
    assert score(_candidate("x", words=0.0, importance=10, confidence=1.0), Wanted(), 1.0, NOW) is None


@dataclass
class Endpoint:
    """An OpenAI-compatible server whose vectors know three subjects; what it was asked."""

    url: str = ""
    status: int = 200
    keys: list[str | None] = field(default_factory=list)
    asked: list[list[str]] = field(default_factory=list)
    size: int = 3

    def vector(self, said: str) -> list[float]:
        groups = (("kitten", "cat", "feline"), ("ship", "boat"), ("tea", "coffee"))
        found = [float(sum(said.lower().count(word) for word in group)) + 0.01 for group in groups]
        return (found + [0.0] * self.size)[: self.size]


@contextmanager
def _serving(endpoint: Endpoint) -> Iterator[Endpoint]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
            endpoint.keys.append(self.headers["Authorization"])
            endpoint.asked.append(said)
            data = [{"index": n, "embedding": endpoint.vector(each)} for n, each in enumerate(said)]
            body = json.dumps({"data": data[::-1]}).encode()
            self.send_response(endpoint.status)
            if endpoint.status == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silence."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        endpoint.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        try:
            yield endpoint
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with _serving(Endpoint()) as serving:
        yield serving


def _meaning(endpoint: Endpoint, **more: Any) -> Learning:
    embeddings = Embeddings(url=endpoint.url, model="m", key_env="TEST_KEY", **more)
    return Learning(holdout=None, embeddings=embeddings)


async def test_lessons_are_found_by_meaning(
    lab: Lab, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", "sesame")
    learning = _meaning(endpoint)
    await _save(lab, _note("Feed the feline.", domain="api"), _note("Paint the boat.", domain="api"))
    assert await fill(lab.host(), learning.embeddings) == 2
    assert await fill(lab.host(), learning.embeddings) == 0
    told = await _told(lab, Task("t", "e", "kitten"), Config(learning=learning))
    assert "Feed the feline." in told
    assert "Paint" not in told.splitlines()[2]
    assert set(endpoint.keys) == {"Bearer sesame"}
    # Kept beside the lesson: only the task is asked for.
    assert endpoint.asked[-1] == ["kitten\n"]


async def test_no_secret_of_a_prompt_or_a_lesson_is_sent(lab: Lab, endpoint: Endpoint) -> None:
    learning, secret = _meaning(endpoint), "ghp_" + "a1B2" * 10
    await _save(lab, _note(f"Feed the feline with {secret}."))
    await fill(lab.host(), learning.embeddings)
    # One at a place where a prompt is cut.
    for before in ("kitten ", "x " * 1_992, "x " * 3_992):
        await chosen_for(Task("t", "e", "kitten", f"{before}{secret} kitten"), learning, lab.host())
    assert len(endpoint.asked) == 4
    assert "ghp_" not in str(endpoint.asked)


async def test_a_changed_lesson_gets_a_new_vector(lab: Lab, endpoint: Endpoint) -> None:
    learning = _meaning(endpoint)
    (lesson,) = await _save(lab, _note("Feed the feline."))
    await fill(lab.host(), learning.embeddings)
    async with lab.store.begin() as conn:
        await change(conn, lesson.id, lesson.version, actor="test", content="Paint the boat.")
    assert await fill(lab.host(), learning.embeddings) == 1
    (found,) = await chosen_for(Task("t", "e", "ship"), learning, lab.host())
    assert found.meaning > 0.99


async def test_of_many_lessons_of_other_projects_none_hides_the_own(lab: Lab, endpoint: Endpoint) -> None:
    learning = _meaning(endpoint)
    async with lab.store.begin() as conn:
        other = await conn.scalar(
            text("INSERT INTO projects (repo_key, name) VALUES ('other', 'other') RETURNING id")
        )
        await conn.execute(
            text("""WITH fresh AS (
                        INSERT INTO memories (project_id, key, domain, content)
                        SELECT :project, n::text, 'api', 'kitten ' || n
                        FROM generate_series(1, 300) n RETURNING id)
                    INSERT INTO memory_embeddings SELECT id, 'm', '{1,0,0}'::real[], '' FROM fresh"""),
            {"project": other},
        )
    await _save(lab, _note("Feed the feline.", domain="api"))
    await fill(lab.host(), learning.embeddings)
    (found,) = await chosen_for(Task("t", "e", "cat"), learning, lab.host())
    assert found.content == "Feed the feline."


async def test_without_an_answer_words_alone_count(
    lab: Lab, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    learning = _meaning(endpoint)
    await _save(lab, _note("Feed the feline.", domain="api"))
    await fill(lab.host(), learning.embeddings)
    for status in (500, 302, 401):
        endpoint.status = status
        assert await embed(["x"], learning.embeddings) is None
        assert "Feed" in await _told(lab, Task("t", "e", "feline"), Config(learning=learning))
    assert "searched by words alone" in caplog.text
    # A redirect is not followed: it would carry the key elsewhere.
    assert len(endpoint.asked) == 7
    endpoint.status, endpoint.size = 200, 2
    assert "Feed" in await _told(lab, Task("t", "e", "feline"), Config(learning=learning))
    nowhere = Embeddings(url="http://127.0.0.1:1/v1")
    assert await embed(["x"], nowhere) is None
    assert await embed(["x"], Embeddings(url="file:///etc")) is None
    assert await embed(["x"], Embeddings()) is None
