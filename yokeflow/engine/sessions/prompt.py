"""What an agent is told: its role, its task, its place, the checks, lessons, and what went wrong before."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yokeflow.model import Attempt, Epic, Profile, Said

_RULES = """\
## How to work here

- You are alone in a git worktree of your own, on branch `{branch}`. Stay on it; do not push, merge or rebase.
- Commit when a piece of work is whole. What you leave uncommitted is committed for you.
- {asking}
- You are done when the checks below pass. They are run after you, whatever you say about them."""


_DECIDE = "Nobody can answer questions. Decide, and say what you decided in your last message."
_ASK = (
    "Decide, and say what you decided in your last message. Only where you cannot decide safely, "
    "write one question into the file that `$YOKE_QUESTION` names and stop; the next attempt gets the answer."
)


def build_prompt(
    attempt: Attempt,
    epic: Epic,
    branch: str,
    checks: Sequence[str],
    lessons: Sequence[str],
    *,
    questions: bool = False,
) -> str:
    """One Markdown text. Parts that have nothing to say are left out."""
    task = attempt.task
    parts = [
        *_role(attempt.profile),
        f"# {task.title}",
        task.prompt or task.title,
        f"This is task `{task.id}` of the epic “{epic.title}”.",
        _RULES.format(branch=branch, asking=_ASK if questions else _DECIDE),
    ]
    if task.files:
        parts.append(_list("Files that are yours to change", task.files))
    if checks:
        parts.append(_list("Checks that must pass", checks))
    if lessons:
        parts.append("## What earlier work taught\n\n" + "\n\n".join(lessons))
    parts += [*attempt.foreseen, *(words(each) for each in attempt.said)]
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


def words(said: Said) -> str:
    """What a person said about the task, for whoever does it next."""
    if said.about == "question":
        answer = said.text.strip() or "Nobody answered. Decide yourself, and say what you decided."
        return f"## You asked a person\n\n{_quoted(said.asked)}\n\nThe answer:\n\n{answer}"
    why = said.text.strip() or "They did not say why."
    kept = f" It is kept as `{said.asked}`." if said.asked else ""
    return f"## A person sent finished work back\n\n{why}\n\nThat work is not on your branch.{kept}"


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines())


def _code(entries: Sequence[str]) -> list[str]:
    return [f"`{entry}`" for entry in entries]


def _list(title: str, entries: Sequence[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {entry}" for entry in _code(entries))
