"""What the documentation says is what the code does."""

from __future__ import annotations

import inspect
import re
import runpy
from pathlib import Path

import click
import pytest

from yokeflow import events
from yokeflow.cli import COMMANDS, yoke
from yokeflow.cli.lines import describe
from yokeflow.hookspecs import Hooks
from yokeflow.settings import fields

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "write_reference.py"))
PAGES: dict[str, str] = SCRIPT["pages"]()
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
HOOKS = [name for name, each in vars(Hooks).items() if inspect.isfunction(each)]
#: Commands of plugins that documents write.
OF_EXAMPLES = {"rules", "turns"}
_CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_TYPED = re.compile(r"(?:^|[\s`(|;&/])yoke +([a-z][a-z-]*)(?: +([a-z][a-z-]*))?", re.MULTILINE)
_HANDLED = re.compile(r"@on\(([^)]*)\)")
_RECORDED = re.compile(r"(?:[Ee]vent|emit\w*)\(\s*\"([a-z]+\.[a-z]+)\"")
_NAME = re.compile(r"\"([a-z.]+)\"")
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def commands(command: click.Command, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], click.Command]:
    """A command and all below it, by what is typed."""
    found = {path: command}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            found |= commands(inner, (*path, name))
    return found


ALL = {path: command for path, command in commands(yoke).items() if path}


@pytest.mark.parametrize("name", PAGES)
def test_the_reference_is_up_to_date(name):
    assert (REFERENCE / name).read_text(encoding="utf-8") == PAGES[name], "run `make reference`"


def test_the_reference_has_no_other_pages():
    assert {path.name for path in REFERENCE.iterdir()} == set(PAGES)


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_is_documented_with_examples_that_work(path):
    typed = " ".join(("yoke", *path))
    assert f"# {typed}\n" in PAGES["commands.md"]
    epilog = ALL[path].epilog or ""
    examples = [line for line in epilog.splitlines() if "yoke " in line]
    assert examples, f"{typed} has no examples"
    assert any(typed in example for example in examples)
    for example in examples:
        assert not unknown(f"`{example}`")


def test_every_command_and_every_key_is_explained():
    for path, command in ALL.items():
        assert command.help, path
        assert all(option.help for option in command.params if isinstance(option, click.Option)), path
    for key, found in fields():
        assert f"| `{'.'.join(map(str, key))}` |" in PAGES["config.md"]
        assert found.description


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_tested_and_says_how_it_fails(hook):
    tests = [path for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)]
    assert any(re.search(rf"\b{hook}\b", path.read_text(encoding="utf-8")) for path in tests)
    doc = " ".join((getattr(Hooks, hook).__doc__ or "").split())
    assert re.search(r"Fails (closed|soft)\.", doc)


def test_every_event_that_is_recorded_or_understood_is_documented():
    known = {name for name, _ in SCRIPT["event_types"](events.__doc__)}
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "yokeflow").rglob("*.py")]
    handled = {name for text in sources for names in _HANDLED.findall(text) for name in _NAME.findall(names)}
    recorded = {name for text in sources for name in _RECORDED.findall(text)}
    assert {"run.finished", "task.skipped", "session.started"} <= handled & recorded
    assert handled | recorded <= known


def test_every_event_has_words_of_its_own():
    """In the live view and in `yoke log`."""
    names = [name for name, _ in SCRIPT["event_types"](events.__doc__)]
    assert [name for name in names if describe(events.Event(name))[0] == name] == []


def unknown(text: str) -> list[str]:
    """The commands that a document shows and that do not exist."""
    typed = [match for code in _CODE.findall(text) for match in _TYPED.findall(code)]
    wrong = []
    for name, inner in typed:
        if name in OF_EXAMPLES:
            continue
        if name not in COMMANDS:
            wrong.append(name)
        elif inner and isinstance(ALL[(name,)], click.Group) and (name, inner) not in ALL:
            wrong.append(f"{name} {inner}")
    return wrong


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_document_shows_a_command_or_links_a_file_that_is_not_there(path):
    text = path.read_text(encoding="utf-8")
    assert unknown(text) == []
    links = [link for link in _LINK.findall(text) if "://" not in link]
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_a_command_that_does_not_exist_would_be_found():
    assert unknown("type `yoke frobnicate`, or\n```sh\nyoke worktree shave\nyoke plan --plan x\n```\n") == [
        "frobnicate",
        "worktree shave",
    ]
