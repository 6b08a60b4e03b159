"""What must hold between agent profiles, wherever they come from."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, get_args

from yokeflow.config import Tier
from yokeflow.validation import suggest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from yokeflow.config import ProfileOptions
    from yokeflow.document import Key

#: The weakest first.
TIERS: tuple[str, ...] = get_args(Tier)
#: From which likeness on a word is a misspelt tier: `fasst`, not `fast-1`, which may well be a model.
_ALIKE = 0.82


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a profile."""

    profile: str
    #: Below the profile.
    key: Key
    message: str
    hint: str


def nearly_tier(word: str) -> str | None:
    """The tier of which a word is probably a misspelling; None for a tier itself and for other words."""
    if word in TIERS:
        return None
    return next(iter(get_close_matches(word.casefold(), TIERS, n=1, cutoff=_ALIKE)), None)


def faults(profiles: Mapping[str, ProfileOptions]) -> Iterator[Fault]:
    """Everything that is wrong between profiles, and within one where its keys contradict each other."""
    for name, options in profiles.items():
        yield from _escalation(name, profiles)
        yield from _tiers(name, options)
        yield from _skills(name, options)


def _escalation(name: str, profiles: Mapping[str, ProfileOptions]) -> Iterator[Fault]:
    after = profiles[name].escalates_to
    if after is not None and after not in profiles:
        hint = suggest(after, [other for other in profiles if other != name]) or "add it, or remove this key"
        yield Fault(name, ("escalates_to",), f"there is no profile `{after}`", hint)
        return
    path = chain(name, profiles)
    last = profiles[path[-1]].escalates_to
    # Every profile of a circle leads to it; it is told once, by the first of them.
    if last == name and name == next(each for each in profiles if each in path):
        shown = " -> ".join((*path, name))
        yield Fault(name, ("escalates_to",), f"escalation goes in a circle: {shown}", "let it end somewhere")


def chain(name: str, profiles: Mapping[str, ProfileOptions]) -> tuple[str, ...]:
    """A profile and those that take over one after another, up to the last or the first that comes again."""
    path = [name]
    while (after := profiles[path[-1]].escalates_to) and after in profiles and after not in path:
        path.append(after)
    return tuple(path)


def _tiers(name: str, options: ProfileOptions) -> Iterator[Fault]:
    lowest, highest = options.lowest_tier, options.highest_tier
    if lowest and highest and TIERS.index(lowest) > TIERS.index(highest):
        message = f"{lowest} is stronger than its highest_tier {highest}"
        yield Fault(name, ("lowest_tier",), message, f"the order is {', '.join(TIERS)}")


def _skills(name: str, options: ProfileOptions) -> Iterator[Fault]:
    known = (*options.skills.shared, *options.skills.custom)
    for i, skill in enumerate(options.skills.disabled):
        if skill not in known:
            hint = suggest(skill, known) or "remove it"
            yield Fault(name, ("skills", "disabled", i), f"there is no skill `{skill}` to disable", hint)
