"""What is learned, what may be spent and which model does what: `learning`, `cost`, `models`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from yokeflow.config.values import (
    NUMBER,
    Dollars,
    Name,
    Priority,
    Seconds,
    Section,
    Share,
    Shares,
    Tokens,
    Whole,
    inside,
)


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
    expertise_max_lines: Annotated[int, Field(ge=1), NUMBER] = 1000
    """Longest file of one domain."""
    self_improve_interval: Literal["never", "session", "daily"] | Annotated[int, Field(ge=1), NUMBER] = (
        "daily"
    )
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
    directory: Annotated[str, AfterValidator(inside)] = ".expertise"
    """Folder of the expertise files, inside the repository."""
    recall_tokens: Annotated[int, Field(ge=0, le=100_000), NUMBER] = 1500
    """Most tokens of lessons in a prompt."""
    holdout: Annotated[int, Field(ge=2), NUMBER] | None = 8
    """A lesson is kept from one in so many tasks, to measure it, unless it is pinned; never when empty."""
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
    sessions: Annotated[int, Field(ge=0), NUMBER] | None = None
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
    prices: dict[Name, Price] = Field(default_factory=dict)
    """Prices by model, for those that the built-in list does not know or that cost you something else."""
    optimization_enabled: bool = True
    """False always takes the default model."""
    default_model: Name = "sonnet"
    """The model where nothing else decides and optimization is off."""
    model_overrides: dict[str, Name] = Field(default_factory=dict)
    """Model or tier by category of the task."""
    priority_overrides: dict[Priority, Name] = Field(default_factory=dict)
    """Model or tier by priority of the task: 0 to 9, or critical, high, normal, low."""
    critical_override: Name | None = None
    """Model or tier of critical tasks."""

    @property
    def run_limit_usd(self) -> float | None:
        """Dollars that one run may spend; None for no limit."""
        given = (self.budget_limit_usd, self.budgets.run.usd)
        return min((each for each in given if each is not None), default=None) if self.enabled else None


class Tiers(Section):
    """The models of one kind of agent, by strength."""

    fast: Name | None = None
    """The cheapest."""
    balanced: Name | None = None
    """The usual one."""
    powerful: Name | None = None
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

    tiers: dict[Name, Tiers] = Field(default_factory=dict)
    """Models by tier, for an agent or a kind of them. `claude` has haiku, sonnet, opus if you say nothing."""
    weights: Weights = Weights()
    thresholds: Shares = (0.3, 0.7)
    """Complexity from which on a task is balanced, and powerful."""
    learn: bool = True
    """False goes by complexity alone, whatever earlier work has shown."""
    prior_sessions: Annotated[float, Field(gt=0, allow_inf_nan=False), NUMBER] = 4.0
    """How many sessions the guess by complexity weighs against what is measured."""
    escalate_at: Annotated[int, Field(ge=2), NUMBER] = 3
    """The attempt from which on a stronger tier is taken."""
    pace_below: Share = 0.2
    """Share of a budget below which a cheaper tier is preferred."""
    seed: Whole | None = None
    """For the same choices in every run; derived from the run when empty."""
