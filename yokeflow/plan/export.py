"""A plan as the file it could have come from."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import yaml

from yokeflow.document import format_duration
from yokeflow.model import Dependency, Strength, Task

if TYPE_CHECKING:
    from yokeflow.model import Epic, Plan

#: Line ends that YAML folds unless they are escaped, which needs double quotes.
_BREAKS = re.compile("[\x85\u2028\u2029\ufeff\r]")
#: Told by where a task stands in the file.
_PLACES = ("epic", "position")


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as people do."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    lines = "|" if "\n" in text else None
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style='"' if _BREAKS.search(text) else lines
    )


_Dumper.add_representer(str, _text)


def to_yaml(plan: Plan) -> str:
    """A plan file that loads as the same plan. Keys at their defaults are left out."""
    epics = {epic.id for epic in plan.epics}
    data = {"epics": [_epic(epic, epics) for epic in plan.epics]}
    written: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return written


def _epic(epic: Epic, epics: set[str]) -> dict[str, Any]:
    head: dict[str, Any] = {"id": epic.id, "title": epic.title}
    if epic.depends_on:
        head["depends_on"] = [_dependency(each, epics) for each in epic.depends_on]
    if epic.approve:
        head["approve"] = epic.approve
    return head | {"tasks": [_task(task, epics) for task in epic.tasks]}


def _task(task: Task, epics: set[str]) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for each in fields(Task):
        value = getattr(task, each.name)
        if each.name in _PLACES or value == each.default:
            continue
        if each.name == "depends_on":
            value = [_dependency(dependency, epics) for dependency in value]
        elif each.name in {"estimate", "timeout"}:
            value = format_duration(value)
        written[each.name] = list(value) if isinstance(value, tuple) else value
    return written


def _dependency(dependency: Dependency, epics: set[str]) -> str | dict[str, str]:
    if dependency.strength is Strength.HARD and not dependency.reason:
        return dependency.predecessor
    kind = "epic" if dependency.predecessor in epics else "task"
    said = {kind: dependency.predecessor, "type": dependency.strength.value}
    return said | ({"reason": dependency.reason} if dependency.reason else {})
