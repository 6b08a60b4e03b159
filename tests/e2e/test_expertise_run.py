"""What a run teaches is told in a later one."""

from __future__ import annotations

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.errors import ExitCode

#: Fails its check at the first attempt, with an error that names itself.
_SCRIPT = 'n=$(cat "$COUNT" 2>/dev/null || echo 0); echo $((n+1)) > "$COUNT"; echo $((n+1)) > one.txt'
_CHECK = 'grep 2 one.txt || { echo "Error: one.txt is too small"; exit 1; }'


async def test_a_failure_and_its_fix_are_told_to_the_next_task(workshop: Workshop) -> None:
    env = {"COUNT": str(workshop.root.parent / "count")}
    workshop.config(agents={"options": {"shell": {"env": env}}}, learning={"holdout": None})
    first = epic("one", task("one.a", _SCRIPT, verify=[_CHECK]))
    workshop.plan(first)
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert "expertise.recalled" not in workshop.types()
    items = [item for event in workshop.of("expertise.learned") for item in event["items"]]
    workshop.plan(first, epic("two", task("two.a", files=["one.txt", "two.a.txt"])))
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert "plugin.failed" not in workshop.types()
    items += [item for event in workshop.of("expertise.learned") for item in event["items"]]
    lesson = next(item for item in items if "too small" in item["text"])
    (recalled,) = workshop.of("expertise.recalled")
    assert lesson["memory"] in recalled["given"]
    prompt = (workshop.root / ".git/yoke/sessions" / recalled["session"] / "prompt.md").read_text()
    assert "failing with “Error: one.txt is too small”, look at `one.txt`" in prompt
