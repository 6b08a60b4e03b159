"""What a person can type to answer what waits for them."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Answer(NamedTuple):
    """One way to answer an intervention."""

    command: str
    #: What happens then.
    effect: str


_OF_TASK = {
    "retry": "try it again, with a fresh count of attempts",
    "skip": "leave it out; what depends on it goes on without it",
}
_OF_EPIC = {"land": "try to land it again, after you corrected its branch or the target"}


def answers(item: str, choices: Iterable[str], *, of_epic: bool) -> list[Answer]:
    """The commands for an intervention, the likeliest first; never empty.

    An epic is landed, a task is tried again or skipped: choices that do not fit the item are left out.
    """
    effects = _OF_EPIC if of_epic else _OF_TASK
    known = [choice for choice in choices if choice in effects] or list(effects)
    return [Answer(f"yoke {choice} {quote(item)}", effects[choice]) for choice in known]


def consequence(item: str, *, of_epic: bool) -> str:
    """What happens as long as nobody answers."""
    if of_epic:
        return f"{item} stays on its branch, off the target; what must land after it waits"
    return f"what depends on {item} waits; everything else goes on"
