"""What people are asked, and what they said: interventions, approvals, words for the next attempt."""

from __future__ import annotations

import getpass
import os
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from yokeflow.engine.report import Waiting
from yokeflow.model import Said

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from yokeflow.engine.recorder import Recorder
    from yokeflow.events import Event
    from yokeflow.model import Epic, Plan, Task
    from yokeflow.store.answered import Answered

#: How a person can answer each kind of intervention.
CHOICES = {
    "retry_limit": ("retry", "skip"),
    "budget": ("retry", "skip"),
    "conflict": ("land",),
    "hand_over": ("retry", "skip"),
    "red_check": ("land",),
    "checkout": ("land",),
    "worktree": ("retry", "skip"),
    "taken_back": ("land",),
    "approval": ("approve", "reject"),
    "question": ("answer", "skip"),
    "clash": ("dismiss",),
}
#: Who answers where nobody was needed.
SYSTEM = "system"
#: What waits for a person's word and for nothing else: no change in the repository settles it.
_WORDS = frozenset({"approval", "question"})
#: What keeps no epic from landing.
_FREE = _WORDS | {"clash"}
#: What a person can ask for instead of answering.
_INSTEAD = frozenset({"retry", "skip", "land"})


def by_person() -> str:
    """Who asks for something with a command, as events have it."""
    try:
        return f"human:{getpass.getuser()}"
    except (KeyError, OSError):
        # In a container the user may have a number and no name.
        return f"human:{os.getuid()}"


class Interventions:
    """The interventions of a project, as far as a run needs them."""

    def __init__(
        self,
        plan: Plan,
        recorder: Recorder,
        waiting: Iterable[Waiting],
        answered: Iterable[Answered],
        resolved: Mapping[str, str] | None = None,
    ) -> None:
        self._plan = plan
        self._recorder = recorder
        #: Open interventions by id.
        self.open: dict[str, Waiting] = {entry.intervention: entry for entry in waiting}
        #: By epic, the commit by which an agent resolved its last conflict since it landed, for approval.
        self.resolved: dict[str, str] = dict(resolved or {})
        #: By item and stage, the commits for which a person gave their approval.
        self._approved: dict[tuple[str, str], frozenset[str]] = {}
        self._said: dict[str, list[Said]] = {}
        for each in answered:
            self._remember(each.kind, each.item, each.reason, each.choice, each.more)

    @property
    def held(self) -> set[str]:
        """Epics whose landing failed and waits for a person."""
        entries = self.open.values()
        return {entry.item for entry in entries if entry.item in self._plan.epic and entry.kind not in _FREE}

    def ask(self, kind: str, reason: str, *, epic: str, task: str = "", **more: Any) -> Event:
        """Open an intervention; `more` belongs to what is asked."""
        entry = Waiting(str(uuid4()), kind, task or epic, reason, CHOICES[kind], more)
        self.open[entry.intervention] = entry
        return self._recorder.event(
            "intervention.opened",
            epic=epic,
            task=task,
            intervention=entry.intervention,
            kind=kind,
            reason=reason,
            choices=list(entry.choices),
            **more,
        )

    def settle(self, item: str, choice: str, by: str, text: str = "") -> list[Event]:
        """What a person's answer settles; nobody is asked about it any more."""
        return [
            self._close(entry, choice, by, text)
            for entry in list(self.open.values())
            if entry.item == item and _fits(entry, choice, by)
        ]

    def settle_all(self, item: str, choice: str, by: str) -> list[Event]:
        """Close everything that is asked about an item, whose answer is something else that was done."""
        return [self._close(entry, choice, by) for entry in list(self.open.values()) if entry.item == item]

    def about(self, item: str, *kinds: str) -> Waiting | None:
        """What is asked about an item."""
        return next((e for e in self.open.values() if e.item == item and e.kind in kinds), None)

    def wants_word(self, task: str) -> bool:
        """Whether a task waits for an approval or an answer."""
        return self.about(task, *_WORDS) is not None

    def needs(self, item: Task | Epic, stage: str, commits: Collection[str] = ()) -> bool:
        """Whether a person has to approve an item first, with these commits."""
        return item.approve == stage and self._approved.get((item.id, stage)) != frozenset(commits)

    def approve(self, item: str, stage: str, commits: Collection[str] = ()) -> None:
        """A person has approved without being asked."""
        self._approved[item, stage] = frozenset(commits)

    def ask_approval(
        self, item: Task | Epic, stage: str, reason: str, commits: Collection[str] = (), **more: Any
    ) -> list[Event]:
        """Ask a person to approve, unless that is asked already; what is outdated is asked no more."""
        before = self.about(item.id, "approval")
        wanted = sorted(commits)
        if before is not None and before.more.get("stage") == stage and before.more.get("commits") == wanted:
            return []
        events = [] if before is None else [self._close(before, "outdated", SYSTEM)]
        epic, task = (
            (item.id, "") if item.id in self._plan.epic else (self._plan.tasks[item.id].epic, item.id)
        )
        asked = self.ask("approval", reason, epic=epic, task=task, stage=stage, commits=wanted, **more)
        return [*events, asked]

    def approved_work(self, task: str) -> str:
        """The commit of finished work that a person has approved and that is to be taken up; else empty."""
        return next(iter(self._approved.get((task, "after"), ())), "")

    def said(self, task: str) -> tuple[Said, ...]:
        """What people said about a task since it was last done, oldest first."""
        return tuple(self._said.get(task, ()))

    def forget(self, item: str) -> None:
        """An item is done: if it is to be done again, everything is asked anew."""
        self._said.pop(item, None)
        self.resolved.pop(item, None)
        for stage in ("before", "after"):
            self._approved.pop((item, stage), None)

    def withdraw_approval(self, task: str, why: str) -> None:
        """The approved work of a task cannot be used; whoever does the task again is told."""
        self._approved.pop((task, "after"), None)
        self._said.setdefault(task, []).append(Said("rejected", "", why))

    def _close(self, entry: Waiting, choice: str, by: str, text: str = "") -> Event:
        del self.open[entry.intervention]
        self._remember(entry.kind, entry.item, entry.reason, choice, {**entry.more, "text": text})
        task = entry.item if entry.item in self._plan.tasks else ""
        epic = self._plan.tasks[task].epic if task else entry.item
        told = {"text": text} if text else {}
        return self._recorder.event(
            "intervention.resolved",
            epic=epic,
            task=task,
            intervention=entry.intervention,
            choice=choice,
            by=by,
            **told,
        )

    def _remember(self, kind: str, item: str, reason: str, choice: str, more: Mapping[str, Any]) -> None:
        text, stage = str(more.get("text", "")), str(more.get("stage", ""))
        if kind == "question" and choice in {"answer", "retry"}:
            self._said.setdefault(item, []).append(Said("question", reason, text))
        elif kind == "approval" and choice in {"approve", "land"}:
            self._approved[item, stage] = frozenset(more.get("commits", ()))
        elif kind == "approval" and choice == "reject":
            self._approved.pop((item, stage), None)
            if stage == "after":
                self._said.setdefault(item, []).append(Said("rejected", str(more.get("kept_ref", "")), text))


def refused(entry: Waiting | None, choice: str) -> str:
    """Why an answer makes no sense; empty when it does."""
    if entry is None:
        return "nothing is asked about that any more"
    if choice not in entry.choices:
        return f"{entry.item} cannot be answered with {choice}: {', '.join(entry.choices)}"
    return ""


def _fits(entry: Waiting, choice: str, by: str) -> bool:
    """Whether an answer is one to this intervention."""
    if entry.kind in _WORDS:
        return choice in entry.choices or (by != SYSTEM and choice in _INSTEAD)
    return choice in entry.choices
