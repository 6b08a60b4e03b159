"""The frozen values that flow from stage to stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any


class Strength(StrEnum):
    """How much a successor cares about its predecessor."""

    HARD = "hard"
    """The successor waits."""
    SOFT = "soft"
    """The predecessor goes first when both are free to start."""
    RELATED = "related"
    """For people; the scheduler ignores it."""


class Kind(StrEnum):
    """What a work item is."""

    EPIC = "epic"
    TASK = "task"
    SUBTASK = "subtask"
    RESEARCH = "research"


class Status(StrEnum):
    """State of a work item. "Ready" is computed, never stored."""

    PROPOSED = "proposed"
    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    BLOCKED = "blocked"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Strategy(StrEnum):
    """How tasks are put into lanes."""

    BY_EPIC = "by_epic"
    BY_TASK = "by_task"
    SMART = "smart"


class MergeStrategy(StrEnum):
    """How an epic's commits reach the target branch."""

    MERGE = "merge"
    SQUASH = "squash"


class LandingStatus(StrEnum):
    """How far an epic is on its way onto the target branch."""

    QUEUED = "queued"
    TESTING = "testing"
    LANDED = "landed"
    REJECTED = "rejected"
    CONFLICT = "conflict"
    #: It was on the target and was reverted by `yoke undo`.
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class Dependency:
    """An edge to an epic or a task that goes first."""

    #: Id of an epic or a task.
    predecessor: str
    strength: Strength = Strength.HARD
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """What one agent finishes in one attempt."""

    id: str
    #: Id of the epic it belongs to.
    epic: str
    title: str
    #: What an agent is told.
    prompt: str = ""
    #: What the `shell` agent runs instead.
    run: str = ""
    depends_on: tuple[Dependency, ...] = ()
    #: Globs of the files it owns, relative to the repository.
    files: tuple[str, ...] = ()
    #: Ids of tasks that must not run at the same time.
    conflicts_with: tuple[str, ...] = ()
    #: Free word that drives the choice of model and agent.
    category: str = ""
    #: 0 is first, 9 is last.
    priority: int = 5
    #: Seconds of work, where somebody estimated it.
    estimate: float | None = None
    #: Name of the agent; empty means the configured default.
    agent: str = ""
    #: Name of the model; empty leaves the choice to the model-selection plugin.
    model: str = ""
    #: Name of the agent profile; empty leaves the choice to category, files and `needs`.
    profile: str = ""
    #: Capabilities that whoever does it must have.
    needs: tuple[str, ...] = ()
    critical: bool = False
    #: Commands that must exit 0 in the task's worktree.
    verify: tuple[str, ...] = ()
    #: Seconds an attempt may take; None means the configured default.
    timeout: float | None = None
    #: An attempt that changes nothing is a success.
    allow_empty: bool = False
    #: When a person has to approve: `before` it starts, or `after` it, before it counts; empty for never.
    approve: str = ""
    #: Place in the plan, from 0.
    position: int = 0


@dataclass(frozen=True, slots=True)
class Epic:
    """The unit of isolation and of landing."""

    id: str
    title: str
    depends_on: tuple[Dependency, ...] = ()
    tasks: tuple[Task, ...] = ()
    #: Place in the plan, from 0.
    position: int = 0
    #: When a person has to approve: `before` any of its tasks starts, or `after` all, before it lands.
    approve: str = ""


@dataclass(frozen=True)
class Plan:
    """The backlog, validated: ids are unique and every dependency exists."""

    epics: tuple[Epic, ...]
    #: The file it came from.
    path: Path

    @cached_property
    def tasks(self) -> Mapping[str, Task]:
        """Every task by id, in plan order."""
        return {task.id: task for epic in self.epics for task in epic.tasks}

    @cached_property
    def epic(self) -> Mapping[str, Epic]:
        """Every epic by id, in plan order."""
        return {epic.id: epic for epic in self.epics}


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the resolver found out about a plan.

    Only unfinished tasks appear; an edge to finished work is satisfied and gone.
    """

    #: Hard predecessors of each task, epic edges expanded to tasks.
    hard: Mapping[str, frozenset[str]]
    #: Soft predecessors of each task, epic edges expanded to tasks.
    soft: Mapping[str, frozenset[str]]
    #: Levels of the hard graph, each in starting order. Reported, never a barrier.
    batches: tuple[tuple[str, ...], ...]
    #: Seconds from the start of a task to the end of the longest chain that begins with it.
    remaining: Mapping[str, float]
    #: Seconds a task can slip without delaying the end; 0 on the critical path.
    slack: Mapping[str, float]
    #: A longest chain, in order.
    critical_path: tuple[str, ...]
    #: Seconds each task is expected to take: declared, else learned, else its category's median.
    durations: Mapping[str, float]
    #: Lane of each task; tasks of one lane share a worktree, one after another.
    lanes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Profile:
    """A role in which an agent works: who takes it, what it is told and what it may touch."""

    name: str
    #: Why this profile was chosen for the task.
    reason: str = ""
    #: The agent that takes the role; empty for the one that would do the task anyway.
    agent: str = ""
    instructions: str = ""
    #: Rules of conduct.
    always: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    #: The effective ones: shared and custom, without the disabled.
    skills: tuple[str, ...] = ()
    #: The model of this role; empty leaves the choice to the model-selection plugin.
    model: str = ""
    #: Tiers between which the model is chosen; empty for no bound.
    lowest_tier: str = ""
    highest_tier: str = ""
    #: Globs of what it may change; empty for everything.
    may_change: tuple[str, ...] = ()
    #: Globs of what it must not change.
    must_not_change: tuple[str, ...] = ()
    #: Profile that takes over when this one has failed; empty for none.
    escalates_to: str = ""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which model does an attempt, and why."""

    #: As the agent's command line wants it; empty means the agent's own default.
    model: str
    reason: str
    #: `fast`, `balanced`, `powerful`; empty when the model belongs to none.
    tier: str = ""
    #: What the choice was made of, as JSON: stored with the session and shown by `yoke models why`.
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BudgetLeft:
    """The tightest of the budgets that an attempt falls under."""

    #: `task`, `epic`, `run` or `day`
    scope: str
    #: `usd`, `tokens` or `sessions`
    unit: str
    limit: float
    #: Spent and set aside.
    used: float

    @property
    def fraction(self) -> float:
        """Share of the limit that is left, from 0 to 1."""
        return max(0.0, 1.0 - self.used / self.limit) if self.limit else 0.0


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person may want to hear of while nobody watches."""

    #: Type of the event: `intervention.opened`, `run.finished`, `budget.warned` or `budget.exceeded`.
    type: str
    #: One sentence, without secrets.
    text: str
    project: str = ""
    #: UUID of the run.
    run: str = ""
    #: The task or epic it is about; empty for the run as a whole.
    item: str = ""
    #: Kind of intervention, or the run's state.
    kind: str = ""
    #: A command that a person can type next.
    command: str = ""
    #: When it happened, as ISO 8601.
    at: str = ""
    #: How urgent it is, for whoever sorts: a person has to act.
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Reservation:
    """What is set aside for one session."""

    usd: float | None = None
    tokens: int | None = None
    #: Dollars after which the session is stopped at once, whatever the budget; None for no cap.
    cap_usd: float | None = None


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
