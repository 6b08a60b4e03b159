"""What `yoke land` accepts and says."""

from __future__ import annotations

import getpass

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.engine.people.control import request
from yokeflow.errors import ExitCode

RED = {"landing": ["test ! -e bad"]}


@pytest.fixture
async def rejected(workshop: Workshop) -> Workshop:
    """An epic whose landing was rejected, and a target that has moved since."""
    workshop.config(checks=RED)
    workshop.plan(epic("one", task("one.a", "echo x > bad")), epic("two", task("two.a", "echo y > y")))
    assert (await workshop.run()).exit_code is ExitCode.FAILED
    return workshop


async def test_an_epic_is_queued_once_and_answered_by_whoever_asked(rejected: Workshop) -> None:
    assert (await rejected.run(land=("one",))).exit_code is ExitCode.FAILED
    assert [event["epic"] for event in rejected.of("landing.queued")] == ["one"]
    (answered,) = rejected.of("intervention.resolved")
    assert (answered["choice"], answered["by"]) == ("land", f"human:{getpass.getuser()}")


async def test_a_landing_that_is_queued_is_not_queued_again(rejected: Workshop) -> None:
    project = await rejected.project()
    await request(project, project.load_plan(), "land", "one")
    rejected.config(checks={"landing": ["true"]})
    assert [landed.epic for landed in (await rejected.run()).landed] == ["one"]
    assert rejected.of("landing.queued") == []


async def test_a_rejected_landing_can_be_tried_again_and_again(rejected: Workshop) -> None:
    for _ in range(2):
        assert (await rejected.run(land=("one",))).exit_code is ExitCode.FAILED
        assert rejected.types().count("landing.rejected") == 1
    (landing,) = [each for each in (await rejected.status())["landings"] if each["epic"] == "one"]
    assert landing["status"] == "rejected"


async def test_whose_lines_count_is_one_side_and_only_of_a_conflict(rejected: Workshop) -> None:
    both = rejected.yoke("land", "one", "--ours", "--theirs")
    assert both.returncode == ExitCode.USAGE
    assert "exclude each other" in both.stderr
    red = rejected.yoke("land", "one", "--theirs")
    assert red.returncode == ExitCode.USAGE
    assert "without a conflict that --theirs could settle" in red.stderr
