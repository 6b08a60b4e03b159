"""Death right after each record of a run, one after the other: the next run finishes, once."""

from __future__ import annotations

import os
from collections import Counter
from itertools import product
from pathlib import Path

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.errors import ExitCode

PLUGIN = """
import itertools, os
from yokeflow.hookspecs import hookimpl

count = itertools.count(1)

@hookimpl
def on_event():
    if next(count) == int(os.environ["DIE_AT"]):
        os._exit(9)
"""


#: All combinations, and each one's turn comes at every fourth record.
_TURNS = tuple(product(("merge", "squash"), ("by_epic", "by_task")))


@pytest.mark.slow
@pytest.mark.parametrize("at", range(1, 32))
async def test_death_after_a_record_costs_nothing(workshop: Workshop, tmp_path: Path, at: int) -> None:
    merge, strategy = _TURNS[at % len(_TURNS)]
    (tmp_path / "dying_plugin.py").write_text(PLUGIN)
    workshop.config(
        parallel={"merge_strategy": merge, "strategy": strategy}, checks={"landing": ["test -e README.md"]}
    )
    workshop.plan(
        epic("a", task("a.1"), task("a.2", "echo more >> a.1.txt", depends_on=["a.1"])),
        epic("b", task("b.1", "cat a.1.txt > b.1.txt", depends_on=["a.1"], verify=["test -s b.1.txt"])),
    )
    plugin = {"PYTHONPATH": str(tmp_path), "YOKE_PLUGINS": "dying_plugin", "DIE_AT": str(at)}
    died = workshop.yoke("run", env={**os.environ, **plugin})
    assert died.returncode in {9, 0}, died.stderr
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, report
    landed = workshop.git("log", "--first-parent", "--format=%(trailers:key=Yoke-Epic,valueonly)", "main")
    assert Counter(landed.split()) == {"a": 1, "b": 1}
    status = await workshop.status()
    assert {item["id"]: item["status"] for item in status["items"]} == dict.fromkeys(
        ("a", "a.1", "a.2", "b", "b.1"), "completed"
    )
    assert {entry["epic"]: entry["status"] for entry in status["landings"]} == {"a": "landed", "b": "landed"}
    assert not status["interventions"]
    before = workshop.git("rev-parse", "main")
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert workshop.git("rev-parse", "main") == before
    assert (workshop.root / "a.1.txt").read_text() == "a.1\nmore\n"
    workshop.assert_tidy()
    assert not workshop.processes()
