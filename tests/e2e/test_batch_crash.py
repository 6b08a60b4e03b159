"""Death right after a batch has landed: what is attached to its landings is what was found out in it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.e2e.conftest import Workshop, epic, task, wait_for
from tests.e2e.test_conflict_crash import KILL, WRAPPER
from tests.e2e.test_evidence_run import evidence
from yokeflow.errors import ExitCode


def killer(workshop: Workshop, once: Path, then: str) -> str:
    """Shell that kills the run that goes on, once."""
    return KILL.format(once=once, root=workshop.root, then=then)


def deadly_git(workshop: Workshop, folder: Path) -> dict[str, str]:
    """An environment in which the run dies when the target's checkout has been brought forward."""
    folder.mkdir()
    text = WRAPPER.format(
        command="--ff-only",
        private=workshop.root / "README.md",
        moment="after",
        git=shutil.which("git"),
        kill=killer(workshop, folder / "killed", "exit 1"),
    )
    (folder / "git").write_text(text)
    (folder / "git").chmod(0o755)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


async def test_a_landing_in_the_middle_of_a_batch_gets_no_evidence_of_an_earlier_test(
    workshop: Workshop, tmp_path: Path
) -> None:
    """`one` passed the first of two checks when it was alone; then it is in the middle of a batch.

    It is the same landing of the same tree, and the second check never passed on that.
    """
    tested, finished = '"check.finished","epic":"one"', '"epic.completed","epic":"two"'
    dies = wait_for(workshop, finished, then=killer(workshop, tmp_path / "once", "sleep 60"))
    workshop.config(
        checks={"landing": ["test -e README.md", dies]}, landing={"batch": 2, "max_parallel_checks": 1}
    )
    alone = wait_for(workshop, tested, then="echo two > two.txt")
    workshop.plan(epic("one", task("one.a")), epic("two", task("two.a", alone)))
    assert workshop.yoke("run").returncode == -9
    assert workshop.yoke("run", env=deadly_git(workshop, tmp_path / "bin")).returncode == -9
    last, middle = workshop.git("rev-list", "--first-parent", "-2", "main").split()
    tree = workshop.git("rev-parse", f"{middle}^{{tree}}")
    said = workshop.git("log", "-1", "--format=%(trailers:key=Yoke-Checks,valueonly)", middle)
    assert said.strip() == f"{tree}=batched"
    assert evidence(workshop) == {}
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, report
    landed = {entry["commit"]: entry["epic"] for entry in workshop.of("landing.landed")}
    assert landed == {middle: "one", last: "two"}
    # Both checks passed on the last tree, which has all of the batch, and that is told of it alone.
    ((commit, told),) = evidence(workshop).items()
    assert (commit, len(told)) == (last, 3)
