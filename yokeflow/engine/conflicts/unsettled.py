"""Epics whose landing conflicted: they are resolved beside the run, or wait until the target has moved."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from yokeflow.engine.conflicts.conflicts import Conflicts, Left, Resolved
from yokeflow.engine.ledger.interventions import SYSTEM
from yokeflow.errors import YokeError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from yokeflow.engine.context import Context
    from yokeflow.engine.lanes.lanes import HandOverConflictError, Lanes
    from yokeflow.engine.ledger.ledger import Ledger
    from yokeflow.engine.report import LandingResult
    from yokeflow.model import Task


class Unsettled:
    """Conflicts that keep epics from landing, while the rest of the run goes on."""

    def __init__(
        self,
        context: Context,
        ledger: Ledger,
        advance: Callable[[], None],
        end: Callable[[YokeError | OSError], None],
    ) -> None:
        """`advance` is called when something has become possible, `end` when nothing can go on."""
        self._context = context
        self._ledger = ledger
        self._advance = advance
        self._end = end
        self._conflicts = Conflicts(context)
        self._handing_over = asyncio.Lock()
        #: Epics that are being resolved now.
        self._open: set[str] = set()
        #: By epic, conflicts that are tried again when the target has moved.
        self._waiting: dict[str, LandingResult] = {}

    @property
    def busy(self) -> bool:
        """Whether something is being resolved."""
        return bool(self._open)

    @property
    def waiting(self) -> bool:
        """Whether something is to be tried again."""
        return bool(self._waiting)

    def landable(self, ahead: Collection[str] = ()) -> Sequence[str]:
        """What the ledger has to land, but for those whose conflict is not settled."""
        unsettled = self._open | self._waiting.keys()
        return [epic for epic in self._ledger.landable(ahead) if epic not in unsettled]

    def begin(self, result: LandingResult, group: asyncio.TaskGroup) -> None:
        """Deal with the conflict that ended a landing."""
        self._open.add(result.epic)
        group.create_task(self._settle(result), name=f"conflict of {result.epic}")

    async def _settle(self, result: LandingResult) -> None:
        epic, context = result.epic, self._context
        try:
            tasks = self._ledger.commits_of(epic)
            found = await self._conflicts.resolve(result, tasks, context.takes.get(epic, ""))
            self._note(result, found)
        except (YokeError, OSError) as error:
            self._end(error)
        finally:
            self._open.discard(epic)
        self._advance()

    def _note(self, result: LandingResult, found: Resolved | Left | None) -> None:
        """Land it again, let it wait, or ask a person; nothing when the run is stopped."""
        epic = result.epic
        if isinstance(found, Resolved):
            if found.how in {"ours", "theirs"}:
                self._context.taken[epic] = found.how
            self._ledger.resolved(epic, found.tip if found.how == "agent" else "")
        elif isinstance(found, Left):
            result = replace(result, reason=found.reason)
            if found.later:
                self._waiting[epic] = result
            else:
                self.ended(epic)
                self._ledger.landing_ended(result)

    async def hand_over(self, task: Task, lanes: Lanes, error: HandOverConflictError) -> bool:
        """Deal with what keeps a task from starting; False when the run is stopped, else it is tried again.

        Raises HandOverConflictError where it is for a person.
        """
        between = error.between
        if between is None:
            raise error
        # Two tasks of an epic may need the same.
        async with self._handing_over:
            if lanes.has_made(between):
                return True
            done = self._ledger.commits_of(task.epic)
            found = await self._conflicts.hand_over(task, lanes.lane(task), error, between, done)
        if isinstance(found, Left):
            error.message = found.reason
            raise error
        if found is not None:
            lanes.made(between, found.tip)
        return found is not None

    def ended(self, epic: str) -> None:
        """A landing is over: what a person wanted for it does not hold for the next."""
        self._context.takes.pop(epic, None)
        self._context.taken.pop(epic, None)

    def again(self, epics: Collection[str] | None = None) -> None:
        """The target has moved, or somebody asks: try those that wait again."""
        for epic in [each for each in self._waiting if epics is None or each in epics]:
            del self._waiting[epic]
            self._ledger.requeue(epic, by=SYSTEM)

    def last_call(self, group: asyncio.TaskGroup) -> None:
        """Nothing else goes on: ask a person about what waits, unless the target has moved after all."""
        waiting, self._waiting = self._waiting, {}
        self._open |= waiting.keys()
        group.create_task(self._ask(waiting.values()), name="last conflicts")

    async def _ask(self, waiting: Collection[LandingResult]) -> None:
        try:
            target = await self._context.repo.branch(self._context.target)
            for result in waiting:
                if target not in {None, result.old}:
                    self._ledger.requeue(result.epic, by=SYSTEM)
                else:
                    self._ledger.landing_ended(result)
        except (YokeError, OSError) as error:
            self._end(error)
        finally:
            self._open -= {result.epic for result in waiting}
        self._advance()
