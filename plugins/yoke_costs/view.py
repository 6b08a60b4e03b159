"""What `yoke cost` tells, as text for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from yoke_costs.queries import By, Sums
from yokeflow.cli import output
from yokeflow.cli.words import shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from yoke_costs.forecast import Forecast
    from yoke_costs.in_force import InForce
    from yoke_costs.report import Report

_GAP = "  "
#: Columns that a name has at least, however narrow the terminal.
_NAME = 10
#: How wide the words are in front of what a line tells.
_LABEL = 12
#: Shares of a limit from which on it is shown in colour.
_NEAR, _REACHED = 0.8, 1.0


def dollars(value: float | None, digits: int = 2) -> str:
    """Dollars with separators; cents tell nothing about less than one, so that more digits follow."""
    if value is None:
        return "unknown"
    return f"${value:,.{4 if digits == 2 and 0 < value < 0.01 else digits}f}"


def cost(sums: Sums) -> str:
    """A sum, and how many operations are not in it."""
    if not sums.unknown or sums.cost_usd is None:
        return dollars(sums.cost_usd)
    return f"{dollars(sums.cost_usd)} + {sums.unknown:,} unknown"


def report_lines(found: Report, name: str, most: int, width: int | None) -> Iterator[str]:
    """The report on the project `name`: at most so many lines, no wider than `width`."""
    yield output.style(f"Cost of {output.clean(name)}{_part(found)}", bold=True)
    if not found.total.operations:
        yield "  nothing was spent"
    elif found.asked.by is None:
        yield from _summary(found.total)
    else:
        yield from _table(found, most, width)
    if found.asked.by is None and not found.asked.narrowed:
        yield from (_limit(limit) for limit in found.limits)
        yield _labelled("to come", to_come(found.forecast))


def _part(found: Report) -> str:
    """Which part of the costs it is about."""
    asked = found.asked
    parts = (
        f" in run {str(found.run)[:8]}" if found.run else "",
        f" since {asked.since}" if asked.since else "",
        f" until {asked.until}" if asked.until else "",
    )
    return "".join(parts)


def _labelled(label: str, text: str) -> str:
    return f"  {label.ljust(_LABEL)}{text}"


def _summary(total: Sums) -> Iterator[str]:
    yield _labelled("cost", output.style(cost(total), bold=True))
    average = f", {dollars(total.average_usd)} each on average" if total.average_usd else ""
    yield _labelled("operations", f"{total.operations:,}{average}")
    yield _labelled("tokens", f"{total.input:,} in, {total.output:,} out")
    yield _labelled("cache", f"{total.cache_read:,} read, {total.cache_write:,} written")


class _Column(NamedTuple):
    #: The header has two lines.
    above: str
    title: str
    cells: Sequence[str]

    @property
    def width(self) -> int:
        return max(len(self.above), len(self.title), *map(output.width, self.cells))


def _table(found: Report, most: int, width: int | None) -> Iterator[str]:
    names, sums = _rows(found, most)
    columns = _columns(sums)
    room = _NAME if width is None else width - sum(column.width + len(_GAP) for column in columns)
    longest = max(map(output.width, names))
    size = longest if width is None else min(longest, max(room, _NAME))
    first = _Column("", str(found.asked.by), [shortened(name, size) for name in names])
    everything = [first, *columns]
    for line in ([column.above for column in everything], [column.title for column in everything]):
        if any(line):
            yield output.style(_joined(line, everything), bold=True)
    for row in zip(*(column.cells for column in everything), strict=True):
        yield _joined(row, everything)


def _rows(found: Report, most: int) -> tuple[list[str], list[Sums]]:
    """Names and sums: the chosen lines, what was left out before or after them, and the total."""
    shown = found.shown(most)
    names = [output.clean(line.key) or "(none)" for line in shown]
    sums = [line.sums for line in shown]
    if len(shown) < len(found.lines):
        newest = found.asked.by is By.DAY
        rest = found.lines[: -len(shown)] if newest else found.lines[len(shown) :]
        place = 0 if newest else len(names)
        names.insert(place, f"{len(rest):,} {'earlier' if newest else 'others'}")
        sums.insert(place, sum((line.sums for line in rest), Sums()))
    return [*names, "total"], [*sums, found.total]


def _columns(rows: Sequence[Sums]) -> list[_Column]:
    average = 4 if 0 < max(row.average_usd or 0 for row in rows) < 0.1 else 2
    columns = [
        _Column("", "ops", [f"{row.operations:,}" for row in rows]),
        _Column("", "input", _tokens(rows, lambda row: row.input)),
        _Column("", "output", _tokens(rows, lambda row: row.output)),
        _Column("cache", "read", _tokens(rows, lambda row: row.cache_read)),
        _Column("cache", "write", _tokens(rows, lambda row: row.cache_write)),
        _Column("", "cost", [dollars(row.cost_usd) for row in rows]),
        _Column(
            "",
            "mean",
            ["" if row.average_usd is None else dollars(row.average_usd, average) for row in rows],
        ),
    ]
    if any(row.unknown for row in rows):
        columns.append(_Column("", "unknown", [f"+ {row.unknown:,}" if row.unknown else "" for row in rows]))
    return columns


def _tokens(rows: Sequence[Sums], of: Callable[[Sums], int]) -> list[str]:
    """Counts of one column, all in the unit that suits the largest."""
    largest = max(map(of, rows))
    size, unit = (1, "") if largest < 100_000 else (1000, "k") if largest < 100_000_000 else (1_000_000, "M")
    return [f"{round(of(row) / size):,}{unit}" for row in rows]


def _joined(cells: Sequence[str], columns: Sequence[_Column]) -> str:
    first, *others = zip(cells, columns, strict=True)
    name = first[0] + " " * (first[1].width - output.width(first[0]))
    return _GAP.join([name, *(cell.rjust(column.width) for cell, column in others)]).rstrip()


def _limit(limit: InForce) -> str:
    share = (limit.used + limit.reserved) / limit.limit if limit.limit else _REACHED
    of = {"run": "in the last run", "day": "today"}.get(limit.scope) or (
        f"most by {limit.of}" if limit.of else ""
    )
    text = f"{share * 100:3.0f} %  {_used(limit)}{', ' if of else ''}{of}"
    if share >= _NEAR:
        text = output.style(text, fg="red" if share >= _REACHED else "yellow")
    return _labelled(f"{limit.scope} limit", text)


def _used(limit: InForce) -> str:
    if limit.unit == "usd":
        held = f" + {dollars(limit.reserved)} set aside" if limit.reserved else ""
        return f"{dollars(limit.used)}{_unknown(limit)}{held} of {dollars(limit.limit)}"
    held = f" + {limit.reserved:,.0f} set aside" if limit.reserved else ""
    return f"{limit.used:,.0f}{held} of {limit.limit:,.0f} {limit.unit}"


def _unknown(limit: InForce) -> str:
    if limit.assumed:
        return f" ({dollars(limit.assumed)} assumed for {limit.unknown:,} unknown)"
    return f" + {limit.unknown:,} unknown" if limit.unknown else ""


def to_come(found: Forecast) -> str:
    """The cost to the end of the plan, in a line."""
    if not found.remaining:
        return "nothing: no task is left"
    left = f"for {_count(found.remaining, 'task')}"
    if found.cost_usd is None:
        return f"nothing is known yet {left}: no finished task has a known cost"
    return f"about {dollars(found.cost_usd)} {left}{_interval(found)}"


def _interval(found: Forecast) -> str:
    if found.low_usd is None or found.high_usd is None:
        return ""
    return f", 80 % sure {dollars(found.low_usd)} to {dollars(found.high_usd)}"


def forecast_lines(found: Report, name: str) -> Iterator[str]:
    """What is to come, category by category."""
    to_be = found.forecast
    yield output.style(f"Forecast for {output.clean(name)}", bold=True)
    if to_be.by_category:
        yield from _shares(to_be)
        yield ""
    yield _labelled("spent", cost(found.total))
    yield _labelled("to come", to_come(to_be))
    if to_be.cost_usd is not None:
        all_of_it = dollars(found.total.known_usd + to_be.cost_usd)
        unknown = f" + {found.total.unknown:,} unknown" if found.total.unknown else ""
        yield _labelled("in all", f"about {all_of_it}{unknown}")
    left_out = f", {_count(to_be.unknown, 'other')} without a known cost left out" if to_be.unknown else ""
    yield _labelled("known from", f"{_count(to_be.finished, 'finished task')}{left_out}")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _shares(to_be: Forecast) -> Iterator[str]:
    shares = to_be.by_category
    columns = [
        _Column("", "category", [*(output.clean(share.category) or "(none)" for share in shares), "total"]),
        _Column("", "finished", [*(f"{share.finished:,}" for share in shares), ""]),
        _Column("", "left", [*(f"{share.remaining:,}" for share in shares), f"{to_be.remaining:,}"]),
        _Column("", "a task", [*(dollars(share.task_usd) for share in shares), ""]),
        _Column("", "together", [*(dollars(share.cost_usd) for share in shares), dollars(to_be.cost_usd)]),
    ]
    yield output.style(_joined([column.title for column in columns], columns), bold=True)
    for row in zip(*(column.cells for column in columns), strict=True):
        yield _joined(row, columns)
