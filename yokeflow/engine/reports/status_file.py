"""`.yokeflow/STATUS.md`: the state of a project for people, written after a run, and read as a last resort.

Written only where `project.status_file` asks for it, since it is a file in the user's own checkout.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from yokeflow.files import remove_left, write_whole
from yokeflow.store.cache import clear_away

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Data = Mapping[str, Any]

#: Inside the repository.
PLACE: Final = Path(".yokeflow", "STATUS.md")
#: Says that the store was away when the file was written.
FALLBACK: Final = "FALLBACK WRITE"
_SCHEMA: Final = 2
_NOTHING: Final = "–"
_ITEMS: Final = ("No", "Id", "Kind", "Epic", "Title", "Status", "Attempts", "Cost", "Commit", "Waits for")
_LANDINGS: Final = ("Epic", "Landing", "Commit", "Reason")
_OF_RUN: Final = ("strategy", "started", "elapsed", "cost_usd", "unknown_costs")
_INTERVENTIONS: Final = ("Intervention", "About", "Asked", "Opened", "Why", "Choices")
_OPEN: Final = frozenset({"in_progress", "blocked", "failed"})
_CELL: Final = re.compile(r"(?<!\\)\|")


def render(state: Data, at: datetime) -> str:
    """The state as Markdown, in the sections that people look for."""
    items = [{**item, "no": number} for number, item in enumerate(state["items"], 1)]
    landed = {entry["epic"] for entry in state["landings"] if entry["status"] == "landed"}
    on_target = [item for item in items if (item["epic"] or item["id"]) in landed]
    rest = [item for item in items if (item["epic"] or item["id"]) not in landed]
    begun = {item["epic"] for item in rest if item["status"] in _OPEN or item["status"] == "completed"}
    active = [item for item in rest if item["status"] in _OPEN or {item["id"], item["epic"]} & begun]
    later = [item for item in rest if item not in active]
    return "\n".join(
        [
            *_head(state, at),
            *_section("Operational components", _ITEMS, map(_item, on_target)),
            *_section("Active work items", _ITEMS, map(_item, active)),
            *_section("Recent deployments", _LANDINGS, map(_landing, reversed(state["landings"]))),
            *_section("Waiting for a person", _INTERVENTIONS, map(_intervention, state["interventions"])),
            *_section("Future enhancements", _ITEMS, map(_item, later)),
        ]
    )


def write(root: Path, state: Data) -> None:
    """Write the file at once, or not at all. Raises OSError."""
    path = root / PLACE
    path.parent.mkdir(exist_ok=True)
    clear_away(path)
    remove_left(path.parent, {path.name})
    write_whole(path, render(state, datetime.now(UTC)))


def read(root: Path) -> dict[str, Any] | None:
    """What `write` wrote, with `at`; None where there is no such file, or one that is something else."""
    with suppress(OSError, ValueError, KeyError, IndexError):
        return parse((root / PLACE).read_text(encoding="utf-8"))
    return None


def parse(text: str) -> dict[str, Any]:
    """The state that `render` wrote. Raises ValueError or KeyError for anything else."""
    front = dict(line.split(": ", 1) for line in text.split("---\n")[1].splitlines())
    if front["schema"] != str(_SCHEMA):
        raise ValueError("the status file has another form")
    items = sorted(_rows(text, _ITEMS), key=lambda row: int(row[0]))
    run = None
    if "run" in front:
        state, identity = front["run"].split(" ", 1)
        run = {
            "id": identity, "state": state, "reason": front.get("reason", ""),
            "strategy": front.get("strategy", ""), "started": front["started"],
            "elapsed": float(front["elapsed"]), "cost_usd": _number(front["cost_usd"]),
            "unknown_costs": int(front["unknown_costs"]),
        }  # fmt: skip
    return {
        "project": _plain(front["project"]),
        "at": front["written"],
        "run": run,
        "items": [_read_item(row[1:]) for row in items],
        "landings": [_read_landing(row) for row in reversed(list(_rows(text, _LANDINGS)))],
        "interventions": [_read_intervention(row) for row in _rows(text, _INTERVENTIONS)],
        "forecasts": [],
        "hot_files": [],
    }


def _head(state: Data, at: datetime) -> Iterator[str]:
    """Front matter for programs, a title for people."""
    run, source = state["run"], state.get("source", {})
    yield "---"
    yield f"schema: {_SCHEMA}"
    yield f"project: {_cell(state['project'])}"
    yield f"written: {at.isoformat()}"
    if run is not None:
        yield f"run: {run['state']} {run['id']}"
        yield from (f"{name}: {run[name]}" for name in _OF_RUN)
        if run.get("reason"):
            yield f"reason: {' '.join(run['reason'].split())}"
    yield "---"
    yield f"# Status of {_cell(state['project'])}"
    yield ""
    if source.get("layer", "postgres") != "postgres":
        yield f"> {FALLBACK}: the store was away; this is what the {source['layer']} knew."
        yield ""


def _section(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    told = [" | ".join(_cell(value) for value in row) for row in rows]
    yield f"## {title}"
    yield ""
    if told:
        yield f"| {' | '.join(columns)} |"
        yield f"|{'---|' * len(columns)}"
        yield from (f"| {row} |" for row in told)
    else:
        yield "None."
    yield ""


def _item(item: Data) -> list[object]:
    names = ("no", "id", "kind", "epic", "title", "status", "attempts", "cost_usd", "commit")
    return [*(item[name] for name in names), " ".join(item["waits_for"])]


def _landing(entry: Data) -> list[object]:
    return [entry[name] for name in ("epic", "status", "commit", "reason")]


def _intervention(entry: Data) -> list[object]:
    names = ("id", "item", "kind", "opened", "reason")
    return [*(entry[name] for name in names), " ".join(entry["choices"])]


def _cell(value: object) -> str:
    """One line that ends no cell."""
    text = _NOTHING if value in (None, "") else str(value)
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")


def _rows(text: str, columns: Sequence[str]) -> Iterator[list[str]]:
    """The rows of every table with these columns."""
    wanted = False
    for line in text.splitlines():
        cells = [_plain(cell) for cell in _CELL.split(line)[1:-1]] if line.startswith("|") else []
        if cells == list(columns) or not cells:
            wanted = bool(cells)
        elif wanted and not line.startswith("|---"):
            yield cells


def _plain(cell: str) -> str:
    text = re.sub(r"\\(.)", r"\1", cell.strip())
    return "" if text == _NOTHING else text


def _read_item(row: Sequence[str]) -> dict[str, Any]:
    key, kind, epic, title, status, attempts, cost, commit, waits = row
    return {
        "id": key, "kind": kind, "epic": epic or None, "title": title, "status": status,
        "attempts": int(attempts), "cost_usd": _number(cost), "commit": commit or None,
        "waits_for": waits.split(),
    }  # fmt: skip


def _read_landing(row: Sequence[str]) -> dict[str, Any]:
    epic, status, commit, reason = row
    return {"epic": epic, "status": status, "commit": commit or None, "reason": reason, "waits_for": []}


def _read_intervention(row: Sequence[str]) -> dict[str, Any]:
    key, item, kind, opened, reason, choices = row
    return {
        "id": key, "kind": kind, "item": item or None, "reason": reason, "opened": opened,
        "choices": choices.split(),
    }  # fmt: skip


def _number(text: str) -> float | None:
    return None if text in {"", "None"} else float(text)
