"""What checks prove in whole runs: flaky ones, and what git alone tells of a landing."""

from __future__ import annotations

import json

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.errors import ExitCode


def evidence(workshop: Workshop) -> dict[str, list[str]]:
    """By landing commit, the lines that git has of its checks."""
    form = "--format=%(*objectname) %(contents:trailers:only)"
    told: dict[str, list[str]] = {}
    for line in workshop.git("for-each-ref", form, "refs/yoke/evidence/").splitlines():
        first, _, rest = line.partition(" ")
        if first and not first.endswith(":"):
            told[first] = found = [rest]
        elif line:
            found.append(line)
    return told


async def test_git_tells_how_each_landing_was_tested(workshop: Workshop) -> None:
    workshop.config(checks={"landing": ["test -e README.md"]})
    workshop.plan(epic("one", task("one.a", verify=["test -e one.a.txt"])), epic("two", task("two.a")))
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK
    told = evidence(workshop)
    assert set(told) == {landed.commit for landed in report.landed}
    for landed in report.landed:
        checks, *lines = told[landed.commit]
        tree = workshop.git("rev-parse", f"{landed.commit}^{{tree}}")
        assert checks == f"Yoke-Checks: {tree}=passed"
        assert [line.split("s ", 1)[1] for line in lines] == [
            "test -e README.md",
            *(["test -e one.a.txt"] if "one.a" in landed.tasks else []),
        ]


async def test_a_flaky_check_lands_as_flaky_and_is_told(workshop: Workshop) -> None:
    mark = workshop.root.parent / "mark"
    flaky = f"test -e {mark} || {{ touch {mark}; echo not yet; false; }}"
    workshop.config(checks={"landing": [flaky], "retries": 2})
    workshop.plan(epic("one", task("one.a")))
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK
    (check,) = workshop.of("check.finished")
    assert (check["passed"], check["flaky"], check["tries"]) == (True, True, 2)
    assert any("is flaky" in warning["reason"] for warning in workshop.of("warning.raised"))
    ((said, line),) = evidence(workshop).values()
    assert said.endswith("=flaky")
    assert workshop.git("log", "-1", "--format=%(trailers:key=Yoke-Checks)", "main").endswith("=flaky")
    assert line.startswith("Yoke-Check: flaky ")
    shown = workshop.yoke("show", "one").stdout
    assert "landing: flaky, passed at try 2" in shown
    (told,) = json.loads(workshop.yoke("show", "one", "--json").stdout)["checks"]
    assert (told["flaky"], told["tries"], told["reused"]) == (True, 2, None)


async def test_an_undo_that_only_a_flaky_check_let_through_says_so(workshop: Workshop) -> None:
    mark = workshop.root.parent / "mark"
    mark.touch()
    workshop.config(checks={"landing": [f"test -e {mark} || {{ touch {mark}; false; }}"], "retries": 1})
    workshop.plan(epic("one", task("one.a")))
    await workshop.run()
    mark.unlink()
    assert workshop.yoke("undo", "one").returncode == 0
    tree = workshop.git("rev-parse", "main^{tree}")
    said = workshop.git("log", "-1", "--format=%s %(trailers:key=Yoke-Checks,valueonly)", "main")
    assert said == f"Undo one: Epic one {tree}=flaky"


async def test_what_one_run_proved_the_next_one_reuses_and_says_so(workshop: Workshop) -> None:
    workshop.write("one.a.txt", "mine\n")
    workshop.config(checks={"landing": ["test -e README.md"]})
    workshop.plan(epic("one", task("one.a")))
    await workshop.run()
    (workshop.root / "one.a.txt").unlink()
    report = await workshop.run()
    (landed,) = report.landed
    assert "=passed" in evidence(workshop)[landed.commit][0]
    first, second = json.loads(workshop.yoke("show", "one", "--json").stdout)["checks"]
    assert (first["reused"], second["reused"]["item"]) == (None, "one")
    assert second["reused"]["log"] == first["log"]
    assert "passed as known from the landing of one" in workshop.yoke("show", "one").stdout
