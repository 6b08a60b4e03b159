"""What the kinds of agents share."""

from __future__ import annotations

import json
import shutil
import signal
from collections import deque
from typing import TYPE_CHECKING, Any

from yokeflow.model import AgentOutput, AgentReport

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeGuard

#: Characters of an answer that are kept.
_LONGEST_ANSWER = 20_000
#: Lines of plain output that stand for an answer.
_ANSWER_LINES = 40
#: What fits into `numeric(12, 6)`.
_MOST_DOLLARS = 999_999.999999


def exit_error(code: int) -> str:
    """How a process failed, in words; empty for exit code 0."""
    if code == 0:
        return ""
    if code > 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def missing_program(program: str, remedy: str) -> str:
    """What to do when `program` cannot be found; empty when it can."""
    # A relative path is looked up in the worktree, which does not exist yet.
    if shutil.which(program) or (not program.startswith("/") and "/" in program):
        return ""
    return f"`{program}` is not there: {remedy}"


def json_object(line: bytes) -> dict[str, Any]:
    """The object that a line of a stream holds; empty for anything else."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def mapping(value: object) -> dict[str, Any]:
    """`value` if it is an object, else an empty one: streams change between versions."""
    return value if isinstance(value, dict) else {}


def objects(value: object) -> list[dict[str, Any]]:
    """The objects in `value` if it is a list, else none."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def text(value: object) -> str:
    """`value` if it is text, else nothing; cut to what is worth keeping."""
    return value[:_LONGEST_ANSWER] if isinstance(value, str) else ""


def count(value: object) -> int:
    """`value` if it is a number of things, else 0."""
    return int(value) if _is_number(value) and 0 <= value < 1e15 else 0


def dollars(value: object) -> float | None:
    """`value` if it is an amount of money that the store can hold, else None: unknown."""
    return float(value) if _is_number(value) and 0 <= value <= _MOST_DOLLARS else None


def _is_number(value: object) -> TypeGuard[int | float]:
    """Python takes True for 1."""
    return isinstance(value, int | float) and not isinstance(value, bool)


class PlainReader:
    """Reads an agent that prints plain text: the last lines are its answer, exit code 0 its success."""

    def __init__(self, cost_usd: float | None = None) -> None:
        """`cost_usd` is what every session costs, where that is known."""
        self._cost = cost_usd
        self._last: deque[str] = deque(maxlen=_ANSWER_LINES)

    def feed(self, line: bytes) -> Iterable[AgentOutput]:
        """Show every line that is not empty."""
        shown = line.decode(errors="replace").rstrip()[:_LONGEST_ANSWER]
        if not shown:
            return ()
        self._last.append(shown)
        return (AgentOutput("text", shown),)

    def finish(self, exit_code: int) -> AgentReport:
        """Success is exit code 0."""
        answer = "\n".join(self._last)[-_LONGEST_ANSWER:]
        return AgentReport(ok=exit_code == 0, error=exit_error(exit_code), answer=answer, cost_usd=self._cost)
