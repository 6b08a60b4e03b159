"""Which profile takes an attempt, decided without looking anything up."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from yokeflow import globs
from yokeflow.errors import UsageError
from yokeflow.model import Profile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from yokeflow.config import ProfileOptions, Skills
    from yokeflow.model import Task

    Profiles = Mapping[str, ProfileOptions]


def choose(task: Task, number: int, profiles: Profiles) -> Profile | None:
    """The profile of attempt `number`: the one the task is for, else the one that took over from it.

    Raises UsageError when the task names a profile that there is not, or needs what none has.
    """
    found = _named(task, profiles) or _able(task, profiles) or _by_category(task, profiles)
    found = found or _by_files(task, profiles)
    if found is None:
        return None
    first, reason = found
    name = escalated(first, number, profiles)
    if name != first:
        attempts = "1 failed attempt" if number == 2 else f"{number - 1} failed attempts"
        reason = f"takes over from {first} after {attempts}"
    return profile(name, profiles[name], reason)


def escalated(first: str, number: int, profiles: Profiles) -> str:
    """The name after one escalation for each attempt before this one; the last of the chain stays."""
    path = [first]
    for _ in range(number - 1):
        after = profiles[path[-1]].escalates_to
        if after is None or after not in profiles or after in path:
            break
        path.append(after)
    return path[-1]


def profile(name: str, options: ProfileOptions, reason: str) -> Profile:
    """The profile as the engine knows it."""
    return Profile(
        name=name,
        reason=reason,
        agent=options.agent or "",
        instructions=options.instructions,
        always=options.always,
        never=options.never,
        skills=effective(options.skills),
        model=options.model or "",
        lowest_tier=options.lowest_tier or "",
        highest_tier=options.highest_tier or "",
        may_change=options.boundaries.may_change,
        must_not_change=options.boundaries.must_not_change,
        escalates_to=options.escalates_to or "",
    )


def effective(skills: Skills) -> tuple[str, ...]:
    """The shared and its own without the disabled, each once, in order."""
    all_of_them = dict.fromkeys((*skills.shared, *skills.custom))
    return tuple(skill for skill in all_of_them if skill not in skills.disabled)


def _named(task: Task, profiles: Profiles) -> tuple[str, str] | None:
    name = task.profile
    if not name:
        return None
    if name not in profiles:
        raise UsageError(f"there is no profile `{name}`", hint=_meant(name, profiles, "agents.profiles"))
    lacking = [need for need in task.needs if need not in profiles[name].capabilities]
    if lacking:
        raise UsageError(
            f"the profile `{name}` lacks {_listed(lacking)}, which the task needs",
            hint=f"add it to the capabilities of {name}, or name another profile",
        )
    return name, "named by the task"


def _able(task: Task, profiles: Profiles) -> tuple[str, str] | None:
    """The one with the fewest capabilities beyond what is needed; the first of several."""
    if not task.needs:
        return None
    needs = set(task.needs)
    able = [name for name, options in profiles.items() if needs <= set(options.capabilities)]
    if able:
        return min(able, key=lambda name: len(set(profiles[name].capabilities))), (
            f"can do what the task needs: {', '.join(task.needs)}"
        )
    known = {word for options in profiles.values() for word in options.capabilities}
    unknown = [need for need in task.needs if need not in known]
    if unknown:
        raise UsageError(
            f"no profile has the capability {_listed(unknown)}, which the task needs",
            hint=_meant(unknown[0], known, "the capabilities of a profile"),
        )
    raise UsageError(
        f"no single profile has all that the task needs: {_listed(task.needs)}",
        hint="give one profile all of these capabilities, or split the task",
    )


def _by_category(task: Task, profiles: Profiles) -> tuple[str, str] | None:
    taking = (name for name, options in profiles.items() if task.category in options.categories)
    found = next(taking, None) if task.category else None
    return None if found is None else (found, f"takes the category {task.category}")


def _by_files(task: Task, profiles: Profiles) -> tuple[str, str] | None:
    """The one whose globs hold all of the task's files most closely; the first of several."""
    if not task.files:
        return None
    holding = {
        name: tuple(glob for glob in options.files if any(globs.covers(glob, file) for file in task.files))
        for name, options in profiles.items()
        if globs.within(task.files, options.files)
    }
    for name, mine in holding.items():
        closer = (
            globs.within(theirs, mine) and not globs.within(mine, theirs) for theirs in holding.values()
        )
        if not any(closer):
            return name, f"takes files in {', '.join(mine)}"
    return None


def _meant(word: str, known: Iterable[str], place: str) -> str:
    names = sorted(known)
    if near := get_close_matches(word, names, n=1):
        return f"did you mean `{near[0]}`?"
    there = f"; known: {', '.join(names)}" if 0 < len(names) <= 40 else ""
    return f"add it to {place}{there}"


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)
