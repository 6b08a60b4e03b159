"""Planned work: items, their order, and the states that they and their landings go through."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Begins the name of a lane's branch where that is not the epic's; no epic's branch begins so.
LANE_PREFIX = "lane/"


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

    @cached_property
    def ids(self) -> frozenset[str]:
        """Of every epic and task."""
        return frozenset((*self.epic, *self.tasks))


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
