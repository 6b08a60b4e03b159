"""What starts next. Pure: no clock, no processes; the engine and the simulation drive it with the same calls.

A task that cannot start now waits where the obstacle is: at its lane, at its agent, or behind a running task
whose files it shares. Only the first of a queue comes back when the obstacle goes, so an event costs what it
affects and not what the plan holds.

Beside these rules there are wishes (see `caution`): a task waits for them at most as long as no more lanes
wait so than tasks run, so wishes never empty more than half of what could be done, and never stop a run.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import islice
from typing import TYPE_CHECKING

from yokeflow.engine.scheduling.caution import Caution
from yokeflow.engine.scheduling.gates import Gates
from yokeflow.engine.scheduling.ready import ReadyQueue
from yokeflow.globs import overlaps

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from yokeflow.engine.scheduling.caution import Wishes
    from yokeflow.engine.scheduling.ready import Order
    from yokeflow.model import Plan, Resolution, Task

#: Names that are enough to tell what a task waits for.
_FEW = 5
#: Which wishes a look at a task takes into account.
_NO_WISH, _STRONG, _EVERY = range(3)


class Scheduler:
    """Follows what happens to the unfinished tasks of a plan and says which to start."""

    def __init__(
        self,
        plan: Plan,
        resolution: Resolution,
        order: Order,
        *,
        concurrency: int,
        agent_limit: Mapping[str, int] | None = None,
        agent_of: Callable[[Task], str] = lambda task: task.agent,
    ) -> None:
        self.concurrency = concurrency
        self._tasks = {name: plan.tasks[name] for name in resolution.hard}
        self._lanes = resolution.lanes
        self._gates = Gates(resolution.hard)
        self._agents = {name: agent_of(task) for name, task in self._tasks.items()}
        self._limit = agent_limit or {}
        self._enemies: dict[str, set[str]] = defaultdict(set)
        for name, task in self._tasks.items():
            for other in task.conflicts_with:
                self._enemies[name].add(other)
                self._enemies[other].add(name)
        self._done: set[str] = set()
        self._failed: dict[str, None] = {}
        self._blocked: dict[str, None] = {}
        self._running: dict[str, None] = {}
        #: Answered by `startable` and not yet started; they hold slot and lane like running ones.
        self._offered: dict[str, None] = {}
        self._held: frozenset[str] = frozenset()
        self._lane_of_running: dict[str, str] = {}
        self._busy_agents: Counter[str] = Counter()

        def queue() -> ReadyQueue:
            return ReadyQueue(order, self._tasks, resolution.soft)

        #: Worth a look: nothing known stands in their way.
        self._pool = queue()
        #: By lane and agent, since only tasks of both meet the same obstacles.
        self._at_lane: dict[str, dict[str, ReadyQueue]] = defaultdict(lambda: defaultdict(queue))
        self._at_agent: dict[str, ReadyQueue] = defaultdict(queue)
        self._behind: dict[str, ReadyQueue] = defaultdict(queue)
        self._caution = Caution()
        #: Nothing but a wish stands in their way: one worth to wait for, or one to let others go first.
        self._waiting = queue()
        self._yielding = queue()
        #: The queue in which each ready task stands.
        self._place: dict[str, ReadyQueue] = {}
        self._known_ready: set[str] = set()
        self._newly_ready: list[str] = []
        for name in self._tasks:
            self._consider(name)

    @property
    def running(self) -> tuple[str, ...]:
        """Tasks that were started and are not over, in order of their start."""
        return tuple(self._running)

    @property
    def done(self) -> Collection[str]:
        """Completed and skipped tasks."""
        return self._done

    @property
    def blocked(self) -> tuple[str, ...]:
        """Tasks that wait, directly or not, for one that gave up."""
        return tuple(self._blocked)

    @property
    def waiting(self) -> dict[str, tuple[str, ...]]:
        """What each task that neither runs nor is over waits for, a few of it; see `waits_for`.

        Looks at every task.
        """
        over = (self._done, self._failed, self._running, self._offered)
        left = [name for name in self._tasks if not any(name in group for group in over)]
        return {
            name: tuple(before) or self._in_the_way(name, _FEW)
            for name, before in self._gates.first_of(left, _FEW, self._position)
        }

    @property
    def is_finished(self) -> bool:
        """Nothing runs, and nothing can start before somebody acts on what is held, failed or blocked."""
        return not self._running and not self._offered and not self._place

    def waits_for(self, task: str) -> tuple[str, ...]:
        """Open hard predecessors of a task, else the running tasks in its way.

        Empty when it only needs a slot or is held.
        """
        before = self._gates.waits_for(task)
        if before:
            return tuple(sorted(before, key=self._position))
        return self._in_the_way(task)

    def _position(self, task: str) -> int:
        return self._tasks[task].position

    def _in_the_way(self, task: str, limit: int | None = None) -> tuple[str, ...]:
        """Running tasks with which it must not run."""
        wishes = self._place.get(task) in {self._waiting, self._yielding}
        others = (
            name
            for name in (*self._running, *self._offered)
            if self._excludes(name, task) or (wishes and self._caution.between(name, self._tasks[task]))
        )
        return tuple(islice(others, limit))

    def startable(self) -> list[Task]:
        """The tasks to start now, the most urgent first; all of them can start together.

        Call `started` for each that is started. The others are offered again, or something better is.
        """
        for name in list(self._offered):
            self._leave(name)
            self._consider(name)
        while len(self._running) + len(self._offered) < self.concurrency:
            if (first := self._pool.pop()) is not None:
                wishes = _EVERY
            elif (first := self._yielding.pop()) is not None:
                wishes = _STRONG
            elif self._too_many_wait() and (first := self._waiting.pop()) is not None:
                wishes = _NO_WISH
            else:
                break
            del self._place[first]
            self._look_at(first, wishes)
        return [self._tasks[name] for name in self._offered]

    def newly_ready(self) -> list[str]:
        """Tasks that have become ready since this was asked last, each once until it is reopened."""
        fresh, self._newly_ready = self._newly_ready, []
        # Some may have failed or been held since.
        still = [task for task in fresh if task in self._place or task in self._offered]
        self._known_ready.difference_update(set(fresh).difference(still))
        return still

    def started(self, task: str) -> None:
        """A task runs, whether it was offered or goes on from an earlier run."""
        if task not in self._offered:
            self._withdraw(task)
            self._occupy(task)
        del self._offered[task]
        self._running[task] = None

    def completed(self, task: str) -> None:
        """A task is done: its lane is free and its successors wait no longer."""
        self._leave(task)
        self._settle(task)

    def skipped(self, task: str) -> None:
        """A person decided that a task counts as done."""
        self.completed(task)

    def released(self, task: str) -> None:
        """An attempt is over without success, and the task is ready for the next."""
        self._leave(task)
        self._consider(task)

    def failed(self, task: str) -> tuple[str, ...]:
        """A task gives up. Answers the tasks behind it that are blocked from now on."""
        self._leave(task)
        self._withdraw(task)
        self._failed[task] = None
        fresh = [
            name
            for name in self._gates.behind([task])
            if name not in self._blocked and name not in self._done
        ]
        fresh.sort(key=lambda name: self._tasks[name].position)
        self._blocked |= dict.fromkeys(fresh)
        return tuple(fresh)

    def reopened(self, task: str) -> None:
        """A task that was over is to be done after all."""
        self._failed.pop(task, None)
        self._done.discard(task)
        self._known_ready.discard(task)
        for name in self._gates.reopen(task):
            self._known_ready.discard(name)
            self._withdraw(name)
        self._recount_blocked()
        self._consider(task)

    @property
    def holding(self) -> frozenset[str]:
        """Tasks that are not to start until further notice."""
        return self._held

    def reassign(self, task: str, agent: str) -> None:
        """Another agent is to do a task that does not run."""
        if self._agents[task] != agent:
            self._withdraw(task)
            self._agents[task] = agent
            self._consider(task)

    def held(self, tasks: Iterable[str]) -> None:
        """These tasks, and no others, are not to start until further notice."""
        before, self._held = self._held, frozenset(tasks)
        for name in sorted(self._held - before):
            self._withdraw(name)
        for name in sorted(before - self._held):
            if name in self._tasks:
                self._consider(name)

    def heed(self, wishes_of: Callable[[Task], Wishes] | None) -> None:
        """With what each task should rather not run, from here on."""
        self._caution.heed(wishes_of, [self._tasks[name] for name in (*self._running, *self._offered)])
        self._look_again()

    def _look_again(self) -> None:
        for queue in (self._waiting, self._yielding):
            for name in queue.clear():
                self._put(name, self._pool)

    def _too_many_wait(self) -> bool:
        """Whether more lanes wait for wishes to come true than tasks run."""
        active = len(self._running) + len(self._offered)
        if len(self._waiting) <= active:
            return False
        lanes: set[str] = set()
        for name in self._waiting:
            if self._lanes[name] not in self._lane_of_running:
                lanes.add(self._lanes[name])
                if len(lanes) > active:
                    return True
        return False

    def _settle(self, task: str) -> None:
        self._withdraw(task)
        self._done.add(task)
        if task in self._failed:
            del self._failed[task]
            self._recount_blocked()
        elif task in self._blocked:
            self._recount_blocked()
        for name in self._gates.complete(task):
            self._consider(name)

    def _recount_blocked(self) -> None:
        behind = self._gates.behind(self._failed)
        self._blocked = {name: None for name in behind if name not in self._done and name not in self._failed}

    def _consider(self, task: str) -> None:
        """Put a task among those worth a look, if it is ready."""
        over = task in self._done or task in self._failed or task in self._running or task in self._offered
        known = task in self._tasks and task not in self._held
        if known and not over and task not in self._place and self._gates.is_open(task):
            self._put(task, self._pool)
            if task not in self._known_ready:
                self._known_ready.add(task)
                self._newly_ready.append(task)

    def _put(self, task: str, queue: ReadyQueue) -> None:
        queue.add(task)
        self._place[task] = queue

    def _look_at(self, task: str, wishes: int) -> None:
        """Offer a task, or make it wait where its obstacle is; then let the next in line have a look."""
        lane, agent = self._lanes[task], self._agents[task]
        if lane in self._lane_of_running:
            self._put(task, self._at_lane[lane][agent])
        elif not self._has_room(agent):
            self._put(task, self._at_agent[agent])
            return
        elif obstacle := self._rival(task):
            self._put(task, self._behind[obstacle])
            self._next(self._at_lane[lane][agent])
        elif queue := self._wished(task, wishes):
            self._put(task, queue[0])
            self._next(self._at_lane[lane][agent])
        else:
            self._occupy(task)
        if self._has_room(agent):
            self._next(self._at_agent[agent])

    def _wished(self, task: str, wishes: int) -> tuple[ReadyQueue, ...]:
        """The queue in which a task had better wait; none when it may start."""
        if wishes >= _STRONG and self._caution.should_wait(self._tasks[task]):
            return (self._waiting,)
        if wishes >= _EVERY and self._caution.should_yield(self._tasks[task]):
            return (self._yielding,)
        return ()

    def _rival(self, task: str) -> str | None:
        """A running task that must not run at the same time, lanes aside."""
        return next((name for name in (*self._running, *self._offered) if self._fights(name, task)), None)

    def _fights(self, first: str, second: str) -> bool:
        mine, theirs = self._tasks[first].files, self._tasks[second].files
        return second in self._enemies.get(first, ()) or bool(mine and theirs and overlaps(mine, theirs))

    def _excludes(self, running: str, task: str) -> bool:
        return self._lanes[running] == self._lanes[task] or self._fights(running, task)

    def _has_room(self, agent: str) -> bool:
        limit = self._limit.get(agent)
        return limit is None or self._busy_agents[agent] < limit

    def _occupy(self, task: str) -> None:
        self._offered[task] = None
        self._lane_of_running[self._lanes[task]] = task
        self._busy_agents[self._agents[task]] += 1
        self._caution.enter(self._tasks[task])

    def _leave(self, task: str) -> None:
        """Free what a running or offered task holds, and let those who waited for it have a look."""
        if task not in self._running and task not in self._offered:
            return
        self._running.pop(task, None)
        self._offered.pop(task, None)
        lane, agent = self._lanes[task], self._agents[task]
        if self._lane_of_running.get(lane) == task:
            del self._lane_of_running[lane]
        self._busy_agents[agent] -= 1
        if self._caution.leave(task):
            self._look_again()
        for queue in self._at_lane.get(lane, {}).values():
            self._next(queue)
        self._next(self._at_agent[agent])
        rivals = self._behind.pop(task, None)
        for name in rivals.clear() if rivals else ():
            self._put(name, self._pool)

    def _next(self, queue: ReadyQueue) -> None:
        """The first of a queue is worth a look again."""
        name = queue.pop()
        if name is not None:
            self._put(name, self._pool)

    def _withdraw(self, task: str) -> None:
        """Take a ready task out of its queue; the next in line takes its place."""
        queue = self._place.pop(task, None)
        if queue is not None:
            queue.discard(task)
            self._next(self._at_lane[self._lanes[task]][self._agents[task]])
            self._next(self._at_agent[self._agents[task]])
