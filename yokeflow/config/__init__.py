"""`.yokeflow.yaml` as a frozen value. Every key has a default, so an empty file works."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, Field

from yokeflow.config.agents import AgentOptions, Agents, Boundaries, ProfileOptions, Skills
from yokeflow.config.strategies import (
    Budgets,
    Cost,
    Embeddings,
    Learning,
    Limits,
    Models,
    Price,
    Tiers,
    Weights,
)
from yokeflow.config.values import NUMBER, Seconds, Section, Tier, inside, prefix
from yokeflow.model import MergeStrategy, Strategy

__all__ = [
    "AgentOptions",
    "Agents",
    "Boundaries",
    "Budgets",
    "Checks",
    "Config",
    "Cost",
    "Database",
    "Embeddings",
    "Hooks",
    "Landing",
    "Learning",
    "Limits",
    "Models",
    "Parallel",
    "Plugins",
    "Price",
    "ProfileOptions",
    "Project",
    "Section",
    "Skills",
    "Tier",
    "Tiers",
    "Weights",
]


class Project(Section):
    """What this repository is called and where work lands."""

    name: str | None = None
    """Shown in reports; the folder's name when empty."""
    target: str | None = None
    """Branch on which epics land; the branch that is checked out when empty."""
    branch_prefix: Annotated[str, AfterValidator(prefix)] = "epic/"
    """Put before an epic's id to name its branch."""
    status_file: bool = False
    """Write `.yokeflow/STATUS.md` into your checkout at the end of every run."""


class Database(Section):
    """Where the store is."""

    url: str | None = None
    """`postgresql://user@host/name`; a private server of your user's when empty."""
    connect_timeout: Seconds = 5.0
    """How long to wait for a connection."""

    def at_most(self, seconds: float | None) -> Self:
        """The same, with a wait for a connection that is no longer than so many seconds."""
        if seconds is None or seconds >= self.connect_timeout:
            return self
        return self.model_copy(update={"connect_timeout": seconds})


class Parallel(Section):
    """How much runs at once, and where."""

    enabled: bool = True
    """False runs one task at a time."""
    max_concurrency: Annotated[int, Field(ge=1, le=256), NUMBER] = 3
    """Sessions at the same time."""
    strategy: Strategy = Strategy.BY_EPIC
    """`by_epic`: a worktree an epic; `by_task`: one a task; `smart`: one a task where files are disjoint."""
    worktree_dir: Annotated[str, AfterValidator(inside)] = ".worktrees"
    """Folder of the worktrees, inside the repository; git is told to ignore it."""
    pool: Annotated[int, Field(ge=0, le=64), NUMBER] = 2
    """Worktrees that wait for epics to come; 0 for none, as in repositories of less than 1,000 files."""
    merge_strategy: MergeStrategy = MergeStrategy.MERGE
    """`merge` keeps an epic's commits, `squash` makes one of them."""


class Checks(Section):
    """Commands that must exit 0."""

    task: tuple[str, ...] = ()
    """Run in the task's worktree after every attempt, before the task's own `verify`."""
    landing: tuple[str, ...] | None = None
    """Run on the merged tree before it lands; the same as `task` when empty."""
    timeout: Seconds = 900.0
    """How long one check may take."""
    retries: Annotated[int, Field(ge=0, le=10), NUMBER] = 0
    """How often a red check is tried again; one that then passes counts as flaky."""
    keep: tuple[str, ...] = ()
    """Ignored files of one landing that the next may find, as patterns of .gitignore: caches, no results."""


class Landing(Section):
    """How finished epics get onto the target branch."""

    max_parallel_checks: Annotated[int, Field(ge=1, le=64), NUMBER] = 2
    """Landings tested at the same time, each on top of those before it; 1 tests one after another."""
    batch: Annotated[int, Field(ge=1, le=64), NUMBER] = 1
    """Epics tested as one; when that is red, halves are tested until the culprit is found."""
    conflicts: Literal["manual", "agent", "retry_later"] = "manual"
    """What a conflict leads to: `manual` asks a person, `agent` lets an agent try, `retry_later` waits."""
    conflict_agent: str = ""
    """The agent that resolves conflicts; the default agent when empty."""
    conflict_tries: Annotated[int, Field(ge=0, le=10), NUMBER] = 1
    """How often an agent may try to resolve one conflict before a person is asked."""


class Hooks(Section):
    """What git hooks do where `yoke hooks install` has put them."""

    commit: bool = True
    """Record commits on their items, and which of them were amended, rebased or dropped."""
    merge: bool = True
    """Record merges on the epics that they merge."""
    close_tasks: bool = False
    """A person's commit with `Yoke-Task: ID` on the target or on the epic's branch completes that task."""
    refuse_red_push: bool = False
    """Refuse to push the very commit at which the last landing of an epic was rejected."""


class Plugins(Section):
    """Which plugins are loaded."""

    disabled: tuple[str, ...] = ()
    """Names of plugins that are not loaded."""
    timeouts: dict[str, Seconds] = Field(default_factory=dict)
    """How long one plugin may take, by name of the hook, where the hook's own limit does not fit."""


_Section = TypeVar("_Section", bound=Section)


class Config(Section):
    """All settings of a project."""

    project: Project = Project()
    plan: str = "plan.yaml"
    """The backlog."""
    database: Database = Database()
    parallel: Parallel = Parallel()
    agents: Agents = Agents()
    checks: Checks = Checks()
    landing: Landing = Landing()
    sandbox: Literal["none"] = "none"
    """Where agents run: `none`, the only value, is this machine. Nothing built in reads it."""
    hooks: Hooks = Hooks()
    learning: Learning = Learning()
    cost: Cost = Cost()
    models: Models = Models()
    plugins: Plugins = Plugins()

    def section(self, model: type[_Section]) -> _Section:
        """The section that a plugin registered with this model; its defaults where it is not loaded."""
        found = (getattr(self, name) for name in type(self).model_fields)
        return next((section for section in found if type(section) is model), model())

    def agent_options(self, name: str) -> AgentOptions:
        """Settings of one agent, defaults where the file says nothing."""
        return self.agents.options.get(name, AgentOptions())

    def agent_of(self, task_agent: str) -> str:
        """The agent of a task that names `task_agent`, which may be empty."""
        return task_agent or self.agents.default

    @property
    def agent_limits(self) -> dict[str, int]:
        """Sessions at the same time by agent, for those that have a limit of their own."""
        limits = {name: options.max_sessions for name, options in self.agents.options.items()}
        return {name: limit for name, limit in limits.items() if limit is not None}

    @property
    def landing_checks(self) -> tuple[str, ...]:
        """Commands every landing must pass."""
        return self.checks.task if self.checks.landing is None else self.checks.landing

    @property
    def concurrency(self) -> int:
        """Sessions at the same time."""
        return self.parallel.max_concurrency if self.parallel.enabled else 1
