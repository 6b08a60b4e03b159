"""An agent that cannot decide safely asks a person, and goes on with the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.engine.people.control import request
from yokeflow.errors import ExitCode

if TYPE_CHECKING:
    from yokeflow.engine.report import Waiting

#: Runs a script that knows where its prompt is.
ASKER = 'YOKE_PROMPT="$1"; export YOKE_PROMPT; eval "$2"'
#: Asks at first; once it is answered, writes what it was told.
ASKS = """
if grep -q 'The answer:' "$YOKE_PROMPT"; then sed -n '/The answer:/,$p' "$YOKE_PROMPT" > answer.txt
else echo begun > begun.txt; printf 'Which colour?\\nRed or blue.' > "$YOKE_QUESTION"; fi
"""


@pytest.fixture(autouse=True)
def agent(workshop: Workshop) -> None:
    """An agent that reads its prompt from the file that it is given."""
    workshop.config(
        agents={
            "default": "asker",
            "max_attempts": 1,
            "options": {
                "asker": {
                    "kind": "command",
                    "argv": ["sh", "-c", ASKER, "-", "{prompt_file}", "{title}"],
                }
            },
        }
    )


def does(id_: str, script: str, **more: Any) -> dict[str, Any]:
    """A task whose agent runs a script."""
    return {"id": id_, "title": f". ./{id_}.sh", "prompt": "Do it.", **more, "_": script}


def write(workshop: Workshop, *tasks: dict[str, Any]) -> None:
    """A plan of one epic, with the scripts of its tasks committed."""
    for each in tasks:
        workshop.write(f"{each['id']}.sh", each.pop("_"))
    workshop.commit("Scripts")
    workshop.plan(epic("one", *tasks))


async def say(workshop: Workshop, entry: Waiting, choice: Any, text: str = "") -> None:
    """Answer while no run goes on."""
    project = await workshop.project()
    more = {"intervention": entry.intervention, "text": text}
    assert await request(project, project.load_plan, choice, entry.item, **more)


def prompts(workshop: Workshop) -> list[str]:
    """What agents were told in the last run."""
    folder = workshop.root / ".git/yoke/sessions"
    return [(folder / event["session"] / "prompt.md").read_text() for event in workshop.of("session.started")]


async def test_a_question_waits_and_its_answer_is_in_the_next_prompt(workshop: Workshop) -> None:
    other = does("one.c", "echo c > c.txt")
    write(workshop, does("one.a", ASKS), does("one.b", "echo b > b.txt", depends_on=["one.a"]), other)
    report = await workshop.run()
    (entry,) = report.waiting
    assert (entry.kind, entry.item, entry.choices) == ("question", "one.a", ("answer", "skip"))
    assert entry.reason == "Which colour?\nRed or blue."
    assert report.exit_code is ExitCode.FAILED
    assert not report.failed, "asking is not failing"
    ended = {event["task"]: event for event in workshop.of("session.finished")}
    assert set(ended) == {"one.a", "one.c"}, "what depends on it waits, everything else goes on"
    assert (ended["one.a"]["state"], ended["one.c"]["state"]) == ("interrupted", "completed")
    assert workshop.git("show", f"{ended['one.a']['kept_ref']}:begun.txt") == "begun"
    assert (await workshop.states())["one.a"] == "pending"
    await workshop.run()
    assert not workshop.of("session.started"), "it waits in the next run, too"
    await say(workshop, entry, "answer", "Green.")
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK
    (prompt, _) = prompts(workshop)
    assert "> Which colour?\n> Red or blue.\n\nThe answer:\n\nGreen." in prompt
    assert "Green." in workshop.git("show", "main:answer.txt")
    assert [event["attempt"] for event in workshop.of("session.started")] == [1, 1]


async def test_an_agent_that_waits_for_its_answer_has_asked(workshop: Workshop) -> None:
    write(workshop, does("one.a", 'echo Why? > "$YOKE_QUESTION"; sleep 60', timeout="1s"))
    (entry,) = (await workshop.run()).waiting
    assert (entry.kind, entry.reason) == ("question", "Why?")


async def test_secrets_and_endless_questions_are_cut(workshop: Workshop) -> None:
    key = "sk_" + "live_abcdefghijklmnop"
    write(workshop, does("one.a", f"yes 'Is {key} right?' | head -c 90000 > \"$YOKE_QUESTION\""))
    (entry,) = (await workshop.run()).waiting
    assert len(entry.reason) <= 4000
    assert key not in entry.reason
    assert "[redacted]" in entry.reason


async def test_a_question_can_be_answered_by_retry_or_skip(workshop: Workshop) -> None:
    write(workshop, does("one.a", ASKS), does("one.b", "echo b > b.txt"))
    await workshop.run()
    project = await workshop.project()
    await request(project, project.load_plan, "retry", "one.a")
    report = await workshop.run()
    assert "Nobody answered. Decide yourself" in prompts(workshop)[0]
    assert report.exit_code is ExitCode.OK
    write(workshop, does("one.a", "true"), does("one.b", "true"), does("one.d", "echo ? >$YOKE_QUESTION"))
    (entry,) = (await workshop.run()).waiting
    await request(project, (await workshop.project()).load_plan, "skip", entry.item)
    assert not (await workshop.status())["interventions"]


async def test_questions_can_be_turned_off(workshop: Workshop) -> None:
    workshop.config(agents={"questions": False, "max_attempts": 1})
    workshop.plan(epic("one", task("one.a", 'echo "${YOKE_QUESTION-none}" > a.txt')))
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK
    assert (workshop.root / "a.txt").read_text() == "none\n"
    assert "Nobody can answer questions" in prompts(workshop)[0]


async def test_a_command_without_a_prompt_gets_its_answer_in_a_file(workshop: Workshop) -> None:
    workshop.config(agents={"default": "shell", "max_attempts": 1})
    asks = (
        'if test -s "$YOKE_ANSWERS"; then cp "$YOKE_ANSWERS" a.txt; else echo Which? > "$YOKE_QUESTION"; fi'
    )
    workshop.plan(epic("one", task("one.a", asks)))
    (entry,) = (await workshop.run()).waiting
    await say(workshop, entry, "answer", "The red one.")
    assert (await workshop.run()).exit_code is ExitCode.OK
    told = workshop.git("show", "main:a.txt")
    assert "> Which?" in told
    assert told.splitlines()[-1] == "The red one."


@pytest.mark.parametrize("choice", ["answer", "retry"])
async def test_what_was_answered_and_is_asked_again_is_a_failed_attempt(
    workshop: Workshop, choice: str
) -> None:
    write(workshop, does("one.a", "printf 'Which\n %s?' one > \"$YOKE_QUESTION\""))
    (entry,) = (await workshop.run()).waiting
    await say(workshop, entry, choice, "The red one." if choice == "answer" else "")
    report = await workshop.run()
    assert "asked what had been answered already: Which" in report.failed["one.a"]
    assert [waiting.kind for waiting in report.waiting] == ["retry_limit"]


async def test_another_question_after_an_answer_is_asked(workshop: Workshop) -> None:
    script = """
    if grep -q 'The answer:' "$YOKE_PROMPT"; then echo 'How big?' > "$YOKE_QUESTION"
    else echo 'Which one?' > "$YOKE_QUESTION"; fi
    """
    write(workshop, does("one.a", script))
    (entry,) = (await workshop.run()).waiting
    await say(workshop, entry, "answer", "The red one.")
    (entry,) = (await workshop.run()).waiting
    assert (entry.kind, entry.reason) == ("question", "How big?")


async def test_a_link_is_no_question(workshop: Workshop) -> None:
    secret = workshop.root.parent / "secret"
    secret.write_text("what only the user may read")
    write(workshop, does("one.a", f'echo a > a.txt; ln -s {secret} "$YOKE_QUESTION"'))
    assert (await workshop.run()).exit_code is ExitCode.OK
