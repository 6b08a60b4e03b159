"""What git alone can tell of landings, sessions and what was taken back."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from yokeflow.git.history import newest_landing, read_history
from yokeflow.git.repo import KEPT_SQUASHED
from yokeflow.git.squashed import keep_squashed

if TYPE_CHECKING:
    from pathlib import Path

    from yokeflow.git.history import History
    from yokeflow.git.repo import Repo

RUN = str(uuid4())


class Made:
    """Makes the commits that a run makes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.tree = self._shell(folder, "rev-parse", "HEAD^{tree}")

    @staticmethod
    def _shell(folder: Path, *args: str) -> str:
        return subprocess.run(
            ["git", *args], cwd=folder, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, message: str, *parents: str) -> str:
        flags = [flag for parent in parents for flag in ("-p", parent)]
        return self._shell(self._folder, "commit-tree", self.tree, *flags, "-m", message)

    def work(self, task: str, parent: str, session: str) -> str:
        return self.commit(f"Do {task}\n\nYoke-Task: {task}\nYoke-Session: {session}\n", parent)

    def landing(self, epic: str, *parents: str, tasks: tuple[str, ...] = ()) -> str:
        listed = "\n".join(f"- Do {task} ({task})" for task in tasks)
        trailers = f"Yoke-Epic: {epic}\nYoke-Run: {RUN}\nYoke-Checks: {self.tree}=passed\n"
        return self.commit(f"Land {epic}: The {epic}\n\n{listed}\n\n{trailers}", *parents)

    def ref(self, name: str, commit: str) -> None:
        self._shell(self._folder, "update-ref", name, commit)

    @property
    def tip(self) -> str:
        return self._shell(self._folder, "rev-parse", "main")


@pytest.fixture
def made(project: Path) -> Made:
    return Made(project)


async def read(repo: Repo) -> History:
    return await read_history(repo, "main", "epic/")


async def test_landings_in_order_though_they_share_a_second(repo, made):
    start, order = made.tip, ["z", "a", "m", "b"]
    for epic in order:
        work = made.work(f"{epic}.1", start, str(uuid4()))
        made.ref("refs/heads/main", made.landing(epic, made.tip, work, tasks=(f"{epic}.1",)))
    found = await read(repo)
    assert [landing.epic for landing in found.landings] == order
    times = [landing.at for landing in found.landings]
    assert times == sorted(set(times))
    last = found.landings[-1]
    assert (last.title, last.run, last.tasks) == ("The b", RUN, {"b.1": "Do b.1"})
    assert not last.squashed
    assert await newest_landing(repo, "main") == last.commit
    assert await newest_landing(repo, "main", last.commit) is None


async def test_squash_finds_the_history_that_was_kept(repo, made):
    start, session = made.tip, str(uuid4())
    work = made.work("a.1", start, session)
    landing = made.landing("a", start, tasks=("a.1",))
    made.ref("refs/heads/main", landing)
    await keep_squashed(repo, "a", landing, work)
    await keep_squashed(repo, "a", landing, work)
    found = await read(repo)
    assert (found.landings[0].squashed, found.landings[0].epic_commit) == (True, work)
    assert [(each.task, each.session, each.counts) for each in found.work] == [("a.1", session, True)]
    assert list(await repo.refs(KEPT_SQUASHED)) == [f"{KEPT_SQUASHED}a/{landing}"]


async def test_rebased_work_counts_though_its_first_form_is_still_there(repo, made):
    start, session, other = made.tip, str(uuid4()), str(uuid4())
    old = made.work("a.1", start, session)
    made.ref(f"refs/yoke/keep/a.2/{other}", made.work("a.2", old, other))
    copy = made.work("a.1", made.commit("A person's", start), session)
    made.ref("refs/heads/main", made.landing("a", start, copy, tasks=("a.1",)))
    work = {each.task: each for each in (await read(repo)).work}
    assert (work["a.1"].head, work["a.1"].counts) == (copy, True)


async def test_work_counts_on_the_target_and_on_branches_but_not_where_it_was_taken_back(repo, made):
    start = made.tip
    landed, begun, failed, torn, bare = (str(uuid4()) for _ in range(5))
    made.ref("refs/heads/main", made.landing("a", start, made.work("a.1", start, landed)))
    made.ref("refs/heads/epic/b", made.work("b.1", made.work("b.1", start, begun), begun))
    made.ref(f"refs/yoke/keep/c.1/{failed}", made.work("c.1", start, failed))
    # A crash came between keeping it and putting the lane back.
    half = made.work("d.1", start, torn)
    made.ref("refs/heads/epic/d", half)
    made.ref(f"refs/yoke/keep/d.1/{torn}", half)
    # And here before the commits got their trailers.
    made.ref(f"refs/yoke/keep/e.1/{bare}", made.commit("wip", start))
    made.ref("refs/yoke/keep/lane/b/0123456789ab", made.commit("a lane", start))
    found = {each.session: each for each in (await read(repo)).work}
    assert {session: each.counts for session, each in found.items()} == {
        landed: True, begun: True, failed: False, torn: False, bare: False,
    }  # fmt: skip
    assert found[bare].task == "e.1"
    assert found[failed].kept_ref == f"refs/yoke/keep/c.1/{failed}"
    assert found[begun].base == start


async def test_joined_work_is_where_the_epic_has_it(repo, made):
    start, one, two = made.tip, str(uuid4()), str(uuid4())
    first, second = made.work("a.1", start, one), made.work("a.2", start, two)
    joined = made.commit("Join a.2 into a", first, second)
    made.ref("refs/heads/epic/a", joined)
    commits = {each.session: each.commit for each in (await read(repo)).work}
    assert commits == {one: first, two: joined}


async def test_undo_is_no_landing(repo, made):
    landing = made.landing("a", made.tip, made.work("a.1", made.tip, str(uuid4())))
    undo = made.commit(f"Undo a\n\nYoke-Epic: a\nYoke-Undoes: {landing}\n", landing)
    made.ref("refs/heads/main", undo)
    found = await read(repo)
    assert [each.commit for each in found.landings] == [landing]
    assert [(each.commit, each.undoes) for each in found.undos] == [(undo, (landing,))]


async def test_people_name_the_tasks_that_they_did(repo, made):
    mine = made.commit("By hand\n\nyoke-task:  a.1 \n", made.tip)
    agents = made.work("a.2", mine, str(uuid4()))
    made.ref("refs/heads/main", agents)
    made.ref("refs/heads/epic/b", made.commit("Half\n\nYoke-Task: b.1\n", agents))
    made.ref("refs/yoke/keep/b.2/x", made.commit("Taken back\n\nYoke-Task: b.2\n", agents))
    claims = (await read(repo)).claims
    assert [(each.task, each.subject, each.landed) for each in claims] == [
        ("a.1", "By hand", True),
        ("b.1", "Half", False),
    ]


async def test_commits_of_people_say_nothing(repo, made):
    made.ref("refs/heads/main", made.commit("Yoke-Epic is a trailer, not a subject", made.tip))
    made.ref("refs/heads/epic/x", made.commit("By hand\n\nYoke-Task: a.1\n", made.tip))
    assert not await read(repo)


async def test_missing_target_has_no_history(repo):
    assert not await read_history(repo, "nowhere", "epic/")


@pytest.mark.parametrize("prefix", ["epic/", "team-", "x/team-"])
async def test_any_prefix_names_the_branches_of_epics(repo, made, prefix):
    session = str(uuid4())
    made.ref(f"refs/heads/{prefix}a", made.work("a.1", made.tip, session))
    made.ref("refs/heads/other", made.work("b.1", made.tip, str(uuid4())))
    found = await read_history(repo, "main", prefix)
    assert [each.session for each in found.work] == [session]
