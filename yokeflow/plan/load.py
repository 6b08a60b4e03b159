"""From the plan file to a Plan that can be relied on."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from yokeflow.document import load_document
from yokeflow.errors import DocumentError
from yokeflow.model import Dependency, Epic, Plan, Task
from yokeflow.plan.checks import Backlog, check, named
from yokeflow.plan.entries import DependencyEntry, read_epics

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from yokeflow.document import Document
    from yokeflow.errors import Problem
    from yokeflow.plan.entries import EpicEntry, EpicItem, TaskEntry, TaskItem

_LONGEST_TITLE = 100


def load_plan(path: Path, *, branch_prefix: str = "epic/") -> Plan:
    """Read and validate a plan file. `branch_prefix` goes before an epic's id to name its branch.

    Raises DocumentError with every problem of the file.
    """
    document = _document(path)
    problems: list[Problem] = []
    epics = read_epics(document, problems)
    if not epics and not problems:
        hint = "write `epics:` with a first epic; `yoke init` writes an example"
        problems.append(document.problem((), "the plan is empty", hint))
    problems += check(Backlog(document, epics, branch_prefix))
    if problems:
        raise DocumentError(sorted(problems, key=lambda problem: problem.line))
    positions = count()
    return Plan(tuple(_epic(item, i, positions) for i, item in enumerate(epics)), path)


def _document(path: Path) -> Document:
    try:
        return load_document(path)
    except DocumentError as error:
        if path.exists():
            raise
        hint = "let `yoke init` write a first one, or name yours with `--plan FILE`"
        raise DocumentError([replace(problem, hint="") for problem in error.problems], hint=hint) from error


def _epic(item: EpicItem, position: int, positions: count[int]) -> Epic:
    entry = item.entry
    return Epic(
        id=entry.id,
        title=entry.title or entry.id,
        depends_on=_dependencies(entry),
        tasks=tuple(_task(task, next(positions)) for task in item.tasks),
        approve=entry.approve or "",
        position=position,
    )


def _task(item: TaskItem, position: int) -> Task:
    entry = item.entry
    return Task(
        id=entry.id,
        epic=item.epic,
        title=entry.title or _first_line((entry.prompt, entry.run)),
        prompt=entry.prompt or ("" if entry.run else entry.title),
        run=entry.run,
        depends_on=_dependencies(entry),
        files=entry.files,
        conflicts_with=entry.conflicts_with,
        category=entry.category,
        priority=entry.priority,
        estimate=entry.estimate,
        agent=entry.agent,
        model=entry.model,
        profile=entry.profile,
        needs=entry.needs,
        critical=entry.critical,
        verify=entry.verify,
        timeout=entry.timeout,
        allow_empty=entry.allow_empty,
        approve=entry.approve or "",
        position=position,
    )


def _dependencies(entry: EpicEntry | TaskEntry) -> tuple[Dependency, ...]:
    return tuple(
        Dependency(named(each), each.type, each.reason)
        if isinstance(each, DependencyEntry)
        else Dependency(each)
        for each in entry.depends_on
    )


def _first_line(texts: Iterable[str]) -> str:
    lines = (line.strip() for text in texts for line in text.splitlines() if line.strip())
    return next(lines)[:_LONGEST_TITLE]
