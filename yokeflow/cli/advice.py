"""What a person can type to answer what waits for them."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Answer(NamedTuple):
    """One way to answer an intervention."""

    #: As the intervention's `choices` spell it.
    choice: str
    command: str
    #: What happens then.
    effect: str


_EFFECTS = {
    "retry": "tries again, with a fresh count of attempts",
    "skip": "leaves it out; what depends on it goes on without it",
    "land": "tries to land it again, after you corrected its branch or the target",
    "cancel": "gives it up; what depends on it is blocked",
    "show": "shows what happened",
}
#: What is offered where an intervention names no choices of its own.
_USUAL = {"landing": ("land", "skip"), "conflict": ("land", "skip"), "rejected": ("land", "skip")}


def answers(kind: str, item: str, choices: Sequence[str]) -> list[Answer]:
    """The commands for an intervention, the likeliest first; never empty."""
    known = [choice for choice in choices if choice in _EFFECTS]
    if not known:
        known = list(_USUAL.get(kind, ("retry", "skip")))
    return [Answer(choice, f"yoke {choice} {quote(item)}", _EFFECTS[choice]) for choice in known]


def consequence(kind: str, item: str) -> str:
    """What happens as long as nobody answers."""
    if kind in _USUAL:
        return f"{item} stays on its branch and is not on the target; what depends on it waits"
    return f"what depends on {item} waits; everything else goes on"
