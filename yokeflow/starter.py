"""The first files of a project, made from the settings themselves so that they cannot differ from them."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import yaml
from pydantic import BeforeValidator

from yokeflow.config import Config, Section
from yokeflow.document import format_duration, parse_duration
from yokeflow.errors import RepositoryError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic.fields import FieldInfo

#: Names in the sections that have names of the user's own, where they are no agents.
_EXAMPLES = {"profiles": "my-profile", "prices": "my-model", "tiers": "claude"}
_HEAD = """\
# How YokeFlow works in this repository. Every key is here with its default: remove its `#` to change it.
# `yoke config show` tells what is in effect and where it comes from.
"""

PLAN = """\
# The backlog: epics, each with a branch and a worktree of its own, and the tasks that agents do in them.
# `yoke plan validate` checks this file, `yoke plan graph` draws it, `yoke run` does it.
epics:
  - id: basics
    title: A newcomer can set the project up
    tasks:
      - id: basics.readme
        title: Quick start in the README
        prompt: |
          Read the repository. Add a section "Quick start" to README.md (make the file if there is none):
          what the project does in two sentences, how to set it up, how to run it, how to run its tests.
        files: [README.md]            # globs it owns: tasks that share files never run at the same time
        estimate: 15m
        verify: ["test -s README.md"] # commands that must exit 0 before the task counts
      - id: basics.ignore
        title: Git ignores what is generated
        prompt: Extend .gitignore by what the tools of this project generate. Remove nothing from it.
        files: [.gitignore]
        estimate: 5m
        allow_empty: true             # nothing to change is fine
        # approve: after              # a person approves before it counts; or `before` it starts

  - id: contributing
    title: A contributor knows what is expected
    depends_on: [basics]              # whole epics or single tasks
    tasks:
      - id: contributing.guide
        title: Guide for contributors
        prompt: |
          Write CONTRIBUTING.md: how to set up, test and format, and what a good change looks like here,
          as the history and the code of this repository show it. Link it from README.md.
        files: [CONTRIBUTING.md, README.md]
        priority: high                # 0 (first) to 9, or critical, high, normal, low
        estimate: 20m
        verify: ["test -s CONTRIBUTING.md"]
"""


def config_text() -> str:
    """A `.yokeflow.yaml` in which every key is commented out and explained."""
    return "\n".join([_HEAD, *_section(Config, "")]).rstrip() + "\n"


def write_new(path: Path, text: str) -> bool:
    """Write a file unless there is one, which stays as it is; tell whether it was written.

    Raises RepositoryError when it cannot be written.
    """
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True)
        if path.exists() or path.is_symlink():
            return False
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        hint = "check the folder, its permissions and the free space"
        raise RepositoryError(f"{path} cannot be written: {error.strerror}", hint=hint) from error
    return True


def _section(model: type[Section], indent: str, mark: str = "") -> Iterator[str]:
    """`mark` comes before headings, which are comments below a heading that is one."""
    for name, found in model.model_fields.items():
        inner = found.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            yield from _comment(inner.__doc__, indent)
            yield f"{indent}{mark}{name}:"
            yield from _section(inner, f"{indent}  ", mark)
        else:
            yield from _comment(found.description, indent)
            yield from _key(name, found, indent)
        if not indent:
            yield ""


def _key(name: str, found: FieldInfo, indent: str) -> Iterator[str]:
    """A key without its `#` is indented as it must be; a comment has a space after the `#`."""
    of = get_args(found.annotation)[-1] if get_origin(found.annotation) is dict else None
    if isinstance(of, type) and issubclass(of, Section):
        yield f"{indent}#{name}:"
        yield f"{indent}  #{_EXAMPLES.get(name, 'my-agent')}:"
        yield from _section(of, f"{indent}    ", "#")
        return
    choices = _choices(found.annotation)
    if choices:
        yield f"{indent}# One of {', '.join(choices)}."
    yield f"{indent}#{name}: {written_default(found)}"


def _comment(text: str | None, indent: str) -> Iterator[str]:
    lines = (line.strip() for line in (text or "").splitlines())
    return (f"{indent}# {line}" for line in lines if line)


def _choices(annotation: Any) -> list[str]:
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [str(each.value) for each in annotation]
    if get_origin(annotation) is Literal:
        return [str(each) for each in get_args(annotation)]
    return []


def written_default(found: FieldInfo) -> str:
    """A key's default as YAML spells it; a number for one that has none."""
    if found.is_required():
        return "0"
    default = found.get_default(call_default_factory=True)
    if default is None:
        return "null"
    if any(isinstance(each, BeforeValidator) and each.func is parse_duration for each in found.metadata):
        default = format_duration(default)
    elif isinstance(default, Enum):
        default = default.value
    elif isinstance(default, tuple):
        default = list(default)
    written: str = yaml.safe_dump(default, default_flow_style=True, allow_unicode=True, width=1000)
    return written.removesuffix("...\n").strip()
