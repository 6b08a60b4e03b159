"""What an agent is asked for, written where it finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.errors import disk_full
from yokeflow.model import AgentRequest

if TYPE_CHECKING:
    from pathlib import Path

    from yokeflow.engine.context import Context
    from yokeflow.model import Attempt


def write_request(
    context: Context,
    attempt: Attempt,
    prompt: str,
    worktree: Path,
    cap_usd: float | None,
    *,
    question: bool = False,
) -> AgentRequest:
    """The request of a session, with its prompt, which has no secrets, and its scratch folder on the disk."""
    folder = context.project.session_folder(attempt.session)
    scratch, file = folder / "scratch", folder / "prompt.md"
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        file.write_text(prompt, encoding="utf-8")
    except OSError as error:
        raise disk_full(error) from error
    return AgentRequest(attempt, prompt, file, worktree, scratch, attempt.model, cap_usd, question=question)
