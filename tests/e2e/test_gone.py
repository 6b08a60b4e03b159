"""Items that leave the plan while something is asked about them, and come back."""

from __future__ import annotations

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.errors import ExitCode


async def asked(workshop: Workshop) -> list[tuple[str, str]]:
    return [(entry["item"], entry["kind"]) for entry in (await workshop.status())["interventions"]]


async def test_a_task_that_left_the_plan_is_asked_about_no_more_and_again_when_it_is_back(
    workshop: Workshop,
) -> None:
    workshop.config(agents={"max_attempts": 1})
    whole = epic("one", task("one.a"), task("one.b", "exit 1"))
    workshop.plan(whole)
    await workshop.run()
    workshop.plan(epic("one", task("one.a")))
    told = workshop.yoke("skip", "one.b")
    assert told.returncode == ExitCode.USAGE
    assert "the plan has no item one.b" in told.stderr
    assert "`yoke run` withdraws what is asked about items that left the plan" in told.stderr
    report = await workshop.run()
    assert (report.exit_code, report.waiting) == (ExitCode.OK, ())
    (gone,) = workshop.of("intervention.resolved")
    told_of = (gone["epic"], gone["task"], gone["choice"], gone["by"])
    assert told_of == ("one", "one.b", "gone", "system")
    assert await asked(workshop) == []
    assert "one.b: is asked about no more: the plan does not have it" in workshop.yoke("log").stdout

    workshop.plan(whole)
    assert [entry.item for entry in (await workshop.run()).waiting] == ["one.b"]
    assert await asked(workshop) == [("one.b", "retry_limit")]
    assert [entry.item for entry in (await workshop.run()).waiting] == ["one.b"]
    assert workshop.of("intervention.opened") == []
    assert workshop.yoke("skip", "one.b").returncode == 0
    assert (await workshop.run()).exit_code is ExitCode.OK
    workshop.plan(epic("one", task("one.a")))
    await workshop.run()
    workshop.plan(whole)
    assert (await workshop.run()).waiting == ()


async def test_an_epic_that_left_the_plan_and_is_back_does_not_land_unasked(workshop: Workshop) -> None:
    """A person took it off the target."""
    other = epic("two", task("two.a"))
    workshop.plan(epic("one", task("one.a")), other)
    await workshop.run()
    workshop.git("reset", "-q", "--hard", "main~2")
    await workshop.run()
    assert ("one", "taken_back") in await asked(workshop)
    workshop.plan(other)
    await workshop.run()
    assert "one" not in [item for item, _ in await asked(workshop)]
    workshop.plan(epic("one", task("one.a")), other)
    report = await workshop.run()
    assert ("one", "taken_back") in await asked(workshop)
    assert report.landed == ()


async def test_an_approval_of_what_left_the_plan_cannot_be_given(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a"), approve="before"), epic("two", task("two.a")))
    await workshop.run()
    workshop.plan(epic("two", task("two.a")))
    told = workshop.yoke("attention", "answer", "one", "approve")
    assert (told.returncode, "the plan has no item one" in told.stderr) == (ExitCode.USAGE, True)
    assert (await workshop.run()).waiting == ()
    workshop.plan(epic("one", task("one.a"), approve="before"), epic("two", task("two.a")))
    assert [entry.item for entry in (await workshop.run()).waiting] == ["one"]
    assert workshop.yoke("attention", "answer", "one", "approve").returncode == 0
    assert (await workshop.run()).completed == ("one.a",)
