"""What the profile of an attempt lets it change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow import globs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yokeflow.model import Profile

#: Files named in a sentence.
_NAMED = 3


def trespass(profile: Profile | None, changed: Sequence[str]) -> str:
    """Which rule of the profile the changed files break, as a sentence; empty when they break none.

    Files are named from the top of the repository, as git does.
    """
    if profile is None:
        return ""
    forbidden = [file for file in changed if globs.owns(profile.must_not_change, file)]
    foreign = [
        file
        for file in changed
        if profile.may_change and file not in forbidden and not globs.owns(profile.may_change, file)
    ]
    parts = [
        _sentence(forbidden, "must not change", profile.must_not_change),
        _sentence(foreign, "may change nothing but", profile.may_change),
    ]
    return "; ".join(f"the profile {profile.name} {part}" for part in parts if part)


def _sentence(files: Sequence[str], rule: str, patterns: Sequence[str]) -> str:
    if not files:
        return ""
    more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
    return f"{rule} {', '.join(patterns)}, and the agent changed {', '.join(files[:_NAMED])}{more}"
