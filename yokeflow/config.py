"""`.yokeflow.yaml` as a frozen value. Every key has a default, so an empty file works."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from yokeflow import globs
from yokeflow.document import parse_count, parse_duration, parse_size, shorten
from yokeflow.model import MergeStrategy, Strategy

#: At most 63 characters. The table `agent_profiles` has the same rule.
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
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


def _glob(value: str) -> str:
    if reason := globs.fault(value):
        raise ValueError(f"{shorten(value)} {reason}: write it relative to the repository, such as src/**")
    if not globs.is_plain(value):
        raise ValueError(f"{shorten(value)} has braces, backslashes or a ** in a name: write several globs")
    return value


def _slug(value: str) -> str:
    if not _SLUG.fullmatch(value):
        raise ValueError(
            f"{shorten(value)} is no name: write small letters, digits and dashes, such as api-coder"
        )
    return value


Seconds = Annotated[float, BeforeValidator(parse_duration), Field(gt=0)]
Bytes = Annotated[int, BeforeValidator(parse_size), Field(gt=0)]
Dollars = Annotated[float, Field(ge=0)]
Tokens = Annotated[int, BeforeValidator(parse_count), Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Glob = Annotated[str, AfterValidator(_glob)]
Slug = Annotated[str, AfterValidator(_slug)]
Tier = Literal["fast", "balanced", "powerful"]


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


class Skills(Section):
    """What an agent of a profile is told it can do."""

    shared: tuple[str, ...] = ()
    """Those it has in common with other profiles."""
    custom: tuple[str, ...] = ()
    """Its own."""
    disabled: tuple[str, ...] = ()
    """Those of `shared` that it is not to use."""


class Boundaries(Section):
    """What an agent of a profile may touch."""

    may_change: tuple[Glob, ...] = ()
    """Globs of files it may change; everything when empty. An attempt that changes another one fails."""
    must_not_change: tuple[Glob, ...] = ()
    """Globs of files it must not change. An attempt that does fails."""


class ProfileOptions(Section):
    """A role in which an agent works."""

    agent: str | None = None
    """The agent of tasks that name none; the default agent when empty."""
    categories: tuple[str, ...] = ()
    """Tasks of these categories get this profile."""
    files: tuple[Glob, ...] = ()
    """Tasks whose files all lie within these globs get this profile."""
    capabilities: tuple[str, ...] = ()
    """What it can do: tasks that need something get the profile that has all of it."""
    instructions: str = ""
    """Said to the agent before its task."""
    always: tuple[str, ...] = ()
    """Rules it must always follow."""
    never: tuple[str, ...] = ()
    """What it must never do."""
    skills: Skills = Skills()
    boundaries: Boundaries = Boundaries()
    model: str | None = None
    """The model of this role; the model-selection plugin chooses when empty."""
    lowest_tier: Tier | None = None
    """The weakest tier it may be given."""
    highest_tier: Tier | None = None
    """The strongest tier it may be given."""
    escalates_to: str | None = None
    """Profile that takes over after a failed attempt."""


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
    profiles: dict[Slug, ProfileOptions] = Field(default_factory=dict)
    """Roles by name, chosen by a task's `profile`, `needs`, category or files."""


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


class Embeddings(Section):
    """Search for lessons by meaning, beside words."""

    url: str | None = None
    """Base address of an OpenAI-compatible endpoint, such as `http://localhost:11434/v1`; off when empty."""
    model: str = "text-embedding-3-small"
    """The model to ask there."""
    key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key."""
    timeout: Seconds = 5.0
    """How long to wait for an answer; without one the search goes by words alone."""


class Learning(Section):
    """What sessions teach later ones."""

    enabled: bool = True
    """False recalls and learns nothing."""
    expertise_max_lines: Annotated[int, Field(ge=1)] = 1000
    """Longest file of one domain."""
    self_improve_interval: Literal["never", "session", "daily"] | Annotated[int, Field(ge=1)] = "daily"
    """How often expertise is revised: never, session, daily, or every N sessions."""
    domains: tuple[str, ...] = (
        "database",
        "api",
        "frontend",
        "testing",
        "security",
        "deployment",
        "general",
    )
    """The fields that lessons are sorted into."""
    directory: Annotated[str, AfterValidator(_inside)] = ".expertise"
    """Folder of the expertise files, inside the repository."""
    recall_tokens: Annotated[int, Field(ge=0, le=100_000)] = 1500
    """Most tokens of lessons in a prompt."""
    holdout: Annotated[int, Field(ge=2)] | None = 8
    """A lesson is kept from one in so many sessions, to measure what it does; never when empty."""
    reflect_with: str | None = None
    """Agent that is asked, after a task that took several attempts, what it teaches; none when empty."""
    embeddings: Embeddings = Embeddings()


class Price(Section):
    """Dollars for a million tokens of a model."""

    input: Dollars
    """Read afresh."""
    output: Dollars
    """Written."""
    cache_read: Dollars | None = None
    """Read from the cache; a tenth of `input` when empty."""
    cache_write: Dollars | None = None
    """Written to the cache; five quarters of `input` when empty."""


class Limits(Section):
    """The most that may be spent."""

    usd: Dollars | None = None
    """Dollars."""
    tokens: Tokens | None = None
    """Tokens of all kinds together."""
    sessions: Annotated[int, Field(ge=0)] | None = None
    """Attempts."""


class Budgets(Section):
    """Limits by what they are for. A session must fit into all of them."""

    task: Limits = Limits()
    """All attempts at one task."""
    epic: Limits = Limits()
    """All tasks of one epic."""
    run: Limits = Limits()
    """One run."""
    day: Limits = Limits()
    """All runs of the project within a day, by UTC."""


class Cost(Section):
    """What may be spent, and on which models."""

    enabled: bool = True
    """False keeps no accounts."""
    budget_limit_usd: Dollars | None = None
    """What the project may spend in one run, the same as `budgets.run.usd`; no limit when empty."""
    budgets: Budgets = Budgets()
    warn_at: tuple[Share, ...] = (0.8, 0.95)
    """Shares of a limit at which a warning is given."""
    session_limit_usd: Dollars = 1.0
    """Set aside for a session before anything is known about its kind."""
    session_limit_tokens: Tokens = 200_000
    """Tokens set aside for such a session, where a limit is in tokens."""
    session_cap_usd: Dollars | None = None
    """A session that spends more is stopped; no cap beside the budgets when empty."""
    prices: dict[str, Price] = Field(default_factory=dict)
    """Prices by model, for those that the built-in list does not know or that cost you something else."""
    optimization_enabled: bool = True
    """False always takes the default model."""
    default_model: str = "sonnet"
    """The model where nothing else decides: with optimization off, and for models that belong to no tier."""
    model_overrides: dict[str, str] = Field(default_factory=dict)
    """Model or tier by category of the task."""
    priority_overrides: dict[str, str] = Field(default_factory=dict)
    """Model or tier by priority of the task: 0 to 9, or critical, high, normal, low."""
    critical_override: str | None = None
    """Model or tier of critical tasks."""


class Tiers(Section):
    """The models of one kind of agent, by strength."""

    fast: str | None = None
    """The cheapest."""
    balanced: str | None = None
    """The usual one."""
    powerful: str | None = None
    """The strongest."""


class Weights(Section):
    """What counts how much in the complexity of a task; the four together make 1."""

    reasoning: Share = 0.35
    """How much there is to think about."""
    code: Share = 0.25
    """How much code it touches."""
    domain: Share = 0.25
    """How much must be known about the field."""
    context: Share = 0.15
    """How much must be read before."""

    @model_validator(mode="after")
    def _whole(self) -> Weights:
        total = self.reasoning + self.code + self.domain + self.context
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"the four weights make {total:g}: let them make 1")
        return self


class Models(Section):
    """How the model of a task is chosen."""

    tiers: dict[str, Tiers] = Field(default_factory=dict)
    """Models by tier, for each kind of agent. `claude` has haiku, sonnet and opus if you say nothing."""
    weights: Weights = Weights()
    thresholds: tuple[Share, Share] = (0.3, 0.7)
    """Complexity from which on a task is balanced, and powerful."""
    learn: bool = True
    """False goes by complexity alone, whatever earlier work has shown."""
    prior_sessions: Annotated[float, Field(gt=0)] = 4.0
    """How many sessions the guess by complexity weighs against what is measured."""
    escalate_at: Annotated[int, Field(ge=2)] = 3
    """The attempt from which on a stronger tier is taken."""
    pace_below: Share = 0.2
    """Share of a budget below which a cheaper tier is preferred."""
    seed: int | None = None
    """For the same choices in every run; derived from the run when empty."""


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
