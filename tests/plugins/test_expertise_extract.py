"""What a finished session teaches without a model: from its checks, files, commands and conflicts."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from yoke_expertise import begin_run, learn
from yoke_expertise.domains import domain_of
from yoke_expertise.extract import Case, Failed, lessons_of, recurring, together
from yoke_expertise.memories import Draft, find, retire, save
from yoke_expertise.reflect import parse
from yoke_expertise.shell import parts_of
from yoke_expertise.signature import signature, telling_lines
from yoke_expertise.transcripts import Command, commands_in, worked
from yokeflow.config import Config, Learning
from yokeflow.engine.decisions.hosting import Lent
from yokeflow.model import AgentReport, Failure, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.plugins.lab import Lab
    from yoke_expertise.memories import Memory

DOMAINS = Learning().domains
KEY = "ghp_" + "a1B2" * 10
OUTPUT = f"""\
tests/test_api.py F
\x1b[31mE       AssertionError: expected 200, got 401 for token {KEY}\x1b[0m
E       assert 401 == 200
=== 1 failed, 3 passed in 0.5s ===
"""


def _uuid() -> str:
    return str(uuid4())


async def _lessons(lab: Lab, kind: str | None = None) -> list[Memory]:
    async with lab.store.begin() as conn:
        return await find(conn, lab.project, kind=kind, status=())


def test_telling_lines_name_what_is_wrong_and_hold_no_secret() -> None:
    lines = telling_lines(OUTPUT)
    assert lines[0].startswith("E AssertionError: expected 200, got 401 for token [redacted]")
    assert lines[1] == "E assert 401 == 200"
    assert KEY not in " ".join(lines)
    assert telling_lines("make: *** [test] Error 1\n\nfoo.c:3: error: no such thing\n") == (
        "foo.c:3: error: no such thing",
    )
    assert telling_lines("one\ntwo\nthree\nfour\n") == ("two", "three", "four")
    assert telling_lines("") == ()


def test_a_secret_is_gone_before_a_line_is_cut() -> None:
    (line,) = telling_lines(f"Error: {'x' * 190} {KEY}\n")
    assert len(line) <= 200
    assert "ghp_" not in line


def test_failures_that_differ_in_numbers_and_folders_are_the_same() -> None:
    one = signature("ValueError: /tmp/a1/shop/x.py has 17 lines (0xdeadbeef)\n")
    assert one == signature("ValueError: /home/me/x.py has 4 lines (0x12)\n")
    assert one != signature("ValueError: /home/me/y.py has 4 lines (0x12)\n")
    assert signature("") == ""


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("pytest -q tests/ 2>&1 | tail -20", ("pytest -q tests/",)),
        ("cd web && npm run build", ("npm run build",)),
        ("bash -lc 'cargo test --all && cargo fmt'", ("cargo test --all", "cargo fmt")),
        ("CI=1 uv run pytest", ("uv run pytest",)),
        (".venv/bin/pytest -x || true", (".venv/bin/pytest -x",)),
        ("cat makefile; ls", ()),
        ("python - <<'EOF'\nimport os\nEOF", ()),
        ("makeup", ()),
        ("", ()),
        ("pytest -q > out.txt 2>&1", ("pytest -q",)),
        ("pytest -k 'a; b | c' && ruff check &>/dev/null", ("pytest -k 'a; b | c'", "ruff check")),
        ("pytest $(git ls-files | grep test)", ()),
        ("(cd web; npm test)", ()),
    ],
)
def test_commands_that_build_and_test_are_found_in_shell(script: str, found: tuple[str, ...]) -> None:
    assert tuple(part.text for part in parts_of(script)) == found


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("pytest -q", [True]),
        ("pytest -q > out.txt 2>&1;", [True]),
        ("cd web && npm ci && npm test", [True, True]),
        ("pytest -q 2>&1 | tail -20", [False]),
        ("pytest -q |& sort", [False]),
        ("mypy . | tail -1 && pytest", [False, True]),
        ("mypy . && pytest | tail -1", [False, False]),
        ("pytest || true", [False]),
        ("pytest || echo failed", [False]),
        ("make lint; make test", [False, True]),
        ("make serve & make test", [False, True]),
        ("make test; echo done", [False]),
    ],
)
def test_a_line_that_succeeds_tells_of_what_its_exit_status_is_about(script: str, told: list[bool]) -> None:
    assert [part.told for part in parts_of(script)] == told


def test_what_nobody_saw_succeed_is_no_command_that_works(tmp_path: Path) -> None:
    def ran(id_: str, result: str, **given: object) -> list[str]:
        use = {"type": "tool_use", "id": id_, "name": "Bash", "input": given}
        answer = {"type": "tool_result", "tool_use_id": id_, "is_error": False, "content": result}
        return [json.dumps({"message": {"content": [part]}}) for part in (use, answer)]

    lines = [
        *ran("a", "5 failed", command="pytest -q 2>&1 | tail -20"),
        *ran("b", "2 errors", command="mypy . || true"),
        *ran("c", "", command="make lint; make test"),
        *ran("d", "Running in the background", command="make serve", run_in_background=True),
        *ran("e", "", command="ruff check"),
        *ran("f", "", command="ruff check | head"),
        "$ tox",
    ]
    (tmp_path / "output.log").write_text("\n".join(lines))
    assert worked(commands_in(tmp_path / "output.log")) == ("make test", "ruff check")


def test_transcripts_of_all_kinds_are_read(tmp_path: Path) -> None:
    def use(id_: str, command: str) -> str:
        part = {"type": "tool_use", "id": id_, "name": "Bash", "input": {"command": command}}
        return json.dumps({"type": "assistant", "message": {"content": [part]}})

    def result(id_: str, *, error: bool) -> str:
        part = {"type": "tool_result", "tool_use_id": id_, "is_error": error}
        return json.dumps({"type": "user", "message": {"content": [part]}})

    def codex(command: str, code: int) -> str:
        item = {"type": "command_execution", "command": command, "exit_code": code}
        return json.dumps({"type": "item.completed", "item": item})

    lines = [
        use("a", "make lint"),
        use("b", "pytest -q"),
        result("b", error=True),
        result("a", error=False),
        use("c", "pytest -q"),
        result("c", error=False),
        codex("bash -lc 'tox -e py'", 1),
        codex("go test ./...", 0),
        "$ npm test",
        "npm test is not a command here",
        '{"type": "assistant", "message": {"content": [{"type": "tool_use"',
        '{"message": 3}',
        use("d", f"make deploy TOKEN={KEY}"),
    ]
    path = tmp_path / "output.log"
    path.write_text("\n".join(lines))
    found = commands_in(path)
    assert found[:3] == (
        Command("pytest -q", ok=False),
        Command("make lint", ok=True),
        Command("pytest -q", ok=True),
    )
    assert KEY not in repr(found)
    assert worked(found) == (
        "make lint",
        "pytest -q",
        "go test ./...",
    )
    assert commands_in(tmp_path / "none") == ()


def test_a_huge_transcript_is_read_in_part(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    path.write_bytes(
        b"$ make one\n" + b"x" * 300_000 + b"\n$ make two\n" + b"y\n" * 2_500_000 + b"$ make three\n"
    )
    assert [each.text for each in commands_in(path)] == ["make one", "make two"]


@pytest.mark.parametrize(
    ("said", "paths", "domain"),
    [
        ("Add a column to the users table", (), "database"),
        ("Change the colour", ("src/components/Button.tsx",), "frontend"),
        ("Write tests", ("tests/test_login.py",), "testing"),
        ("Rotate the token after login", (), "security"),
        ("Say hello", (), "general"),
    ],
)
def test_the_domain_comes_from_words_and_paths(said: str, paths: Sequence[str], domain: str) -> None:
    assert domain_of(said, paths, DOMAINS) == domain


def test_only_configured_domains_are_given() -> None:
    assert domain_of("Add a column to the table", (), ("billing", "core")) == "core"
    assert domain_of("A bill", ("billing/total.py",), ("billing", "core")) == "billing"
    assert domain_of("Anything", (), DOMAINS, "api") == "api"


def _fixed(**more: Any) -> Case:
    failed = Failed("check `pytest -q` failed (exit code 1)", OUTPUT, fixed_by=("src/auth.py",))
    values: dict[str, Any] = {"changed": ("src/auth.py", "src/other.py"), "earlier": (failed,), **more}
    return Case(_uuid(), "t1", "completed", title="Log in", category="code", **values)


def test_a_failure_and_its_fix_become_a_lesson() -> None:
    (lesson,) = lessons_of(_fixed(), DOMAINS)
    assert lesson.kind == "failure_fix"
    assert lesson.content.startswith("If you see `pytest -q` failing with “E AssertionError: expected 200")
    assert "look at `src/auth.py`: changing that fixed it before" in lesson.content
    assert lesson.files == ("src/auth.py",)
    assert KEY not in lesson.content + lesson.subject
    (again,) = lessons_of(_fixed(), DOMAINS)
    assert again.key == lesson.key


def test_nothing_is_learned_from_a_failure_that_no_check_found() -> None:
    failed = Failed("the agent took longer than its timeout and was stopped after 9 s", "Error: x")
    assert lessons_of(_fixed(earlier=(failed,)), DOMAINS) == []
    assert (
        lessons_of(_fixed(changed=(), earlier=(Failed("check `a` failed (exit code 1)", OUTPUT),)), DOMAINS)
        == []
    )


def test_a_hand_over_that_conflicts_names_the_files() -> None:
    reason = "the work of e2 conflicts with that of e1 in src/a.py, src/b.py"
    (lesson,) = lessons_of(Case(_uuid(), "t", "failed", reason=reason), DOMAINS)
    assert (lesson.kind, lesson.files) == ("conflict", ("src/a.py", "src/b.py"))
    assert "the work of e1 met that of e2" in lesson.content


def test_a_check_that_fails_alike_in_two_tasks_is_told() -> None:
    reason = "check `make lint` failed (exit code 2)"
    failures = [
        (_uuid(), "t1", reason, "a.py:3: error: unused import x\n"),
        (_uuid(), "t1", reason, "a.py:9: error: unused import x\n"),
    ]
    assert recurring(failures, DOMAINS) == []
    (lesson,) = recurring([*failures, (_uuid(), "t2", reason, "a.py:5: error: unused import x\n")], DOMAINS)
    assert lesson.content.startswith("Run `make lint` before you finish: it failed with “a.py:")
    assert lesson.evidence["tasks"] == ["t1", "t2"]
    assert len(lesson.evidence["sessions"]) == 3


def test_files_that_change_together_more_than_by_chance() -> None:
    sessions: dict[str, tuple[str, ...]] = {_uuid(): ("api.py", "schema.json", "README") for _ in range(4)}
    sessions.update({_uuid(): ("README", f"other{n}.py") for n in range(6)})
    found = together(sessions, DOMAINS)
    # README changes with everything, so it belongs to nothing.
    assert [lesson.files for lesson in found.lessons] == [("api.py", "schema.json")]
    assert len(found.lessons[0].evidence["sessions"]) == 4
    assert found.refuted == frozenset()
    apart: dict[str, tuple[str, ...]]
    apart = {_uuid(): (path,) for path in ("api.py", "schema.json") for _ in range(12)}
    assert found.lessons[0].key in together(sessions | apart, DOMAINS).refuted
    assert found.lessons[0].key in together(apart, DOMAINS).refuted
    assert together({_uuid(): ("a", "b") for _ in range(2)}, DOMAINS).lessons == ()


def test_a_session_that_changes_everything_shows_nothing() -> None:
    many = tuple(f"f{n}.py" for n in range(60))
    assert together({_uuid(): many for _ in range(5)}, DOMAINS).lessons == ()


async def _two_attempts(lab: Lab, task: str = "t1") -> tuple[Any, Path]:
    """One that fails its check, and one that fixes it; the result of the second and its transcript."""
    base = await lab.head()
    broken = await lab.commit(base, {"src/auth.py": "no\n", "src/form.py": "form\n"})
    first = lab.attempt(task)
    lab.start(first, base)
    reason = "check `pytest -q` failed (exit code 1)"
    lab.finish(first, "failed", reason=reason, output=OUTPUT, base_commit=base, head_commit=broken)
    fixed = await lab.commit(base, {"src/auth.py": "yes\n", "src/form.py": "form\n"})
    second = lab.attempt(task, 2, [Failure(reason, OUTPUT)])
    lab.start(second, base)
    result = lab.finish(second, base_commit=base, head_commit=fixed)
    return result, lab.transcript(second, "make test")


async def test_the_fix_is_what_differs_between_the_attempts(lab: Lab) -> None:
    await lab.plan(Task("t1", "e1", "Log in"))
    result, transcript = await _two_attempts(lab)
    await lab.drain()
    await learn(result, transcript, Config(), lab.host(result.attempt))
    (lesson,) = await _lessons(lab, "failure_fix")
    # Both attempts wrote the form; only the other file made the difference.
    assert lesson.files == ("src/auth.py",)
    (command,) = await _lessons(lab, "command")
    assert command.content.startswith("Use `make test`")
    await lab.drain()
    async with lab.store.begin() as conn:
        payload = await conn.scalar(text("SELECT payload FROM events WHERE type = 'expertise.learned'"))
        everything = await conn.scalar(text("SELECT string_agg(memory_log::text, ' ') FROM memory_log"))
    assert {item["change"] for item in payload["items"]} == {"learned"}
    assert everything
    assert KEY not in everything


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ({"src/auth.py": "yes\n", "src/same.py": "same\n"}, [("src/auth.py",)]),
        # It is right by the work of others.
        ({"src/auth.py": "no\n", "src/same.py": "same\n"}, []),
    ],
)
async def test_work_of_others_that_came_between_the_attempts_is_no_fix(
    lab: Lab, written: dict[str, str], told: list[tuple[str, ...]]
) -> None:
    await lab.plan(Task("t1", "e1", "Log in"))
    base, reason = await lab.head(), "check `pytest -q` failed (exit code 1)"
    first, second = lab.attempt("t1"), lab.attempt("t1", 2, [Failure(reason, OUTPUT)])
    broken = await lab.commit(base, {"src/auth.py": "no\n", "src/same.py": "same\n"})
    lab.start(first, base)
    lab.finish(first, "failed", reason=reason, output=OUTPUT, base_commit=base, head_commit=broken)
    later = await lab.commit(base, {"src/another.py": "of another task\n"})
    right = await lab.commit(later, written)
    lab.start(second, later)
    result = lab.finish(second, base_commit=later, head_commit=right)
    await lab.drain()
    await learn(result, lab.transcript(second), Config(), lab.host(second))
    assert [lesson.files for lesson in await _lessons(lab, "failure_fix")] == told


async def test_learning_twice_from_a_session_changes_nothing(lab: Lab) -> None:
    await lab.plan(Task("t1", "e1", "Log in"))
    result, transcript = await _two_attempts(lab)
    await lab.drain()
    await learn(result, transcript, Config(), lab.host(result.attempt))
    before = await _lessons(lab)
    await learn(result, transcript, Config(), lab.host(result.attempt))
    assert await _lessons(lab) == before


async def test_what_happens_before_the_store_knows_is_learned_too(lab: Lab) -> None:
    await lab.plan(Task("t1", "e1", "Log in"))
    result, transcript = await _two_attempts(lab)
    await learn(result, transcript, Config(), lab.host(result.attempt))
    (lesson,) = await _lessons(lab, "failure_fix")
    assert lesson.files == ("src/auth.py", "src/form.py")


async def test_missed_sessions_are_learned_from_when_a_run_begins(lab: Lab) -> None:
    await lab.plan(Task("t1", "e1", "Log in"))
    await _two_attempts(lab)
    await lab.drain()
    await begin_run(Config(), lab.host())
    (lesson,) = await _lessons(lab, "failure_fix")
    assert lesson.files == ("src/auth.py",)
    async with lab.store.begin() as conn:
        assert await conn.scalar(text("SELECT count(*) FROM expertise_sessions")) == 2
    version = lesson.version
    await begin_run(Config(), lab.host())
    assert [each.version for each in await _lessons(lab, "failure_fix")] == [version]


async def test_what_is_seen_in_more_tasks_grows_more_certain(lab: Lab) -> None:
    await lab.plan(Task("t1", "e1", "Log in"), Task("t2", "e2", "Log out"))
    for task in ("t1", "t2"):
        result, transcript = await _two_attempts(lab, task)
        await lab.drain()
        await learn(result, transcript, Config(), lab.host(result.attempt))
    (lesson,) = await _lessons(lab, "failure_fix")
    assert lesson.confidence > 0.5
    assert lesson.evidence["tasks"] == ["t1", "t2"]
    result = lab.finish(
        lab.attempt("t1", 3), "failed", reason="check `pytest -q` failed (exit code 1)", output=OUTPUT
    )
    await learn(result, transcript, Config(), lab.host(result.attempt))
    (check,) = await _lessons(lab, "check")
    assert check.evidence["tasks"] == ["t1", "t2"]


async def test_a_landing_in_conflict_is_learned_from(lab: Lab) -> None:
    await lab.plan(Task("t1", "e1", "Log in"))
    result, transcript = await _two_attempts(lab)
    lab.recorder.emit("landing.queued", epic="e1")
    lab.recorder.emit("landing.conflicted", epic="e1", files=["src/app.py"], with_commit="a" * 40)
    await lab.drain()
    await learn(result, transcript, Config(), lab.host(result.attempt))
    (lesson,) = await _lessons(lab, "conflict")
    assert lesson.files == ("src/app.py",)
    assert "epic e1" in lesson.content


async def test_nothing_is_learned_where_learning_is_off(lab: Lab) -> None:
    await lab.plan(Task("t1", "e1", "Log in"))
    result, transcript = await _two_attempts(lab)
    await lab.drain()
    off = Config(learning=Learning(enabled=False))
    await learn(result, transcript, off, lab.host(result.attempt))
    await begin_run(off, lab.host())
    assert await _lessons(lab) == []


@dataclass
class Answering:
    """An agent that answers as told, and keeps what it was asked."""

    answers: list[str]
    asked: list[str] = field(default_factory=list)

    async def __call__(
        self, _attempt: Any, prompt: str, operation: str, agent: str, _model: str
    ) -> AgentReport:
        assert (operation, agent) == ("reflection", "thinker")
        self.asked.append(prompt)
        return AgentReport(ok=True, answer=self.answers.pop(0))


def _answer(lesson: str, subject: str = "Login tests") -> str:
    return json.dumps({"lessons": [{"subject": subject, "lesson": lesson, "files": ["src/auth.py"]}]})


async def _reflect(lab: Lab, answers: list[str], task: str = "t1") -> Answering:
    lab.lender.interview = agent = Answering(answers)
    result, transcript = await _two_attempts(lab, task)
    await lab.drain()
    config = Config(learning=Learning(reflect_with="thinker"))
    await learn(result, transcript, config, Lent(lab.lender, result.attempt))
    return agent


async def test_an_agent_is_asked_what_several_attempts_teach(lab: Lab) -> None:
    await lab.plan(Task("t1", "e1", "Log in"))
    agent = await _reflect(
        lab, ["Sure:\n```json\n" + _answer("Start the token server before the tests.") + "\n```"]
    )
    (prompt,) = agent.asked
    assert "took 2 attempts" in prompt
    assert "expected 200, got 401" in prompt
    assert KEY not in prompt
    (lesson,) = await _lessons(lab, "reflection")
    assert lesson.content == "Start the token server before the tests."
    assert lesson.files == ("src/auth.py",)


async def test_an_answer_against_the_schema_is_asked_for_once_more(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    await lab.plan(Task("t1", "e1", "Log in"), Task("t2", "e2", "Log out"))
    many = json.dumps({"lessons": [json.loads(_answer("Do it well."))["lessons"][0]] * 4})
    agent = await _reflect(lab, [many, _answer("Start the token server before the tests.")])
    assert "Your last answer was not valid: lessons: List should have at most 3 items" in agent.asked[1]
    assert len(await _lessons(lab, "reflection")) == 1
    agent = await _reflect(lab, ["no", '{"lessons": [], "more": 1}'], "t2")
    assert agent.answers == []
    assert "was dropped" in caplog.text
    assert len(await _lessons(lab, "reflection")) == 1
    assert len(await _lessons(lab, "failure_fix")) == 1


async def test_an_agent_whose_answers_are_of_no_use_is_asked_no_more(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    await lab.plan(*(Task(f"t{n}", f"e{n}", "Log in") for n in range(1, 6)))
    await _reflect(lab, ["no", "no"], "t1")
    await _reflect(lab, ["no", _answer("Start the token server before the tests.")], "t2")
    await _reflect(lab, ["no", "no"], "t3")
    assert "asked for no more" not in caplog.text, "it was of use in between"
    await _reflect(lab, ["no", "no"], "t4")
    assert "thinker is asked for no more reflections" in caplog.text
    agent = await _reflect(lab, [_answer("Never run login checks in parallel.")], "t5")
    assert agent.asked == []
    lab.run = str(uuid4())
    lab.lender.recorder.run = lab.run
    agent = await _reflect(lab, [_answer("Never run login checks in parallel.")], "t5")
    assert len(agent.asked) == 1, "another run asks again"


async def test_a_later_opinion_takes_the_place_of_an_earlier_one(lab: Lab) -> None:
    await lab.plan(*(Task(f"t{n}", f"e{n}", "Log in") for n in range(1, 5)))
    await _reflect(lab, [_answer("Start the token server before the tests.")], "t1")
    await _reflect(lab, [_answer("Start the token server before all the tests.")], "t2")
    (lesson,) = await _lessons(lab, "reflection")
    assert lesson.evidence["tasks"] == ["t1", "t2"]
    await _reflect(lab, [_answer("Never run login checks in parallel.")], "t3")
    status = {each.content: each.status for each in await _lessons(lab, "reflection")}
    assert status == {
        "Start the token server before the tests.": "superseded",
        "Never run login checks in parallel.": "active",
    }
    note = Draft("testing", "note", "A person knows better.", subject="Login tests", source="explicit")
    async with lab.store.begin() as conn:
        await save(conn, lab.project, note, actor="user:ada")
    await _reflect(lab, [_answer("Mock everything that has to do with tokens.")], "t4")
    status = {each.content: each.status for each in await _lessons(lab)}
    assert status["Mock everything that has to do with tokens."] == "disputed"
    assert status["A person knows better."] == "active"


async def test_an_opinion_that_was_retired_takes_no_place_and_stays_retired(lab: Lab) -> None:
    await lab.plan(*(Task(f"t{n}", f"e{n}", "Log in") for n in range(1, 5)))
    old, new = "Start the token server before the tests.", "Never run login checks in parallel."
    await _reflect(lab, [_answer(old)], "t1")
    async with lab.store.begin() as conn:
        (lesson,) = await find(conn, lab.project, kind="reflection")
        await retire(conn, lesson.id, "wrong", actor="user:ada")
    await _reflect(lab, [_answer(new)], "t2")
    await _reflect(lab, [_answer(old)], "t3")
    status = {each.content: each.status for each in await _lessons(lab, "reflection")}
    assert status == {old: "archived", new: "active"}
    note = Draft("testing", "note", "A person knows better.", subject="Login tests", source="explicit")
    async with lab.store.begin() as conn:
        await save(conn, lab.project, note, actor="user:ada")
    await _reflect(lab, [_answer(old)], "t4")
    status = {each.content: each.status for each in await _lessons(lab, "reflection")}
    assert status == {old: "archived", new: "active"}


def test_the_schema_is_strict() -> None:
    assert parse('{"lessons": []}').lessons == []
    for wrong in (
        "",
        "[]",
        '{"lessons": [{"subject": "abc", "lesson": "long enough text", "importance": "9"}]}',
        '{"lessons": [{"subject": "abc", "lesson": "short"}]}',
        '{"lessons": [{"subject": "abc", "lesson": "long enough text", "extra": true}]}',
    ):
        with pytest.raises(ValueError):
            parse(wrong)
