"""The built-in kinds of agents: shell, command, claude, codex."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yoke_agents.claude import ClaudeAgent
from yoke_agents.codex import CodexAgent
from yoke_agents.command import CommandAgent
from yoke_agents.shell import ShellAgent
from yokeflow.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yokeflow.hookspecs import Agent


@hookimpl
def register_agents() -> Sequence[Agent]:
    """Offer one agent of each kind."""
    return (ShellAgent(), CommandAgent(), ClaudeAgent(), CodexAgent())
