"""A conflict of an epic with the target, or with what it builds on, and what is to be done about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from yokeflow.model.plan import Epic, Task

#: `manual` asks a person, `agent` lets an agent try, `retry_later` waits until the target moves.
ConflictStrategy = Literal["manual", "agent", "retry_later"]


@dataclass(frozen=True, slots=True)
class OtherCommit:
    """A commit on the target, not in the epic, that changed a file in conflict."""

    oid: str
    subject: str
    #: By its trailers; empty for the work of a person.
    epic: str = ""
    task: str = ""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why an epic cannot be merged with its target, or take in what it builds on, told from both sides."""

    epic: Epic
    #: The epic's completed tasks; at a hand-over, and then the one that is to start.
    tasks: tuple[Task, ...]
    #: The epic's branch, without `refs/heads/`, and the commit at its tip.
    branch: str
    tip: str
    #: The branch on which it is to land, and the commit there. At a hand-over that of the other epic, unless
    #: its work is on the target already.
    target: str
    target_commit: str
    #: The best common ancestor of both; empty where there is none.
    base: str
    #: Paths in conflict.
    files: tuple[str, ...]
    #: What git says about them, a line each.
    messages: str
    #: What was done to these files on the target, oldest first.
    others: tuple[OtherCommit, ...] = ()
    #: The tasks of other epics that did it, as the plan has them.
    other_tasks: tuple[Task, ...] = ()
    other_epics: tuple[Epic, ...] = ()
    #: At a hand-over, the task whose work is to be taken in; empty at a landing.
    taken: str = ""
    #: How often an agent has tried it in this run, in vain.
    tries: int = 0


@dataclass(frozen=True, slots=True)
class ConflictDecision:
    """How a conflict is to be dealt with. The core does it."""

    strategy: ConflictStrategy
    #: For `agent`: its name; empty for `landing.conflict_agent`, else the default agent.
    agent: str = ""
    #: For `agent`: the model; empty leaves the choice to the model-selection plugin.
    model: str = ""
    #: Why; shown to the person who is asked.
    reason: str = ""
