"""Every extension point of YokeFlow.

A plugin is an object with functions of these names, marked with `hookimpl` and registered under the
entry-point group `yokeflow`. A hook may leave out arguments it does not need, so that a later version which
adds one breaks no plugin, and may be `async` where its answer is marked *awaitable*. Plugins registered later
are asked first; the built-in ones come last.

What happens when a plugin raises, takes too long, answers nonsense or leaves a transaction open is part of
each hook's promise, and names the plugin in any case:

*fails closed*: the run stops with the plugin's name.
*fails soft*: one `plugin.failed` event, and the run goes on.

Every hook has a version, which rises when an argument is added. A plugin that relies on it says so with a
module attribute such as `yoke_needs = {"recall": 2}`, and an older YokeFlow refuses it with a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pluggy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from uuid import UUID

    import click
    from sqlalchemy.ext.asyncio import AsyncConnection

    from yokeflow.config import AgentOptions, Config, Section
    from yokeflow.events import Event
    from yokeflow.model import (
        AgentOutput,
        AgentReport,
        AgentRequest,
        Attempt,
        BudgetLeft,
        Conflict,
        ConflictDecision,
        Launch,
        ModelChoice,
        Notice,
        Plan,
        Profile,
        Reservation,
        Resolution,
        SessionResult,
        Task,
        Usage,
    )

    _Function = TypeVar("_Function", bound=Callable[..., Any])

_specification = pluggy.HookspecMarker("yokeflow")
hookimpl = pluggy.HookimplMarker("yokeflow")


@dataclass(frozen=True, slots=True)
class Promise:
    """What callers and plugins may rely on."""

    version: int
    #: A failure stops the run; else it costs one event.
    closed: bool
    #: The first answer that is not None counts; else all do.
    first: bool
    #: How long one plugin may take in all. What it does without awaiting may take 5 seconds at most.
    seconds: float


#: By name of the hook.
PROMISES: dict[str, Promise] = {}


def hookspec(
    *, version: int = 1, closed: bool = False, first: bool = False, seconds: float = 5.0
) -> Callable[[_Function], _Function]:
    """Declare a hook and what it promises."""

    def declare(function: _Function) -> _Function:
        PROMISES[function.__name__] = Promise(version, closed, first, seconds)
        return _specification(function, firstresult=first)

    return declare


class AgentReader(Protocol):
    """Understands what one agent process prints."""

    def feed(self, line: bytes) -> Iterable[AgentOutput]:
        """Take one line of standard output, without its newline; give what is worth showing or counting."""
        ...

    def finish(self, exit_code: int) -> AgentReport:
        """Sum up after the process has ended. `exit_code` is negative for a signal."""
        ...


class Agent(Protocol):
    """Knows one kind of agent: how to start it and how to read it. The core runs the process."""

    #: As `agents.default`, `agent:` of a task and `kind:` of a named agent spell it.
    name: str

    def missing(self, options: AgentOptions) -> str:
        """How to install what is not there; empty when everything is."""
        ...

    def launch(self, request: AgentRequest, options: AgentOptions) -> Launch:
        """The process that does the task."""
        ...

    def reader(self, request: AgentRequest, options: AgentOptions) -> AgentReader:
        """A fresh reader for one process."""
        ...


class Host(Protocol):
    """What the core lends a plugin for one call. It ends with the call; nothing of it may be kept."""

    @property
    def run(self) -> str:
        """UUID of the run; empty outside of one."""
        ...

    @property
    def project_id(self) -> UUID:
        """The project in the store."""
        ...

    @property
    def root(self) -> Path:
        """The repository's main checkout, which belongs to the user: write nothing there unasked."""
        ...

    def begin(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection in a transaction, committed at the end, rolled back on any error.

        Raises StoreError while the database is away: a run goes on then, and so should the plugin.
        """
        ...

    def emit(self, type_: str, **data: Any) -> None:
        """Record an event of the plugin's own, such as `deploy.started`, with JSON data, about the same task.

        It is in the journal when this returns and reaches the table `events`, exactly once, even when the
        database is away: a plugin that must not forget keeps its facts this way, and fills tables of its own
        with a trigger on `events`. Raises ValueError for a type that belongs to the core.
        """
        ...

    async def changed_files(self, base: str, head: str) -> Sequence[str]:
        """Paths that differ between two commits."""
        ...

    async def tracked_files(self) -> Sequence[str]:
        """Paths in the tip of the branch on which epics land."""
        ...

    async def ask(self, prompt: str, *, operation: str, agent: str, model: str = "") -> AgentReport:
        """Let an agent answer a question in an empty folder, and account for it under `operation`."""
        ...


class Hooks:
    """The hooks: what a plugin brings, then in the order in which a task meets them."""

    @hookspec(closed=True)
    def register_agents(self) -> Sequence[Agent]:
        """The kinds of agents this plugin brings. Called once at start. Fails closed."""
        raise NotImplementedError  # a specification is never called

    @hookspec(closed=True)
    def register_config(self) -> Mapping[str, type[Section]]:
        """Sections of `.yokeflow.yaml` by name, each a subclass of `yokeflow.config.Section`.

        Read them with `config.section(MySection)`. Every key needs a default. Fails closed.
        """
        raise NotImplementedError

    @hookspec(closed=True)
    def register_commands(self) -> Sequence[click.Command]:
        """Commands of `yoke`, by their names; one of the core's own names is refused. Fails closed."""
        raise NotImplementedError

    @hookspec(closed=True)
    def register_migrations(self) -> Path | None:
        """A folder of alembic revisions that form this plugin's own branch. Fails closed.

        Ids begin with the branch's label: `yoke_costs_0001`. The core's revisions always run first, so
        none is named in `depends_on`; then the plugin can be disabled without the core losing its place.
        """

    @hookspec(closed=True, seconds=60.0)
    def begin_run(self, plan: Plan, config: Config, host: Host) -> Awaitable[None] | None:
        """Load what the plugin wants to know in this run; *awaitable*.

        Called once, when what the last run left is in order and before anything is decided. Fails closed.
        """

    @hookspec(closed=True)
    def begin_preview(self, plan: Plan, config: Config, host: Host) -> Awaitable[None] | None:
        """Load what the plugin wants to know to say what a run would do, and change nothing; *awaitable*.

        Called for `yoke plan show` and `yoke run --dry-run`, where the store can be reached at once; the
        decisions that follow are shown, not carried out. Fails closed.
        """

    @hookspec(closed=True, first=True, seconds=60.0)
    def resolve_dependencies(
        self, plan: Plan, config: Config, finished: Collection[str], learned: Mapping[str, float]
    ) -> Resolution | None:
        """Turn a plan into predecessors, lanes, batches and the critical path.

        Called at the start of a run and by `yoke plan`. `finished` are ids of completed, skipped or
        cancelled tasks; `learned` maps a task id to seconds measured before. Raise DocumentError for
        a cycle. Fails closed.
        """

    @hookspec(closed=True, first=True)
    def order_ready(self, ready: Sequence[Task], resolution: Resolution) -> Sequence[str] | None:
        """Ids of the ready tasks, the one to start first at the front. Fails closed."""

    @hookspec(closed=True, first=True)
    def select_profile(self, task: Task, number: int, config: Config) -> Profile | None:
        """The role in which an agent does attempt `number` (from 1) at a task. Fails closed.

        The same arguments give the same answer while a run goes on. None: no role, just the task's agent.
        """

    @hookspec(closed=True, first=True)
    def budget_left(self, attempt: Attempt, config: Config) -> BudgetLeft | None:
        """The tightest budget that the attempt falls under; None where there is no limit. Fails closed."""

    @hookspec(version=2, closed=True, first=True)
    def select_model(
        self, attempt: Attempt, agent: str, config: Config, budget: BudgetLeft | None
    ) -> ModelChoice | None:
        """The model for one attempt. The first plugin that does not answer None decides. Fails closed.

        Version 2 added `budget`.
        """

    @hookspec(version=2, closed=True)
    def reserve_budget(
        self, attempt: Attempt, config: Config, host: Host
    ) -> Awaitable[Reservation | float | None] | Reservation | float | None:
        """Set money aside for one attempt, before it starts; *awaitable*.

        Return what is set aside (a number is dollars), None for "no opinion", or raise LimitError to refuse:
        by its `scope` the task gives up, its epic's tasks do, or no new session starts and the run ends with
        exit code 4 when the running ones are done. What is returned is recorded together with the start of
        the session, in one write. Fails closed. Version 2 added `host`.
        """

    @hookspec(closed=True)
    def check_spending(self, attempt: Attempt, usage: Sequence[Usage], config: Config) -> str | None:
        """Why a running session must be stopped, by the tokens it has used so far; None to let it go on.

        Called after every output that carries usage. Must return at once. Fails closed.
        """

    @hookspec(closed=True, first=True)
    def price_usage(self, usage: Sequence[Usage], config: Config) -> float | None:
        """Dollars for tokens of an agent that does not say what it cost; None for unknown. Fails closed."""

    @hookspec(version=2, closed=True)
    def settle_budget(self, result: SessionResult, config: Config, host: Host) -> Awaitable[None] | None:
        """Replace what was set aside for a session by what it cost; *awaitable*. Fails closed.

        Version 2 added `host`.
        """

    @hookspec(version=2, seconds=10.0)
    def recall(
        self, attempt: Attempt, config: Config, host: Host
    ) -> Awaitable[Sequence[str]] | Sequence[str] | None:
        """Lessons worth telling the agent, as Markdown paragraphs; *awaitable*. Fails soft.

        Version 2 added `host`.
        """

    @hookspec(version=2, seconds=900.0)
    def learn(
        self, result: SessionResult, transcript: Path, config: Config, host: Host
    ) -> Awaitable[None] | None:
        """Take what a finished session teaches, while the run goes on; *awaitable*. Fails soft.

        Version 2 added `host`.
        """

    @hookspec(first=True, seconds=600.0)
    def resolve_conflict(
        self, conflict: Conflict, config: Config, host: Host
    ) -> Awaitable[ConflictDecision | None] | ConflictDecision | None:
        """What to do about an epic that conflicts with its target; *awaitable*. The first answer counts.

        The plugin decides, and changes nothing: an agent's work is done, tested and taken back by the core.
        After `landing.conflict_tries` tries of an agent a person is asked, whatever the answer is.

        Where it fails, everything stays as it is, and a person is asked at once. Fails soft.
        """

    @hookspec(seconds=60.0)
    def notify(
        self, notice: Notice, config: Config
    ) -> Awaitable[None] | Mapping[str, Callable[[], Awaitable[None]]] | None:
        """Tell a person who does not watch what happened; *awaitable*.

        Called beside the run, which does not wait: at its end, what is under way has a few seconds more. Each
        plugin is told one notice after the other. One with several receivers answers, by the name of each,
        what tells it when called; the time limit is for each of them, and none waits for another. A landing
        that waits for the same reason as in the run before is not told again. A receiver that fails three
        times in a row is left alone; at the end, one more `plugin.failed` counts what it missed. Fails soft.
        """

    @hookspec()
    def on_event(self, event: Event) -> None:
        """See every event of a run right after it was recorded. Must return at once. Fails soft."""
