"""Write `docs/reference/` from the code. `make reference` runs it; tests/unit/test_docs.py asks for it."""

from __future__ import annotations

import inspect
import re
import sys
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import annotated_types
import click
from pydantic import BeforeValidator

from yokeflow import config, events, hookspecs
from yokeflow.cli import COMMANDS, yoke
from yokeflow.document import parse_duration, parse_size
from yokeflow.plugin_offers import BUILT_IN
from yokeflow.starter import written_default

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic.fields import FieldInfo

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
_WIDTH = 100
_ABOUT_COMMANDS = """\
Every command that reports takes `--json`. Exit codes: 0 all that was asked for is done; 1 something failed or
waits for a person; 2 usage, configuration or plan; 3 a defect, with the log's name; 4 a budget or limit; 130
interrupted.
"""
_ABOUT_CONFIG = """\
`.yokeflow.yaml` in the root of the repository. Every key has a default, so an empty file works. A flag beats
the environment, then come the repository's file, your own (`~/.yokeflow.yaml`, or `$YOKE_HOME/config.yaml`)
and the defaults. In the environment `parallel.max_concurrency` is `YOKE_PARALLEL__MAX_CONCURRENCY`, and
`YOKE_DATABASE_URL` is `database.url`. `yoke config show` prints what is in force and who said it,
`yoke config schema` a JSON Schema for editors.
"""
_ABOUT_HOOKS = """\
A module will do as the object. It is named in the entry-point group `yokeflow` of its distribution, or in
`YOKE_PLUGINS`; `hookimpl` comes from `yokeflow.hookspecs`. `yoke plugins` shows what is loaded.
"""
_ABOUT_EVENTS = """\
Common fields: `id`, `at`, `run`, `type`, and `epic`, `task`, `session` where they apply. `yoke log --json`
and `yoke run --json` print one object a line; `yoke log` keeps them all. `[]` marks a list, `?` what may be
missing.
"""
_MADE = "<!-- Written by `make reference` from {source}; changes belong there. -->"


def pages() -> dict[str, str]:
    """The text of every page by its file name."""
    made: dict[str, tuple[str, Callable[[], Iterator[str]]]] = {
        "commands.md": ("yokeflow/cli", _commands),
        "config.md": ("yokeflow/config/", _config),
        "hooks.md": ("yokeflow/hookspecs.py", _hooks),
        "events.md": ("yokeflow/events.py", _events),
    }
    return {
        name: "\n".join([_MADE.format(source=source), "", *write()]).rstrip() + "\n"
        for name, (source, write) in made.items()
    }


def _commands() -> Iterator[str]:
    yield from ("# Commands", "", _ABOUT_COMMANDS, "| command | what it does |", "|---|---|")
    for name, entry in COMMANDS.items():
        yield f"| [`yoke {name}`](#yoke-{name}) | {entry.help} |"
    top = _context(yoke, "yoke", None)
    for name in COMMANDS:
        command = yoke.get_command(top, name)
        if command is not None:
            yield from _command(command, name, top, "##")


def _command(command: click.Command, name: str, parent: click.Context, mark: str) -> Iterator[str]:
    context = _context(command, name, parent)
    shown = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    yield from ("", f"{mark} yoke {_path(context)}", "", "```text", shown, "```")
    if isinstance(command, click.Group):
        for inner, each in command.commands.items():
            yield from _command(each, inner, context, f"{mark}#")


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return click.Context(
        command, info_name=name, parent=parent, terminal_width=_WIDTH, help_option_names=["-h", "--help"]
    )


def _path(context: click.Context) -> str:
    return context.command_path.removeprefix("yoke ")


def _config() -> Iterator[str]:
    yield from ("# Configuration", "", _ABOUT_CONFIG.rstrip())
    top = [(name, found) for name, found in config.Config.model_fields.items() if not _section_of(found)]
    yield from _keys("Top level", "Keys outside of any section.", "", top)
    for name, found in config.Config.model_fields.items():
        section = _section_of(found)
        if section is not None:
            yield from _section(name, section)
    for plugin in BUILT_IN:
        for name, section in getattr(import_module(plugin), "register_config", dict)().items():
            yield from _section(name, section)


def _section(name: str, section: type[config.Section]) -> Iterator[str]:
    keys = [(inner, found) for inner, found in section.model_fields.items() if not _section_of(found)]
    if keys:
        yield from _keys(f"`{name}`", section.__doc__ or "", f"{name}.", keys)
    for inner, found in section.model_fields.items():
        nested = _section_of(found)
        if nested is not None:
            yield from _section(f"{name}.{inner}", nested)
        of = get_args(found.annotation)[-1] if get_origin(found.annotation) is dict else None
        if isinstance(of, type) and issubclass(of, config.Section):
            yield from _section(f"{name}.{inner}.NAME", of)


def _keys(title: str, text: str, prefix: str, keys: list[tuple[str, FieldInfo]]) -> Iterator[str]:
    yield from ("", f"## {title}", "", text, "", "| key | value | default | |", "|---|---|---|---|")
    for name, found in keys:
        words = " ".join((found.description or "").split())
        cells = (
            f"`{prefix}{name}`",
            _kind(found.annotation, found.metadata),
            "must be given" if found.is_required() else f"`{written_default(found)}`",
            words,
        )
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _section_of(found: FieldInfo) -> type[config.Section] | None:
    kind = found.annotation
    return kind if isinstance(kind, type) and issubclass(kind, config.Section) else None


def _kind(annotation: Any, metadata: list[Any]) -> str:
    """A type in words."""
    if hasattr(annotation, "__metadata__"):
        return _kind(annotation.__origin__, [*annotation.__metadata__, *metadata])
    members = [each for each in get_args(annotation) if each is not type(None)]
    origin = get_origin(annotation)
    if origin is tuple:
        of = _kind(members[0], [])
        return "list of texts" if of == "text" else f"list, each a {of}"
    if origin is dict:
        of = getattr(members[1], "__origin__", members[1])
        return f"mapping of names to {'texts' if of is str else 'sections'}"
    if origin is Literal:
        return " or ".join(f"`{each}`" for each in members)
    if members:
        return " or ".join(_kind(each, metadata) for each in members)
    return _plain(annotation, metadata)


def _plain(annotation: type, metadata: list[Any]) -> str:
    readers = {each.func for each in metadata if isinstance(each, BeforeValidator)}
    if parse_duration in readers:
        return "duration, such as `30m`"
    if parse_size in readers:
        return "size, such as `20MB`"
    if issubclass(annotation, Enum):
        return " or ".join(f"`{each.value}`" for each in annotation)
    words = {bool: "true or false", str: "text", int: "whole number", float: "number"}
    return ", ".join((words[annotation], *_bounds(metadata)))


def _bounds(metadata: list[Any]) -> Iterator[str]:
    for each in metadata:
        for part in getattr(each, "metadata", None) or [each]:
            if isinstance(part, annotated_types.Ge):
                yield f"at least {part.ge}"
            elif isinstance(part, annotated_types.Le):
                yield f"at most {part.le}"


def _hooks() -> Iterator[str]:
    text = inspect.getdoc(hookspecs) or ""
    yield from ("# Hooks", "", text, "", _ABOUT_HOOKS.rstrip())
    yield from ("", "| hook | version | answers | seconds | when it fails |", "|---|---|---|---|---|")
    hooks = [(name, each) for name, each in vars(hookspecs.Hooks).items() if inspect.isfunction(each)]
    for name, hook in hooks:
        promise = hookspecs.PROMISES[name]
        cells = (promise.version, _answers(hook), f"{promise.seconds:g}", _failure(hook))
        yield f"| [`{name}`](#{name}) | {' | '.join(map(str, cells))} |"
    for name, hook in hooks:
        yield from _function(f"## {name}", name, hook)
    for protocol in (hookspecs.Agent, hookspecs.AgentReader, hookspecs.Host):
        yield from ("", f"## {protocol.__name__}", "", inspect.getdoc(protocol) or "")
        for name, each in vars(protocol).items():
            if isinstance(each, property):
                kind = str(inspect.signature(each.fget).return_annotation)
                yield from ("", f"### {name}", "", f"`{kind}`", "", inspect.getdoc(each) or "")
            if inspect.isfunction(each) and not name.startswith("_"):
                yield from _function(f"### {name}", name, each)


def _answers(hook: Any) -> str:
    first = getattr(hook, "yokeflow_spec", {}).get("firstresult")
    return "the first plugin that does not answer None" if first else "every plugin"


def _failure(hook: Any) -> str:
    doc = " ".join((inspect.getdoc(hook) or "").split())
    found = re.search(r"Fails (closed|soft)\.", doc)
    return {"closed": "the run stops", "soft": "a warning; the run goes on"}[found.group(1)] if found else ""


def _function(title: str, name: str, function: Any) -> Iterator[str]:
    signature = inspect.signature(function)
    arguments = [each for each in signature.parameters.values() if each.name != "self"]
    call = f"{name}{signature.replace(parameters=arguments)}".replace("'", "")
    yield from ("", title, "", "```python", call, "```", "", inspect.getdoc(function) or "")


def _events() -> Iterator[str]:
    intro, _, table = (inspect.getdoc(events) or "").partition("\n\n")
    yield from ("# Events", "", intro, "")
    yield from (_ABOUT_EVENTS, "| type | carries |", "|---|---|")
    for name, carries in event_types(table):
        yield f"| `{name}` | {carries} |"


def event_types(table: str) -> Iterator[tuple[str, str]]:
    """Types and what they carry, from the table in the docstring of `yokeflow.events`."""
    rows: list[list[str]] = []
    for line in table.splitlines():
        if re.match(r" +[a-z]+\.[a-z]+( |$)", line):
            rows.append(line.split(maxsplit=1))
        elif rows and line.strip():
            rows[-1][1:] = [f"{' '.join(rows[-1][1:])} {line.strip()}".strip()]
    for name, *carries in rows:
        yield name, "".join(carries)


def main() -> int:
    """Write the pages and tell which changed."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        path = FOLDER / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {path.relative_to(Path.cwd())}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
