"""Conflicts that are known before they happen, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yokeflow.cli.output import clean, cut, style
from yokeflow.cli.words import count, few

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from yokeflow.store.forecasts import ConflictHistory

    Data = Mapping[str, Any]

#: Marks what will conflict, or may.
CONFLICT = "≠"
#: Forecasts, and files of one, that are shown; `--json` has all.
_MOST, _MOST_FILES = 8, 5


def forecast_lines(state: Data, columns: int) -> Iterator[str]:
    """What will conflict, by whose work, and which files often do; nothing where there is none."""
    forecasts: Sequence[Data] = state.get("forecasts") or ()
    hot: Sequence[Data] = state.get("hot_files") or ()
    if forecasts or hot:
        yield ""
    place = {item["id"]: number for number, item in enumerate(state["items"])} if forecasts else {}
    for forecast in forecasts[:_MOST]:
        mark = style(CONFLICT, fg="yellow", bold=True)
        yield f"{mark} {cut(clean(forecast['meaning']), max(columns - 2, 20))}"
        yield cut(f"  {_where(forecast, place)}", columns)
    if len(forecasts) > _MOST:
        yield f"  and {count(len(forecasts) - _MOST, 'more conflict')} ahead"
    if hot:
        named = ", ".join(f"{_flat(entry['path'])} ({entry['conflicts']})" for entry in hot)
        yield style(cut(f"  files that often conflict: {named}", columns), dim=True)


def hot_file_lines(
    hot: Sequence[ConflictHistory], tasks: Mapping[str, Sequence[str]], columns: int
) -> Iterator[str]:
    """Files that often conflict, how often they did, and which tasks may touch them."""
    if not hot:
        return
    yield ""
    yield f"files that often conflict ({CONFLICT} marks tasks that may touch them)"
    for each in hot[:_MOST]:
        named = few([clean(task) for task in tasks[each.path]], 5) or "no task of this plan"
        yield cut(f"  {_flat(each.path)}  {count(each.conflicts, 'conflict')}, {named}", columns)
    if len(hot) > _MOST:
        yield f"  and {count(len(hot) - _MOST, 'more file')}"


def _where(forecast: Data, place: Mapping[str, int]) -> str:
    """The files in conflict and who changed them, in the order of the plan."""
    files = [_flat(path) for path in forecast["files"][:_MOST_FILES]]
    left = len(forecast["files"]) - len(files) + forecast["more"]
    # PostgreSQL keeps no order of keys.
    by_epic = sorted(forecast["tasks"].items(), key=lambda each: (place.get(each[0], len(place)), each[0]))
    tasks = ", ".join(clean(task) for _, ids in by_epic for task in ids)
    named = ", ".join(files) + (f" and {left} more" if left else "")
    return f"{named}, changed by {tasks}" if tasks else named


def _flat(path: str) -> str:
    return " ".join(clean(path).split())
