"""What `yoke cost` tells, as values."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from yoke_costs.forecast import COVERAGE, Forecast, forecast
from yoke_costs.in_force import InForce, limits
from yoke_costs.queries import By, Line, Sums, Where, evidence, last_run, lines, runs_called
from yokeflow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

    import asyncpg

    Connection = asyncpg.Connection[Any]

LAST = "last"
#: The columns of a line, in JSON and in CSV.
COLUMNS = (
    "operations",
    "unknown",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cost_usd",
    "average_usd",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted."""

    by: By | None = None
    since: date | None = None
    until: date | None = None
    #: Id of a run or its beginning, or `LAST`; empty for all.
    run: str = ""

    @property
    def narrowed(self) -> bool:
        """Whether it is about a part of the costs."""
        return bool(self.since or self.until or self.run)


@dataclass(frozen=True, slots=True)
class Report:
    """What was found."""

    asked: Asked
    run: UUID | None
    lines: tuple[Line, ...]
    total: Sums
    limits: tuple[InForce, ...]
    forecast: Forecast

    def shown(self, most: int | None) -> tuple[Line, ...]:
        """The newest days, or the dearest of anything else; all where nothing is said."""
        if most is None:
            return self.lines
        return self.lines[-most:] if self.asked.by is By.DAY else self.lines[:most]


async def report(connection: Connection, project: UUID, cost: Mapping[str, Any], asked: Asked) -> Report:
    """Everything that is asked for, and how the limits and the plan stand, by the section `cost` as data.

    Raises UsageError when there is no such run.
    """
    run = await _run(connection, project, asked.run) if asked.run else None
    where = Where(project, asked.since or date.min, asked.until or date.max, run)
    found = await lines(connection, where, asked.by)
    return Report(
        asked,
        run,
        tuple(found),
        sum((line.sums for line in found), Sums()),
        tuple(await limits(connection, project, cost)),
        forecast(await evidence(connection, project)),
    )


async def _run(connection: Connection, project: UUID, name: str) -> UUID:
    if name == LAST:
        last = await last_run(connection, project)
        if last is None:
            raise UsageError("there was no run yet", hint="`yoke run` starts one")
        return last
    found = await runs_called(connection, project, name)
    if len(found) != 1:
        known = "there is no run" if not found else "there are several runs"
        raise UsageError(
            f"{known} whose id begins with {name}",
            hint="`yoke log --json` has the id of the run in every event; `--run last` is the last one",
        )
    return found[0]


def data(found: Report, most: int | None = None) -> dict[str, Any]:
    """The report as `yoke cost --json` prints it, with at most so many lines."""
    asked = found.asked
    return {
        "by": asked.by,
        "since": asked.since,
        "until": asked.until,
        "run": found.run,
        "lines": [{"key": line.key, **_numbers(line.sums)} for line in found.shown(most)] if asked.by else [],
        "total": _numbers(found.total),
        "limits": [asdict(limit) for limit in found.limits],
        "forecast": {**_rounded(asdict(found.forecast)), "coverage": COVERAGE},
    }


def as_csv(found: Report, most: int | None = None) -> Iterator[str]:
    """The lines of the report as CSV, the names of the columns first."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow([found.asked.by or "total", *COLUMNS])
    for line in found.shown(most):
        writer.writerow([line.key, *_numbers(line.sums).values()])
    yield from written.getvalue().splitlines()


def _numbers(sums: Sums) -> dict[str, float | None]:
    values = (
        sums.operations,
        sums.unknown,
        sums.input,
        sums.output,
        sums.cache_read,
        sums.cache_write,
        sums.cost_usd,
        sums.average_usd,
    )
    return _rounded(dict(zip(COLUMNS, values, strict=True)))


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Dollars to a millionth, which is as exact as they are stored."""

    def rounded(value: Any) -> Any:
        match value:
            case float():
                return round(value, 6)
            case tuple() | list():
                return [rounded(each) for each in value]
            case dict():
                return _rounded(value)
        return value

    return {name: rounded(value) for name, value in values.items()}
