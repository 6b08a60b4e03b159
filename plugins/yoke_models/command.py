"""`yoke models`: which model does which work, why, and what that is worth."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from yoke_models import evaluate, history, table, why
from yokeflow.cli import options, output
from yokeflow.cli.opened import opened
from yokeflow.cli.words import count, few, money
from yokeflow.errors import UsageError
from yokeflow.validation import suggest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yokeflow.cli.opened import Opened
    from yokeflow.model import Plan

_HEADER = (
    *("category", "size", "agent", "tier", "model", "sessions", "landed", "success", "90 %"),
    *("mean cost", "per landed task"),
)


@click.group(
    "models",
    invoke_without_command=True,
    epilog=options.examples("yoke models", "yoke models why auth.model", "yoke models evaluate --json"),
)
@options.as_json
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """Show what sessions on each model came to, by category and size of their tasks.

    A session counts as landed when its work is on the target branch and nobody took it back. Sessions whose
    work still waits to land count as neither. The cost per landed task spreads that of failures over them.
    """
    if ctx.invoked_subcommand is None:
        rows = asyncio.run(_evidence())
        if as_json:
            output.data({"evidence": rows})
        elif rows:
            output.table(_HEADER, map(_cells, rows), right=range(5, len(_HEADER)))
        else:
            output.line("No session has finished yet: the choice goes by complexity.")


@command.command(
    "why", epilog=options.examples("yoke models why auth.model", "yoke models why auth.model --json")
)
@click.argument("task")
@options.as_json
def why_command(*, task: str, as_json: bool) -> None:
    """Tell why TASK got its models.

    Each attempt with its reasons; for a task that is still to be done, what would be chosen now.
    """
    data = asyncio.run(_explained(task))
    if as_json:
        output.data(data)
        return
    for line in why.lines(data):
        output.line(line)


@command.command("evaluate", epilog=options.examples("yoke models evaluate", "yoke models evaluate --json"))
@options.as_json
def evaluate_command(*, as_json: bool) -> None:
    """Replay history against other policies.

    Prints what each would have cost for a landed task, with an interval.

    An estimate from the sessions that did what the policy would have done, weighed by how rare they were
    among tasks of their kind. `covered` is the share of the work about which history can say something;
    figures are about that share alone.
    """
    found = asyncio.run(_evaluated())
    if as_json:
        output.data(found)
        return
    if not found["sessions"]:
        output.line(
            "No session for which a tier was chosen has landed or failed yet: there is nothing to replay."
        )
        return
    header = ("policy", "sessions", "covered", "success", "90 %", "per landed task", "90 %")
    output.table(header, map(_policy, found["policies"]), right=range(1, len(header)))
    output.line(f"From {count(found['sessions'], 'session')} with a known outcome.")
    if any(0 < each["tasks"] < evaluate.LEAST_TASKS for each in found["policies"]):
        output.line(f"Too little history: fewer than {evaluate.LEAST_TASKS} tasks did what the policy wants.")


async def _evidence() -> list[dict[str, Any]]:
    async with opened() as place, place.store.begin() as connection:
        groups = await history.groups(connection, place.id)
        return table.evidence(groups, place.project.config)


async def _explained(task: str) -> dict[str, Any]:
    async with opened() as place:
        plan = _plan(place)
        data = await why.explain(place, task, plan)
    if data is None:
        raise _no_task(task, plan)
    return data


def _no_task(name: str, plan: Plan | None) -> UsageError:
    epic = next((epic for epic in plan.epics if epic.id == name), None) if plan else None
    if epic is not None:
        tasks = few([task.id for task in epic.tasks], 8)
        return UsageError(f"{name} is an epic, and models are chosen by task", hint=f"its tasks: {tasks}")
    hint = suggest(name, plan.tasks) if plan else ""
    return UsageError(f"there is no task {name}", hint=hint or "`yoke plan show` lists them")


async def _evaluated() -> dict[str, Any]:
    async with opened() as place:
        config = place.project.config
        async with place.store.begin() as connection:
            rows = await history.episodes(connection, place.id, evaluate.LATEST)
    found = evaluate.episodes(rows, config)
    policies = evaluate.evaluate(found, config)
    return {"sessions": len(found), "tasks": len({each.task for each in found}), "policies": policies}


def _plan(place: Opened) -> Plan | None:
    project = place.project
    return project.load_plan() if (project.repo.root / project.config.plan).exists() else None


def _cells(row: dict[str, Any]) -> Sequence[object]:
    return (
        row["category"] or "-",
        *(row[name] or "-" for name in ("size", "agent", "tier", "model")),
        row["sessions"],
        row["landed"],
        _share(row["success_rate"]),
        _shares(row["success_interval"]),
        _money(row["mean_cost_usd"]),
        _money(row["cost_per_landed_usd"]),
    )


def _policy(row: dict[str, Any]) -> Sequence[object]:
    interval = row["cost_interval"]
    return (
        row["policy"],
        row["sessions"],
        _share(row["covered"]),
        "too little history" if 0 < row["tasks"] < evaluate.LEAST_TASKS else _share(row["success_rate"]),
        _shares(row["success_interval"]),
        _money(row["cost_per_landed_usd"]),
        f"{money(interval[0])} to {money(interval[1])}" if interval else "-",
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _shares(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:.0%} to {interval[1]:.0%}"


def _money(dollars: float | None) -> str:
    return "-" if dollars is None else money(dollars)
