"""`yoke cost`: what was spent, and what is to come."""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import suppress
from datetime import date
from importlib import import_module
from pathlib import Path

import asyncpg
import click

from yoke_costs.queries import By
from yoke_costs.report import LAST, Asked, Report, as_csv, data, report
from yoke_costs.view import forecast_lines, report_lines
from yokeflow.cli import options, output
from yokeflow.engine.reports.glance import GONE, Glance, View
from yokeflow.errors import UsageError

#: Lines of a table, where nothing is said.
_MOST = 20
_WRITTEN = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _day(_context: click.Context, _option: click.Parameter, value: str | None) -> date | None:
    if value is None:
        return None
    with suppress(ValueError):
        if _WRITTEN.fullmatch(value):
            return date.fromisoformat(value)
    raise click.BadParameter(f"{value!r} is no day: write it like 2026-01-31")


@click.command(
    "cost",
    epilog=options.examples(
        "yoke cost",
        "yoke cost --by model",
        "yoke cost --by task --run last",
        "yoke cost --by day --since 2026-01-01 --csv",
        "yoke cost --forecast",
        "yoke cost --json | jq .total.cost_usd",
    ),
)
@click.option("--by", type=click.Choice([*map(str, By)]), help="One line for each, instead of the total.")
@click.option("--since", callback=_day, metavar="DATE", help="From this day on (YYYY-MM-DD, by UTC).")
@click.option("--until", callback=_day, metavar="DATE", help="Up to this day, which is included.")
@click.option("--run", metavar="ID", help=f"Only this run; `{LAST}` for the last one.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    help=f"Lines to show; {_MOST} in a table if nothing is said.",
)
@click.option("--forecast", is_flag=True, help="What the rest of the plan will cost, by category.")
@click.option("--csv", "comma", is_flag=True, help="Print CSV for a spreadsheet.")
@options.as_json
def command(
    *,
    by: str | None,
    since: date | None,
    until: date | None,
    run: str | None,
    limit: int | None,
    forecast: bool,
    comma: bool,
    as_json: bool,
) -> None:
    """Show what was spent, what the limits leave, and what the rest of the plan will cost.

    An operation is what one model did in one session. Where nobody knows what it cost, it counts as unknown,
    never as nothing.
    """
    if run == "":
        raise UsageError("--run names no run", hint=f"write its id, or {LAST}")
    asked = Asked(By(by) if by else None, since, until, run or "")
    if asked.since and asked.until and asked.since > asked.until:
        raise UsageError(f"nothing is since {asked.since} and until {asked.until}", hint="swap the two days")
    if comma and (as_json or forecast):
        raise UsageError("--csv does not go with --json or --forecast", hint="--json has everything")
    if forecast and (by or asked.narrowed):
        raise UsageError(
            "--forecast is about the whole plan", hint="leave --by, --since, --until and --run out"
        )
    found, name = asyncio.run(_found(asked))
    if as_json:
        output.data({"project": name, **data(found, limit)})
    elif comma:
        output.line("\n".join(as_csv(found, limit)))
        if limit is not None and len(found.lines) > limit:
            output.note(f"{len(found.lines) - limit} more are left out: raise --limit")
    else:
        width = output.columns() if output.is_terminal(sys.stdout) else None
        lines = forecast_lines(found, name) if forecast else report_lines(found, name, limit or _MOST, width)
        output.line("\n".join(lines))


async def _found(asked: Asked) -> tuple[Report, str]:
    """The report and the project's name. Where the store is behind, it is brought up to date first."""
    view = await View.open(Path.cwd())
    # Whatever is wrong will be found again, and told.
    with suppress(*GONE):
        if view is not None and (found := await _read(view, asked)) is not None:
            return found, _name(view)
    view = (await Glance.open(Path.cwd())).view
    found = await _read(view, asked)
    if found is None:
        # Loaded by name since it takes longer than all the rest, and is seldom needed.
        await import_module("yokeflow.cli.opened").project_status()
        found = await _read(view, asked, behind=True)
    if found is None:
        raise UsageError("the project is not known to the store", hint="`yoke doctor` tells what is missing")
    return found, _name(view)


def _name(view: View) -> str:
    return view.settings["project"]["name"] or view.repo.root.name


async def _read(view: View, asked: Asked, *, behind: bool = False) -> Report | None:
    async with view.reading(behind=behind) as found:
        if found is None:
            return None
        connection, project = found
        try:
            return await report(connection, project, view.settings["cost"], asked)
        except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):
            if behind:
                raise
            return None  # an older schema: opening the store migrates it
