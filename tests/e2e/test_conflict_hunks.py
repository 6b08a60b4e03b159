"""An agent that resolves a conflict leaves what both sides did elsewhere in the same file."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Workshop, epic, task
from tests.e2e.test_conflicts import BOTH, resolver
from yokeflow.errors import ExitCode

FILE = "same.txt"
#: What a script makes of the two sides' line 2, which `BOTH` has left one below the other.
ONE_LINE = f"{BOTH}; sed -i -e 's/^two-one/two-both/' -e '/^two-two/d' {FILE}"

#: What an agent does, and what is said of it.
DROPS = {
    f"git checkout --theirs {FILE}": f"it drops what two did in {FILE} (line 18)",
    f"git checkout --ours {FILE}": f"it drops what one did in {FILE} (line 9)",
    f"{ONE_LINE}; sed -i s/eighteen-two/18/ {FILE}": f"it drops what two did in {FILE} (line 18)",
    f"{ONE_LINE}; sed -i s/nine-one/9/ {FILE}; git add .": f"it drops what one did in {FILE} (line 9)",
}
#: What an agent may make of it: the file's first lines.
RIGHT = {
    BOTH: ["1", "two-two", "two-one", "3", "4"],
    ONE_LINE: ["1", "two-both", "3", "4"],
    f"{ONE_LINE}; sed -i -e '1,4s/^/  /' -e '2s/$/ and more\\n  still more/' {FILE}": [
        "  1",
        "  two-both and more",
        "  still more",
        "  3",
        "  4",
    ],
    f"{ONE_LINE}; sed -i s/eighteen-two/eighteen-both/ {FILE}": ["1", "two-both", "3", "4"],
}


def change(name: str, line: int, word: str) -> str:
    """Both change line 2 of twenty, and one line each elsewhere."""
    return f"sed -i -e '2s/.*/two-{name}/' -e '{line}s/.*/{word}-{name}/' {FILE}"


def twenty_lines(workshop: Workshop) -> None:
    workshop.write(FILE, "".join(f"{number}\n" for number in range(1, 21)))
    workshop.commit()


def two_epics(workshop: Workshop) -> None:
    twenty_lines(workshop)
    workshop.plan(
        epic("one", task("one.a", change("one", 9, "nine"), priority=0)),
        epic("two", task("two.a", f"sleep 0.3; {change('two', 18, 'eighteen')}")),
    )


@pytest.mark.parametrize("script", DROPS)
async def test_what_drops_one_sides_work_is_thrown_away(workshop: Workshop, script: str) -> None:
    resolver(workshop, script)
    two_epics(workshop)
    (waiting,) = (await workshop.run()).waiting
    assert (waiting.kind, waiting.item) == ("conflict", "two")
    assert f"an agent did not resolve it: {DROPS[script]}\n" in waiting.reason
    assert workshop.git("show", f"main:{FILE}").split()[:2] == ["1", "two-one"]
    assert workshop.git("show", f"epic/two:{FILE}").split()[17] == "eighteen-two"
    assert not workshop.of("landing.resolved")
    kept = workshop.git("for-each-ref", "--format=%(refname)", "refs/yoke/keep/conflict/two/").split()
    assert kept
    assert not [name for name in workshop.branches() if name.startswith("lane/")]


@pytest.mark.parametrize("script", RIGHT)
async def test_what_has_both_sides_work_lands_however_it_is_put(workshop: Workshop, script: str) -> None:
    resolver(workshop, script)
    two_epics(workshop)
    report = await workshop.run()
    assert (report.exit_code, len(report.landed)) == (ExitCode.OK, 2), report
    lines = workshop.git("show", f"main:{FILE}").splitlines()
    assert lines[: len(RIGHT[script])] == RIGHT[script]
    assert {"nine-one", "20"} <= set(lines)
    assert [line for line in lines if line.startswith("eighteen-")]


@pytest.mark.parametrize("side", ["ours", "theirs"])
async def test_a_choice_of_lines_keeps_both_sides_work_elsewhere(workshop: Workshop, side: str) -> None:
    two_epics(workshop)
    assert (await workshop.run()).waiting
    report = await workshop.run(land=("two",), take=side)
    assert report.exit_code is ExitCode.OK, report
    lines = workshop.git("show", f"main:{FILE}").split()
    assert (lines[1], lines[8], lines[17]) == (
        "two-one" if side == "ours" else "two-two",
        "nine-one",
        "eighteen-two",
    )


@pytest.mark.parametrize("strategy", ["by_epic", "by_task"])
@pytest.mark.parametrize(
    ("script", "said"),
    [
        (f"git checkout --theirs {FILE}", f"it drops what two did in {FILE} (line 18)"),
        (f"git checkout --ours {FILE}", f"it drops what one.a did in {FILE} (line 9)"),
        (BOTH, ""),
    ],
)
async def test_the_same_holds_for_what_a_task_builds_on(
    workshop: Workshop, strategy: str, script: str, said: str
) -> None:
    """`two.b` builds on `one.a`, which changed the same line as `two.a`; nothing has landed by then."""
    resolver(workshop, script, parallel={"strategy": strategy})
    workshop.write(".git/info/exclude", "plan.yaml\n.yokeflow.yaml\ngo\n")
    twenty_lines(workshop)
    go = workshop.root / "go"
    wait = f"while ! test -e {go}; do sleep 0.05; done; echo b > b.txt"
    workshop.plan(
        epic("one", task("one.a", change("one", 9, "nine")), task("one.b", wait)),
        epic(
            "two",
            task("two.a", change("two", 18, "eighteen")),
            task("two.b", f"touch {go}; cp {FILE} seen.txt", depends_on=["two.a", "one.a"]),
        ),
    )
    if said:
        go.touch()
    report = await workshop.run()
    if not said:
        assert report.exit_code is ExitCode.OK, report
        assert {"nine-one", "eighteen-two"} <= set(workshop.git("show", "main:seen.txt").split())
        return
    (waiting,) = report.waiting
    assert (waiting.kind, waiting.item) == ("hand_over", "two.b")
    assert said in waiting.reason
    assert not workshop.of("handover.resolved")
