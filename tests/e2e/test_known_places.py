"""What people did to the target stays, when what agents did to it is taken back."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.engine.landing.landings import Landings
from yokeflow.engine.lanes.guard import put_right_refused
from yokeflow.engine.lanes.lanes import Lanes
from yokeflow.engine.opening import open_context
from yokeflow.engine.recorder import Recorder
from yokeflow.git.hooks import REFUSED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from yokeflow.engine.context import Context

#: An agent goes round the hook of its session.
PAST = "git -c core.hooksPath=/dev/null update-ref refs/heads/main HEAD"
BAD = f"echo bad > bad; git add bad; git commit -qm bad; {PAST}"
KILL = 'kill -9 $(sed \'s/.*"pid": *\\([0-9]*\\).*/\\1/\' "$(git rev-parse --git-common-dir)/yoke/run.lock")'

#: An epic that stays unfinished.
TWO = epic("two", task("two.a"), task("two.b", "exit 1", depends_on=["two.a"]))


@pytest.fixture
async def merged(workshop: Workshop) -> Workshop:
    """A person has brought what an agent finished of an epic to the target."""
    workshop.config(agents={"max_attempts": 1})
    workshop.plan(TWO)
    assert list((await workshop.run()).failed) == ["two.b"]
    workshop.git("merge", "-q", "--ff-only", "epic/two")
    workshop.plan(TWO, epic("one", task("one.a", f"test -e ../../go && echo a > a || {{ {BAD}; {KILL}; }}")))
    return workshop


async def test_a_persons_merge_of_a_lane_is_a_place_to_go_back_to(merged: Workshop) -> None:
    place = merged.git("rev-parse", "main")
    merged.plan(TWO, epic("one", task("one.a", BAD)))
    report = await merged.run(epics=("one",))
    assert report.failed["one.a"] == "the agent moved main, where only tested work may land"
    assert merged.git("rev-parse", "main") == place
    assert merged.git("status", "--porcelain") == ""


async def test_so_it_is_after_a_run_that_was_killed(merged: Workshop) -> None:
    place = merged.git("rev-parse", "main")
    assert merged.yoke("run", "--epic", "one").returncode == -9
    assert merged.git("log", "-1", "--format=%s", "main") == "bad"
    merged.write("go", "")
    report = await merged.run(epics=("one",))
    (merged.root / "go").unlink()
    assert [landed.epic for landed in report.landed] == ["one"]
    assert merged.git("rev-parse", "main^1") == place


async def test_so_it_is_of_what_the_same_lane_gave_up(workshop: Workshop) -> None:
    """The agent's lane begins before what the person took from it."""
    workshop.config(agents={"max_attempts": 1})
    again = f"git merge -q --ff-only main; {BAD}"
    first = "echo x > x; git add x; git commit -qm x; exit 1"
    workshop.plan(epic("one", task("one.a", f"if test -e ../../go; then {again}; else {first}; fi")))
    await workshop.run()
    (kept,) = workshop.git("for-each-ref", "--format=%(objectname)", "refs/yoke/keep/one.a").split()
    workshop.git("merge", "-q", "--ff-only", kept)
    workshop.write("go", "")
    assert workshop.yoke("retry", "one.a").returncode == 0
    report = await workshop.run()
    assert report.failed == {"one.a": "the agent moved main, where only tested work may land"}
    assert workshop.git("rev-parse", "main") == kept


@pytest.fixture
async def left(workshop: Workshop) -> AsyncIterator[Context]:
    """The checkout of main has what an agent's reset, which was refused, left there: what epic/one has."""
    workshop.git("switch", "-q", "-c", "epic/one")
    workshop.write("README.md", "# By the agent\n")
    made = workshop.commit("One")
    workshop.git("switch", "-q", "main")
    workshop.git("read-tree", "-m", "-u", "HEAD", "epic/one")
    workshop.plan(epic("one", task("one.a")))
    project = await workshop.project()
    project.repo.state_dir.mkdir(exist_ok=True)
    told = b"s %s refs/yoke/\xff\ns - \0\ns %s refs/heads/main\n" % (made.encode(), made.encode())
    (project.repo.state_dir / REFUSED).write_bytes(told)
    async with project.store() as (store, project_id):
        recorder = Recorder(str(uuid4()), project.journal)
        yield await open_context(project, project.load_plan(), recorder, store, project_id)


def slow(folder: Path, wait: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have git do `wait` before it reads a tree."""
    folder.mkdir()
    script = f'case " $* " in *" read-tree "*) {wait} ;; esac\nexec {shutil.which("git")} "$@"\n'
    (folder / "git").write_text(f"#!/bin/sh\n{script}")
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


async def test_any_name_of_a_ref_may_have_been_refused(workshop: Workshop, left: Context) -> None:
    await put_right_refused(left)
    assert workshop.git("status", "--porcelain") == ""


async def test_what_was_left_is_put_back_by_the_next_who_looks_when_somebody_died_over_it(
    workshop: Workshop, left: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, end = tmp_path / "here", tmp_path / "end"
    dies = f": >{here}; until [ -e {end} ]; do sleep 0.02; done; exit 1"
    slow(tmp_path / "bin", f"[ -e {here} ] || {{ {dies}; }}", monkeypatch)
    first = asyncio.create_task(put_right_refused(left))
    while not here.exists():
        assert not first.done()
        await asyncio.sleep(0.01)
    first.cancel()
    end.touch()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert workshop.git("status", "--porcelain") == "M  README.md"
    await put_right_refused(left)
    assert workshop.git("status", "--porcelain") == ""
    assert list(left.repo.state_dir.glob(f"{REFUSED}*")) == []


async def test_a_landing_waits_until_the_checkout_is_put_right(
    workshop: Workshop, left: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what it brings there is taken for what was refused, and goes back."""
    old = workshop.git("rev-parse", "main")
    new = workshop.git("commit-tree", "-p", old, "-p", "epic/one", "-m", "Land", "epic/one^{tree}")
    moved = f'[ "$(cat {workshop.root}/.git/refs/heads/main)" = {new} ]'
    wait = f"for n in 1 2 3 4 5 6 7 8 9 10; do {moved} && break; sleep 0.05; done"
    slow(tmp_path / "bin", f": >{tmp_path}/puts; {wait}", monkeypatch)
    lanes = Lanes(left, left.decide.resolve(left.plan, {}, {}))
    landings = Landings(left, lanes, lambda _: {}, lambda *_: None, lambda _: None)
    puts = asyncio.create_task(put_right_refused(left))
    while not (tmp_path / "puts").exists():
        assert not puts.done()
        await asyncio.sleep(0.01)
    assert (await landings.advance(new, old)).moved
    await puts
    assert workshop.git("rev-parse", "main") == new
    assert workshop.git("status", "--porcelain") == ""
