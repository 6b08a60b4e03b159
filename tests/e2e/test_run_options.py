"""What a whole run takes from the command line, the environment and the agents' settings, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.errors import ExitCode, UsageError
from yokeflow.store import history

TIGHT = """
from yokeflow.errors import LimitError
from yokeflow.hookspecs import hookimpl

@hookimpl
def reserve_budget(attempt):
    if attempt.task.id == "dear.a":
        raise LimitError("dear.a would cost more than is left", hint="raise cost.budget_limit_usd")
    return 0.25
"""


def events_of(stdout: str) -> list[dict[str, Any]]:
    """The output of `yoke run --json`; every line must be an object."""
    return [json.loads(line) for line in stdout.splitlines()]


async def stored(workshop: Workshop, run: str) -> list[dict[str, Any]]:
    """The events of a run as the store has them."""
    project = await workshop.project()
    async with project.store() as (store, project_id), store.begin() as connection:
        entries = await history.log(connection, project_id, run=run, limit=1000)
    return [json.loads(entry.event.to_json()) for entry in entries]


async def test_json_is_exactly_what_the_store_keeps(workshop: Workshop) -> None:
    lines = ['größer \\ "x"', '{"type": "run.finished"}']
    said = " ".join(f"printf '%s\\n' '{line}';" for line in lines)
    noisy = f"{said} printf 'bad \\377 byte\\n'; echo >&2 err; echo a > a"
    workshop.config(checks={"task": ["echo from a check"]})
    workshop.plan(epic("one", task("one.a", noisy), task("one.b")), epic("two", task("two.a", "echo b > b")))
    done = workshop.yoke("run", "--json")
    assert (done.returncode, done.stderr) == (ExitCode.OK, "")
    events = events_of(done.stdout)
    assert events == await stored(workshop, events[0]["run"])
    assert set(lines) <= {event.get("text") for event in events}
    assert (events[0]["type"], events[-1]["type"]) == ("run.started", "run.finished")


def test_flags_beat_the_environment_which_beats_the_file(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.config(parallel={"strategy": "smart", "max_concurrency": 2, "merge_strategy": "merge"})
    monkeypatch.setenv("YOKE_PARALLEL__STRATEGY", "by_epic")
    monkeypatch.setenv("YOKE_PARALLEL__MERGE_STRATEGY", "squash")
    monkeypatch.setenv("YOKE_AGENTS__OPTIONS__SHELL__ENV", "{GREETING: hello}")
    monkeypatch.setenv("YOKE_CHECKS__TASK", "[test -s one.a.txt]")
    workshop.plan(epic("one", task("one.a", "echo $GREETING > one.a.txt")))
    done = workshop.yoke("run", "--json", "--strategy", "by_task", "--max-concurrency", "5")
    assert done.returncode == ExitCode.OK, done.stdout
    events = events_of(done.stdout)
    assert (events[0]["strategy"], events[0]["concurrency"]) == ("by_task", 5)
    branches = [event["branch"] for event in events if event["type"] == "session.started"]
    assert branches[0].startswith("lane/")
    checked = [event["command"] for event in events if event["type"] == "check.finished"]
    assert checked[0] == "test -s one.a.txt"
    assert (workshop.root / "one.a.txt").read_text() == "hello\n"
    assert workshop.git("rev-list", "--count", "main") == "2"


@pytest.mark.parametrize(
    ("args", "lanes"),
    [
        (("--strategy", "by_epic"), {"epic/one"}),
        (("--strategy", "by_task"), {"lane/one.a", "lane/one.b"}),
        (("--sequential", "--strategy", "smart"), {"lane/one.a", "lane/one.b"}),
    ],
    ids=lambda given: given[-1] if isinstance(given, tuple) else "",
)
def test_the_strategy_decides_who_shares_a_worktree(
    workshop: Workshop, args: tuple[str, ...], lanes: set[str]
) -> None:
    workshop.plan(epic("one", task("one.a", files=["one.a.txt"]), task("one.b", files=["one.b.txt"])))
    done = workshop.yoke("run", "--json", *args)
    assert done.returncode == ExitCode.OK, done.stdout
    events = events_of(done.stdout)
    assert {event["branch"] for event in events if event["type"] == "session.started"} == lanes
    assert events[0]["concurrency"] == (1 if "--sequential" in args else 3)
    workshop.assert_tidy()


async def test_a_command_agent_gets_its_placeholders_and_the_prompt(workshop: Workshop) -> None:
    """In a file or on standard input, whatever is in the title, and never through a shell."""
    script = workshop.root.parent / "agent script.py"
    script.write_text(
        "import json, os, sys\n"
        "from pathlib import Path\n"
        "name, *given = sys.argv[1:]\n"
        "told = sys.stdin.read() or Path(given[0]).read_text()\n"
        "seen = [given[1:], told, os.getcwd(), os.environ['YOKE_TITLE']]\n"
        "Path(name + '.json').write_text(json.dumps(seen))\n"
    )
    names = ("prompt_file", "model", "worktree", "task", "title", "scratch")
    words = [f"{{{name}}}" for name in names]
    argv = [sys.executable, str(script), "{task}", *words, "literal-{task}-{other}"]
    options = {
        "by-file": {"kind": "command", "argv": argv, "prompt": "file"},
        "by-stdin": {"kind": "command", "argv": argv, "args": ["--more", "{task}"]},
    }
    workshop.config(agents={"options": options, "max_attempts": 1})
    title = 'It\'s $(touch owned) "ü" {task}'
    asked = {"title": title, "prompt": "Please do\nthis `now`", "model": "m-1", "run": ""}
    workshop.plan(
        epic("one", {**task("one.a", agent="by-file"), **asked}),
        epic("two", {**task("two.a", agent="by-stdin"), **asked}),
    )
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, report.failed
    for name, more in (("one.a", []), ("two.a", ["--more", "two.a"])):
        (model, worktree, given_task, given_title, scratch, literal, *rest), prompt, folder, variable = (
            json.loads((workshop.root / f"{name}.json").read_text())
        )
        assert (model, given_task, given_title, variable) == ("m-1", name, title, title)
        assert (worktree, literal, rest) == (folder, f"literal-{name}-{{other}}", more)
        assert Path(folder).parent == workshop.root / ".worktrees"
        assert scratch not in ("", worktree)
        assert "Please do\nthis `now`" in prompt
    assert not list(workshop.root.parent.rglob("owned"))


async def test_the_slow_are_stopped_in_time_wherever_they_are(workshop: Workshop) -> None:
    """An agent by the settings or by its task, and a check."""
    workshop.config(agents={"timeout": "1s", "max_attempts": 1}, checks={"timeout": "1s"})
    workshop.plan(
        epic("agent", task("agent.a", "sleep 600")),
        epic("check", task("check.a", verify=["sleep 600"])),
        epic("patient", task("patient.a", "sleep 1.2; echo a > a", timeout="20s")),
    )
    report = await workshop.run()
    assert "took longer than its timeout" in report.failed["agent.a"]
    assert report.failed["check.a"] == "check `sleep 600` failed (timeout)"
    assert report.completed == ("patient.a",)


async def test_a_budget_lets_running_sessions_finish_and_ends_with_four(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = workshop.root.parent / "plugins" / "tight_budget.py"
    plugin.parent.mkdir()
    plugin.write_text(TIGHT)
    monkeypatch.setenv("PYTHONPATH", str(plugin.parent))
    monkeypatch.setenv("YOKE_PLUGINS", "tight_budget")
    slow = task("slow.a", "sleep 1; echo slow > slow.txt", priority=0)
    workshop.plan(epic("slow", slow), epic("dear", task("dear.a")))
    done = workshop.yoke("run", "--json")
    assert done.returncode == ExitCode.LIMIT, done.stdout + done.stderr
    events = events_of(done.stdout)
    assert [event["task"] for event in events if event["type"] == "task.completed"] == ["slow.a"]
    assert [event["amount_usd"] for event in events if event["type"] == "budget.reserved"] == [0.25]
    assert "dear.a would cost more" in next(e["reason"] for e in events if e["type"] == "budget.exceeded")
    assert (events[-1]["state"], events[-1]["exit_code"]) == ("failed", 4)
    monkeypatch.setenv("YOKE_PLUGINS", "")
    states = await workshop.states()
    assert (states["slow.a"], states["slow"], states["dear.a"]) == ("completed", "completed", "pending")
    assert workshop.yoke("run").returncode == ExitCode.OK
    workshop.assert_tidy()


def test_exit_codes_tell_scripts_what_happened(workshop: Workshop) -> None:
    workshop.config(agents={"max_attempts": 1})
    workshop.plan(epic("one", task("one.a", "exit 1")))
    failed = workshop.yoke("run")
    assert failed.returncode == ExitCode.FAILED
    assert "yoke retry one.a" in failed.stdout
    workshop.write("plan.yaml", "epics: [{id: one, tasks: [{id: one.a, titel: x}]}]\n")
    wrong = workshop.yoke("run")
    assert (wrong.returncode, wrong.stdout) == (ExitCode.USAGE, "")
    assert "plan.yaml:1" in wrong.stderr
    assert "did you mean `title`?" in wrong.stderr


async def test_an_interrupted_run_leaves_with_130_and_goes_on_later(workshop: Workshop) -> None:
    flag = workshop.root.parent / "flag"
    workshop.plan(
        epic("one", task("one.a"), task("one.b", f"echo here; test -e {flag} || sleep 600; echo b > b"))
    )
    with workshop.start("run") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "one.b: | here" in line:
                os.kill(process.pid, signal.SIGINT)
                break
        process.stdout.read()
    assert process.returncode == ExitCode.INTERRUPTED
    assert await workshop.states() == {"one": "in_progress", "one.a": "completed", "one.b": "pending"}
    flag.touch()
    report = await workshop.run()
    assert (report.exit_code, report.completed) == (ExitCode.OK, ("one.b",))
    attempts = {event["task"]: event["attempt"] for event in workshop.of("session.started")}
    assert attempts == {"one.b": 1}, "an interrupted attempt does not count"
    workshop.assert_tidy()


def test_limits_without_accounts_are_a_warning_at_the_start(workshop: Workshop) -> None:
    workshop.config(cost={"enabled": False, "budgets": {"run": {"usd": 1.0}}})
    workshop.plan(epic("a", task("a.1")))
    done = workshop.yoke("run")
    assert done.returncode == ExitCode.OK
    assert "warning: " in done.stderr
    assert "cost.budgets.run.usd: is not kept: cost.enabled is false" in done.stderr


async def test_an_agent_that_there_is_not_is_refused_also_with_nothing_to_do(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a")))
    with pytest.raises(UsageError, match=r"there is no agent shel$") as before:
        await workshop.run(agent="shel")
    assert before.value.hint.startswith("did you mean shell? known: ")
    assert (await workshop.run(agent="shell")).landed
    refused = workshop.yoke("run", "--agent", "shel")
    assert (refused.returncode, refused.stdout) == (ExitCode.USAGE, "")
    assert "there is no agent shel\n" in refused.stderr
