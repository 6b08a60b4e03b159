"""What an agent is told: its role, its task, its place, the checks, lessons, and what went wrong before."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yokeflow.model import Attempt, Epic, Profile

_RULES = """\
## How to work here

- You are alone in a git worktree of your own, on branch `{branch}`. Stay on it; do not push, merge or rebase.
- Commit when a piece of work is whole. What you leave uncommitted is committed for you.
- Nobody can answer questions. Decide, and say what you decided in your last message.
- You are done when the checks below pass. They are run after you, whatever you say about them."""


def build_prompt(
    attempt: Attempt, epic: Epic, branch: str, checks: Sequence[str], lessons: Sequence[str]
) -> str:
    """One Markdown text. Parts that have nothing to say are left out."""
    task = attempt.task
    parts = [
        *_role(attempt.profile),
        f"# {task.title}",
        task.prompt or task.title,
        f"This is task `{task.id}` of the epic “{epic.title}”.",
        _RULES.format(branch=branch),
    ]
    if task.files:
        parts.append(_list("Files that are yours to change", task.files))
    if checks:
        parts.append(_list("Checks that must pass", checks))
    if lessons:
        parts.append("## What earlier work taught\n\n" + "\n\n".join(lessons))
    for number, failure in enumerate(attempt.failures, 1):
        text = f"## Attempt {number} did not count\n\n{failure.reason}"
        parts.append(f"{text}\n\n```\n{failure.output.strip()}\n```" if failure.output.strip() else text)
    return "\n\n".join(parts) + "\n"


def _role(profile: Profile | None) -> list[str]:
    """Who the agent is in this attempt; nothing without a profile."""
    if profile is None:
        return []
    parts = [f"# Your role: {profile.name}", profile.instructions.strip()]
    told = (
        ("Always", profile.always),
        ("Never", profile.never),
        ("Your skills", profile.skills),
        ("Change nothing outside of", _code(profile.may_change)),
        ("Do not change", _code(profile.must_not_change)),
    )
    parts += [
        f"{title}:\n\n" + "\n".join(f"- {entry}" for entry in entries) for title, entries in told if entries
    ]
    if profile.may_change or profile.must_not_change:
        parts.append("An attempt that changes other files does not count.")
    return [part for part in parts if part]


def _code(entries: Sequence[str]) -> list[str]:
    return [f"`{entry}`" for entry in entries]


def _list(title: str, entries: Sequence[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {entry}" for entry in _code(entries))
