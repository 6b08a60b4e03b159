"""`.yokeflow.yaml` as a frozen value. Every key has a default, so an empty file works."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from yokeflow.document import parse_duration, parse_size
from yokeflow.model import MergeStrategy, Strategy

_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*", re.ASCII)


def _inside(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or path.parts[:1] in {(), (".git",)}:
        raise ValueError("must be a folder inside the repository: write a name such as .worktrees")
    return value


def _prefix(value: str) -> str:
    odd = any(part in value for part in ("..", "//", "/.", "./", ".lock/"))
    # Tasks that have a worktree of their own are on `lane/…`; git takes `refs/…` for a full name.
    if odd or not _PREFIX.fullmatch(value) or value.startswith(("lane/", "refs/")):
        raise ValueError(f"{value!r} cannot begin a branch's name: write something like epic/ or team/epic-")
    return value


Seconds = Annotated[float, BeforeValidator(parse_duration), Field(gt=0)]
Bytes = Annotated[int, BeforeValidator(parse_size), Field(gt=0)]
Dollars = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """A group of keys. Unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, value: object) -> object:
        """A heading whose keys are all commented out is an empty section."""
        return {} if value is None else value


class Project(Section):
    """What this repository is called and where work lands."""

    name: str | None = None
    """Shown in reports; the folder's name when empty."""
    target: str | None = None
    """Branch on which epics land; the branch that is checked out when empty."""
    branch_prefix: Annotated[str, AfterValidator(_prefix)] = "epic/"
    """Put before an epic's id to name its branch."""


class Database(Section):
    """Where the store is."""

    url: str | None = None
    """`postgresql://user@host/name`; a private server of your user's when empty."""
    connect_timeout: Seconds = 5.0
    """How long to wait for a connection."""


class Parallel(Section):
    """How much runs at once, and where."""

    enabled: bool = True
    """False runs one task at a time."""
    max_concurrency: Annotated[int, Field(ge=1, le=256)] = 3
    """Sessions at the same time."""
    strategy: Strategy = Strategy.BY_EPIC
    """`by_epic`: a worktree an epic; `by_task`: one a task; `smart`: one a task where files are disjoint."""
    worktree_dir: Annotated[str, AfterValidator(_inside)] = ".worktrees"
    """Folder of the worktrees, inside the repository; git is told to ignore it."""
    merge_strategy: MergeStrategy = MergeStrategy.MERGE
    """`merge` keeps an epic's commits, `squash` makes one of them."""


class AgentOptions(Section):
    """Settings of one named agent."""

    kind: str | None = None
    """Kind of agent: shell, command, claude, codex or one of a plugin; the agent's own name when empty."""
    program: str | None = None
    """Path of the program when it is not on PATH under its usual name."""
    argv: tuple[str, ...] = ()
    """Command line of a `command` agent.

    Placeholders: {prompt_file} {model} {worktree} {task} {title} {scratch}."""
    args: tuple[str, ...] = ()
    """Added to the command line."""
    prompt: Literal["stdin", "file"] = "stdin"
    """How a `command` agent gets its prompt."""
    env: dict[str, str] = Field(default_factory=dict)
    """Added to the agent's environment."""
    pass_env: tuple[str, ...] = ()
    """Names of variables let through from your environment."""
    max_sessions: Annotated[int, Field(ge=1)] | None = None
    """Sessions of this agent at the same time; no limit of its own when empty."""


class Agents(Section):
    """Who does the work, and for how long."""

    default: str = "claude"
    """The agent of tasks that name none."""
    max_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """Attempts at a task before a person is asked."""
    timeout: Seconds = 1800.0
    """How long an attempt may take."""
    silence: Seconds = 600.0
    """How long an agent may print nothing."""
    grace: Seconds = 10.0
    """How long a session has to stop cleanly before it is killed."""
    transcript_limit: Bytes = 20_000_000
    """Output kept of one session."""
    pass_env: tuple[str, ...] = ()
    """Names of variables let through from your environment to every agent and check."""
    options: dict[str, AgentOptions] = Field(default_factory=dict)
    """Settings by the agent's name; a new name makes a new agent of a known kind."""


class Checks(Section):
    """Commands that must exit 0."""

    task: tuple[str, ...] = ()
    """Run in the task's worktree after every attempt, before the task's own `verify`."""
    landing: tuple[str, ...] | None = None
    """Run on the merged tree before it lands; the same as `task` when empty."""
    timeout: Seconds = 900.0
    """How long one check may take."""


class Hooks(Section):
    """What git hooks record. For plugins: nothing built in reads it."""

    commit: bool = True
    """Record commits. For plugins; nothing built in reads it."""
    merge: bool = True
    """Record merges. For plugins; nothing built in reads it."""


class Learning(Section):
    """What sessions teach later ones."""

    enabled: bool = True
    """False recalls and learns nothing."""
    expertise_max_lines: Annotated[int, Field(ge=1)] = 1000
    """Longest file of one domain. For plugins; nothing built in reads it."""
    self_improve_interval: Literal["never", "session", "daily"] | Annotated[int, Field(ge=1)] = "daily"
    """How often expertise is revised: never, session, daily, or every N sessions.

    For plugins; nothing built in reads it."""
    domains: tuple[str, ...] = (
        "database",
        "api",
        "frontend",
        "testing",
        "security",
        "deployment",
        "general",
    )
    """The fields lessons are sorted into. For plugins; nothing built in reads it."""


class Cost(Section):
    """What a run may spend, and on which models."""

    enabled: bool = True
    """False keeps no accounts."""
    budget_limit_usd: Dollars | None = None
    """What the project may spend in one run; no limit when empty."""
    session_limit_usd: Dollars = 1.0
    """Set aside for a session before anything is known about its kind."""
    optimization_enabled: bool = True
    """False always takes the default model."""
    default_model: str = "sonnet"
    """The model of tasks that nothing else decides about."""
    model_overrides: dict[str, str] = Field(default_factory=dict)
    """Model by category of the task."""


class Plugins(Section):
    """Which plugins are loaded."""

    disabled: tuple[str, ...] = ()
    """Names of plugins that are not loaded."""


class Config(Section):
    """All settings of a project."""

    project: Project = Project()
    plan: str = "plan.yaml"
    """The backlog."""
    database: Database = Database()
    parallel: Parallel = Parallel()
    agents: Agents = Agents()
    checks: Checks = Checks()
    sandbox: Literal["none"] = "none"
    """Where agents run: `none`, the only value, is this machine. Nothing built in reads it."""
    hooks: Hooks = Hooks()
    learning: Learning = Learning()
    cost: Cost = Cost()
    plugins: Plugins = Plugins()

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


def json_schema() -> dict[str, Any]:
    """JSON Schema of `.yokeflow.yaml`, for editors."""
    return Config.model_json_schema()
