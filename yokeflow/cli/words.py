"""How values are put into words, the same in every command."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def clock(seconds: float) -> str:
    """A running time: 0:07, 12:05, 3:01:00."""
    whole = max(int(seconds), 0)
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{secs:02}" if hours else f"{minutes}:{secs:02}"


def span(seconds: float) -> str:
    """A length of time in a sentence: 0.4 s, 7 s, 12 min 5 s, 3 h 1 min, 2 d 4 h."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    rest = round(seconds)
    parts: list[str] = []
    for size, unit in units:
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(filter(None, parts))


def ago(then: datetime, now: datetime) -> str:
    """How long something has been so."""
    return span((now - then).total_seconds())


def moment(at: str) -> str:
    """A time of an ISO text as clocks here show it."""
    return f"{datetime.fromisoformat(at).astimezone():%Y-%m-%d %H:%M:%S}"


def money(dollars: float | None) -> str:
    """Dollars; what is not known is said to be unknown."""
    if dollars is None:
        return "unknown"
    return f"${dollars:.4f}" if 0 < dollars < 0.01 else f"${dollars:.2f}"


def amount(value: float | None, unit: str) -> str:
    """So many dollars (`usd`), `tokens` or `sessions`."""
    return money(value) if unit == "usd" or value is None else f"{value:,.0f} {unit}"


def spent(known: float | None, *, unknown: bool) -> str:
    """A sum of costs, of which some may not be known; of no sessions there is none."""
    if known is None:
        return "unknown" if unknown else "none"
    return f"{money(known)} + unknown" if unknown else money(known)


def short(oid: str) -> str:
    """A commit as people write it."""
    return oid[:7]


def count(number: int, noun: str) -> str:
    """1 task, 3 tasks."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(names: Sequence[str]) -> str:
    """All names as they stand in a sentence: a, a and b, a, b and c."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def few(names: Sequence[str], most: int = 2) -> str:
    """The first names and how many more there are."""
    shown = ", ".join(names[:most])
    return f"{shown} +{len(names) - most}" if len(names) > most else shown


def waits(names: Sequence[str]) -> str:
    """What something waits for; empty when it does not."""
    return f"waits for {few(names)}" if names else ""


def queued(behind: Sequence[str]) -> str:
    """A landing that has not begun, and the epics that must land before it."""
    return f"queued to land, after {few(behind)}" if behind else "queued to land"


def number_done(done: int, skipped: int, total: int, noun: str) -> str:
    """How many are done of how many; what was left out counts, and is named."""
    left_out = f" ({skipped} skipped)" if skipped else ""
    return f"{done} of {count(total, noun)} done{left_out}"


def shortened(text: str, size: int) -> str:
    """Text of at most `size` characters; ids often differ at their end, so that the middle gives way."""
    if len(text) <= size:
        return text
    end = (size - 1) // 2
    return f"{text[: size - 1 - end]}…{text[len(text) - end :]}"


def last_lines(data: Mapping[str, Any], most: int = 5) -> list[str]:
    """The end of what a session or check that failed printed."""
    lines = [line.rstrip() for line in str(data.get("output", "")).splitlines()]
    return [line for line in lines if line.strip()][-most:]


def first_line(text: str) -> str:
    """The first line that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
