"""Every extension point of YokeFlow.

A plugin is an object with functions of these names, marked with `hookimpl` and registered under the
entry-point group `yokeflow`. A hook may leave out arguments it does not need, and may be `async` where its
answer is marked *awaitable*. What happens when a plugin raises is part of each hook's promise:

*fails closed*: the run stops with the plugin's name.
*fails soft*: one `plugin.failed` event, and the run goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pluggy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from yokeflow.config import AgentOptions, Config
    from yokeflow.events import Event
    from yokeflow.model import (
        AgentOutput,
        AgentReport,
        AgentRequest,
        Attempt,
        Launch,
        ModelChoice,
        Plan,
        Resolution,
        SessionResult,
        Task,
    )

hookspec = pluggy.HookspecMarker("yokeflow")
hookimpl = pluggy.HookimplMarker("yokeflow")


class AgentReader(Protocol):
    """Understands what one agent process prints."""

    def feed(self, line: bytes) -> Iterable[AgentOutput]:
        """Take one line of standard output, without its newline; give what is worth showing."""
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


class Hooks:
    """The hooks, in the order in which a task meets them."""

    @hookspec(firstresult=True)
    def resolve_dependencies(
        self, plan: Plan, config: Config, finished: Collection[str], learned: Mapping[str, float]
    ) -> Resolution | None:
        """Turn a plan into predecessors, lanes, batches and the critical path.

        Called at the start of a run and by `yoke plan`. `finished` are ids of completed, skipped or
        cancelled tasks; `learned` maps a task id to seconds measured before. Raise DocumentError for
        a cycle. Fails closed.
        """

    @hookspec(firstresult=True)
    def order_ready(self, ready: Sequence[Task], resolution: Resolution) -> Sequence[str] | None:
        """Ids of the ready tasks, the one to start first at the front. Fails closed."""

    @hookspec(firstresult=True)
    def select_model(self, attempt: Attempt, agent: str, config: Config) -> ModelChoice | None:
        """The model for one attempt. The first plugin that does not answer None decides. Fails closed."""

    @hookspec
    def reserve_budget(self, attempt: Attempt, config: Config) -> Awaitable[float | None] | float | None:
        """Set money aside for one attempt, before it starts; *awaitable*.

        Return the dollars set aside, None for "no opinion", or raise LimitError to refuse: then no new
        session starts, and the run ends with exit code 4 when the running ones are done. Fails closed.
        """

    @hookspec
    def settle_budget(self, result: SessionResult, config: Config) -> Awaitable[None] | None:
        """Replace what was set aside for a session by what it cost; *awaitable*. Fails closed."""

    @hookspec
    def recall(self, attempt: Attempt, config: Config) -> Awaitable[Sequence[str]] | Sequence[str] | None:
        """Lessons worth telling the agent, as Markdown paragraphs; *awaitable*. Fails soft."""

    @hookspec
    def register_agents(self) -> Sequence[Agent]:
        """The kinds of agents this plugin brings. Called once at start. Fails closed."""
        raise NotImplementedError  # a specification is never called

    @hookspec
    def learn(self, result: SessionResult, transcript: Path, config: Config) -> Awaitable[None] | None:
        """Take what a finished session teaches; *awaitable*. Fails soft."""

    @hookspec
    def on_event(self, event: Event) -> None:
        """See every event of a run right after it was recorded. Must return at once. Fails soft."""

    @hookspec
    def register_migrations(self) -> Path | None:
        """A folder of alembic revisions that form this plugin's own branch. Fails closed.

        Ids begin with the branch's label: `yoke_costs_0001`. The core's revisions always run first, so
        none is named in `depends_on`; then the plugin can be disabled without the core losing its place.
        """
