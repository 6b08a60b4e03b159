"""The error boundary, exit codes, and how little `yoke --help` loads."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest

from yokeflow.__main__ import main
from yokeflow.cli import COMMANDS, LazyGroup, yoke
from yokeflow.commands import Entry
from yokeflow.errors import DocumentError, ExitCode, LimitError, Problem, UsageError, YokeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEAVY = ("pydantic", "yaml", "sqlalchemy", "asyncpg", "alembic", "rich", "asyncio", "platformdirs", "psutil")


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Add a command `fail` that raises."""

    def install(error: BaseException) -> None:
        @click.command()
        def fail() -> None:
            raise error

        monkeypatch.setitem(yoke.commands, "fail", fail)

    return install


def test_an_error_meant_for_a_person_gives_message_hint_and_its_exit_code(failing, capsys):
    failing(LimitError("the budget is spent", hint="raise cost.budget_limit_usd"))
    assert main(["fail"]) == ExitCode.LIMIT
    said = capsys.readouterr()
    assert said.err == "error: the budget is spent\nhint: raise cost.budget_limit_usd\n"
    assert said.out == ""


def test_all_problems_of_a_file_are_told_with_their_lines(failing, capsys, tmp_path):
    file = tmp_path / "plan.yaml"
    failing(DocumentError([Problem(file, 3, "epics[0].id", "is missing"), Problem(file, 9, "", "is odd")]))
    assert main(["fail"]) == ExitCode.USAGE
    assert f"{file}:3: epics[0].id: is missing" in (said := capsys.readouterr().err)
    assert f"{file}:9: is odd" in said


def test_errors_of_parallel_work_are_told_one_by_one(failing, capsys):
    failing(ExceptionGroup("work", [UsageError("one"), ExceptionGroup("more", [YokeError("two")])]))
    assert main(["fail"]) == ExitCode.USAGE
    assert capsys.readouterr().err == "error: one\nerror: two\n"


def test_control_sequences_in_a_message_do_not_reach_the_terminal(failing, capsys):
    failing(YokeError("title \x1b[2J\x1b]0;gone\x07wiped"))
    main(["fail"])
    assert capsys.readouterr().err == "error: title wiped\n"


def test_a_defect_leaves_a_log_with_traceback_and_versions(failing, capsys, home: Path):
    failing(ZeroDivisionError("by nothing"))
    assert main(["fail"]) == ExitCode.DEFECT
    (log,) = (home / "logs").iterdir()
    said = capsys.readouterr().err
    assert "unexpected ZeroDivisionError: by nothing" in said
    assert str(log) in said
    content = log.read_text()
    assert "Traceback (most recent call last)" in content
    assert "command: yoke fail" in content
    assert "sqlalchemy: 2" in content


def test_a_defect_is_told_where_no_log_can_be_written(failing, capsys, home: Path):
    home.parent.mkdir(exist_ok=True)
    home.write_text("a file where the folder should be")
    failing(RuntimeError("odd"))
    assert main(["fail"]) == ExitCode.DEFECT
    assert "Traceback" in (said := capsys.readouterr().err)
    assert "no log could be written" in said


def test_an_interrupt_is_130(failing):
    failing(KeyboardInterrupt())
    assert main(["fail"]) == 130


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["statsu"], "There is no command `statsu`. Did you mean `status`?"),
        (["run", "--max-concurrency", "0"], "0 is not in the range"),
        (["run", "--no-such-option"], "No such option"),
        (["show"], "Missing argument"),
    ],
)
def test_wrong_use_is_2_and_names_the_help(argv, said, capsys):
    assert main(argv) == ExitCode.USAGE
    error = capsys.readouterr().err
    assert said in error
    assert "--help" in error


def test_without_arguments_the_overview_is_shown(capsys):
    assert main([]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in COMMANDS)


@pytest.mark.parametrize("argv", ["[]", "['--help']", "['--version']"])
def test_the_overview_imports_nothing_heavy(argv):
    code = (
        f"import json, sys; from yokeflow.__main__ import main; main({argv});"
        " print('\\n' + json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert not loaded & set(HEAVY)
    assert not {entry.module for entry in COMMANDS.values()} & loaded


def test_a_look_at_the_status_loads_no_orm():
    code = "import json, sys, yokeflow.cli.status; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(json.loads(done.stdout)) & {"sqlalchemy", "alembic", "rich"}


@pytest.mark.parametrize(
    "argv",
    [
        ["undo", "--help"],
        ["attention", "--help"],
        ["attention", "answer", "--help"],
        ["hooks", "status"],
        ["hooks", "uninstall"],
    ],
)
def test_what_needs_no_store_loads_nothing_of_it(argv, tmp_path):
    subprocess.run(["git", "init", "-q", "-b", "main", tmp_path], check=True)
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@localhost")
    subprocess.run(
        ["git", "-C", tmp_path, *identity, "commit", "-q", "--allow-empty", "-m", "First"], check=True
    )
    code = (
        "import json, sys; from yokeflow.__main__ import main; main(sys.argv[1:]);"
        " print('\\n' + json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *argv], capture_output=True, check=True, text=True, cwd=tmp_path
    )
    assert not set(json.loads(done.stdout.splitlines()[-1])) & {"sqlalchemy", "asyncpg", "pydantic", "yaml"}


def test_every_command_has_help_with_an_explanation(capsys):
    for name in COMMANDS:
        assert main([name, "--help"]) == 0, name
        said = capsys.readouterr().out
        assert said.startswith(f"Usage: yoke {name}"), name
        assert len(said.splitlines()) > 4, name


def test_a_command_can_be_added_later_without_being_imported():
    group = LazyGroup("yoke", lazy=COMMANDS)
    group.lazy["extra"] = Entry("yokeflow.cli.pause", "From elsewhere.")
    context = click.Context(group)
    assert "From elsewhere." in group.get_help(context)
    command = group.get_command(context, "extra")
    assert command is not None
    assert command.help is not None
    assert command.help.startswith("Have the run that is going on start no new tasks")


def test_module_and_program_are_the_same():
    done = subprocess.run(
        [sys.executable, "-m", "yokeflow", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("yoke 0.")
