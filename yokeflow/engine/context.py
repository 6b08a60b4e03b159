"""What the parts of one run share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from yokeflow.engine.landing.order import landing_order

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from yokeflow.config import AgentOptions, Config
    from yokeflow.engine.decisions.decide import Decisions
    from yokeflow.engine.landing.order import LandingOrder
    from yokeflow.engine.lanes.shared import Shared
    from yokeflow.engine.project import Project
    from yokeflow.engine.recorder import Recorder
    from yokeflow.engine.sessions.checks import Checker
    from yokeflow.git.repo import Repo
    from yokeflow.git.worktrees import Worktrees
    from yokeflow.hookspecs import Agent
    from yokeflow.model import AgentReport, Plan, Profile, Task, Usage

#: What nobody can have spent in one session, and the store cannot hold.
_DOLLARS_END = 1_000_000.0


@dataclass(frozen=True)
class Context:
    """One run's tools and facts."""

    project: Project
    plan: Plan
    #: Branch on which epics land.
    target: str
    recorder: Recorder
    decide: Decisions
    checker: Checker
    worktrees: Worktrees
    agents: Mapping[str, Agent]
    #: Agent that does every task, whatever the plan says; empty for none.
    only_agent: str = ""
    #: Set when sessions are to stop.
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    #: Held while an agent is asked something for a plugin.
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: Held while the target moves, with the checkout that has it, or its checkout is put right.
    moving_target: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: Settings of git, by key, that sessions get beside the ones that all of them have.
    session_git: Mapping[str, str] = field(default_factory=dict)
    #: Keeps sessions from what all worktrees share.
    shared: Shared | None = None
    #: Worktrees in which agents are at work -> the commit where they started.
    at_work: dict[Path, str] = field(default_factory=dict)
    #: Those of them whose agents brought commits onto the target, which went back at once.
    trespassed: set[Path] = field(default_factory=set)
    #: Commits at which the target was found to have nothing of an agent's own.
    known_tips: set[str] = field(default_factory=set)
    #: By epic, whose lines a person wants where its next landing conflicts: the target's (`ours`) or the
    #: epic's (`theirs`).
    takes: dict[str, str] = field(default_factory=dict)
    #: The same, where it was needed.
    taken: dict[str, str] = field(default_factory=dict)

    @cached_property
    def order(self) -> LandingOrder:
        """Which epics land before which."""
        return landing_order(self.plan)

    @property
    def repo(self) -> Repo:
        return self.project.repo

    @property
    def config(self) -> Config:
        return self.project.config

    def role_of(self, task: Task, number: int = 1) -> tuple[str, Profile | None]:
        """Name of the agent that does attempt `number` at a task, and the profile in which it does."""
        profile = self.decide.profile(task, number)
        wanted = task.agent or (profile.agent if profile else "")
        return self.only_agent or self.config.agent_of(wanted), profile

    def priced(self, report: AgentReport) -> tuple[float | None, str, tuple[Usage, ...]]:
        """What a session cost, who says so, and what each model did for it.

        The agent, else the prices, `least` where it was cut off before it told all, or `unknown`.
        """
        usage = report.usage
        if report.cost_usd is not None and 0 <= report.cost_usd < _DOLLARS_END:
            if len(usage) > 1:
                usage = tuple(self._priced_part(each) for each in usage)
            return report.cost_usd, "agent", usage
        total = self.decide.price(usage) if usage else None
        parts = tuple(self._priced_part(each) for each in usage)
        source = "unknown" if total is None else "prices" if report.final else "least"
        return total, source, parts

    def _priced_part(self, used: Usage) -> Usage:
        return used if used.cost_usd is not None else replace(used, cost_usd=self.decide.price((used,)))

    def agent(self, name: str) -> tuple[Agent, AgentOptions]:
        """The agent of that name and its settings.

        Raises KeyError for a name that no plugin knows; `preflight` has looked before the run starts.
        """
        options = self.config.agent_options(name)
        return self.agents[options.kind or name], options

    def epic_branch(self, epic: str) -> str:
        """Branch of an epic, without `refs/heads/`."""
        return f"{self.config.project.branch_prefix}{epic}"
