"""Tasks that the budget refused: they wait for money that others may give back, until nobody can."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from yokeflow.engine.context import Context
    from yokeflow.engine.scheduling.scheduler import Scheduler
    from yokeflow.errors import LimitError
    from yokeflow.model import Task


class Shortage:
    """What a run cannot pay for right now, and what it never will."""

    def __init__(
        self,
        context: Context,
        scheduler: Scheduler,
        running: Mapping[str, object],
        busy: Callable[[], bool],
    ) -> None:
        """`running` has the tasks at work; `busy` tells whether anything else has money set aside."""
        self._context = context
        self._scheduler = scheduler
        self._running = running
        self._busy = busy
        #: The budget does not reach for another session until one has settled.
        self._short = False
        #: Tasks whose epic's budget is set aside for others.
        self._parked: set[str] = set()
        #: How often money has come back.
        self.settlements = 0
        #: What ends the run: sessions that run finish.
        self.limit: LimitError | None = None

    def __bool__(self) -> bool:
        """Whether no task can start."""
        return self._short or self.limit is not None

    def settled(self) -> None:
        """Money may have come back: those that wait for it may ask again."""
        self.settlements += 1
        self._short = False
        if self._parked:
            self._scheduler.held(self._scheduler.holding - self._parked)
            self._parked.clear()

    def refuse(self, error: LimitError, task: Task, settlements: int) -> bool:
        """Let a task wait, where money may come back, or end the run; whether the task is to be given up.

        If money has come back since there were that many `settlements`, the task asks once more.
        """
        if self.settlements > settlements:
            self._short = False  # those refused beside it ask again, too
        elif error.scope in {"task", "epic"}:
            return self._refuse_epic(error, task)
        elif len(self._running) > 1 or self._busy():
            self._short = True
        elif self.limit is None:
            self.limit = error
            self._tell(error)
        self._scheduler.released(task.id)
        return False

    def _refuse_epic(self, error: LimitError, task: Task) -> bool:
        """The budget of a task or its epic does not reach: wait for the epic's other sessions, or give up."""
        tasks = self._context.plan.tasks
        others = any(name != task.id and tasks[name].epic == task.epic for name in self._running)
        if not (others or self._busy()):
            self._tell(error)
            return True
        self._parked.add(task.id)
        self._scheduler.held(self._scheduler.holding | {task.id})
        self._scheduler.released(task.id)
        return False

    def _tell(self, error: LimitError) -> None:
        self._context.recorder.emit(
            "budget.exceeded", reason=error.message, scope=error.scope, name=error.name
        )
