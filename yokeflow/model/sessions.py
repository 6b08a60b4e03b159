"""One attempt of an agent at a task: what goes in, what comes out, what it used."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from yokeflow.model.decisions import Profile
    from yokeflow.model.plan import Task


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an earlier attempt at the same task did not count."""

    reason: str
    #: What the agent or the failed check printed last.
    output: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """What a person said about a task, for whoever does it next."""

    #: `question`: the answer to what an agent asked; `rejected`: why its work was sent back.
    about: str
    #: The agent's question; for rejected work the ref that keeps it.
    asked: str
    #: The person's words; empty where they had none.
    text: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a task, before it starts."""

    task: Task
    #: From 1.
    number: int
    session: str
    run: str
    failures: tuple[Failure, ...] = ()
    #: Name of the agent that does it.
    agent: str = ""
    profile: Profile | None = None
    #: The chosen model and its tier; empty before the choice, and for the agent's own default.
    model: str = ""
    tier: str = ""
    #: It is no try at all: an agent is asked something about the task, which pays for the answer.
    question: bool = False
    #: What people said since the task was last done, oldest first.
    said: tuple[Said, ...] = ()
    #: What is known about conflicts with the work of others, as parts of the prompt.
    foreseen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AgentRequest:
    """What an agent needs to know to start."""

    attempt: Attempt
    prompt: str
    #: The same prompt as a file outside the worktree.
    prompt_file: Path
    worktree: Path
    #: A private folder of the session, outside the worktree.
    scratch: Path
    model: str = ""
    #: Dollars that the session may cost; None for no limit. Whoever can pass it on to its program does.
    cap_usd: float | None = None
    #: Only an answer is wanted: nothing is to be changed or run.
    question: bool = False


@dataclass(frozen=True, slots=True)
class Launch:
    """A process to start."""

    argv: tuple[str, ...]
    #: Added to the allow-listed environment.
    env: Mapping[str, str] = field(default_factory=dict)
    #: Names let through from the caller's environment, beyond the allow-list.
    pass_env: tuple[str, ...] = ()
    stdin: bytes = b""
    #: The signal that makes this program stop cleanly.
    stop_signal: int = 15


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one model in one session. The four counts do not overlap."""

    model: str
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    #: Dollars for them; None where nobody has said.
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class AgentOutput:
    """Something an agent said or did while it worked."""

    #: `text`, `tool`, `note`; `usage` carries tokens and no text.
    kind: str
    text: str
    #: Tokens used since the last output that carried some.
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class AgentReport:
    """What an agent says about its finished work. Whether it counts is for the checks to say."""

    ok: bool
    #: Why not, when not ok.
    error: str = ""
    answer: str = ""
    usage: tuple[Usage, ...] = ()
    #: Dollars by the agent's own account; None where it has none.
    cost_usd: float | None = None
    #: The agent's name for its conversation, for resuming it.
    conversation: str = ""
    #: False where it was cut off before its last word on what it used, which is then at least `usage`.
    final: bool = True


@dataclass(frozen=True, slots=True)
class SessionResult:
    """A finished attempt, as plugins see it."""

    attempt: Attempt
    agent: str
    model: str
    #: `completed`, `failed` or `interrupted`
    state: str
    reason: str
    seconds: float
    report: AgentReport
    #: What the agent or the failed check printed last, for an attempt that failed.
    output: str = ""
    #: Where it started, and the last commit of the attempt; the same where it changed nothing.
    base_commit: str = ""
    head_commit: str = ""
    #: Dollars by the agent's account, else by the price list; None where nobody knows.
    cost_usd: float | None = None
