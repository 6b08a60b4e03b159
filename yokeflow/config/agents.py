"""Who does the work: `agents`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from yokeflow.config.values import NUMBER, Bytes, Glob, Name, Seconds, Section, Slug, Tier


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
    max_sessions: Annotated[int, Field(ge=1), NUMBER] | None = None
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
    model: Name | None = None
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
    max_attempts: Annotated[int, Field(ge=1, le=10), NUMBER] = 3
    """Attempts at a task before a person is asked."""
    timeout: Seconds = 1800.0
    """How long an attempt may take."""
    silence: Seconds = 600.0
    """How long an agent may print nothing."""
    grace: Seconds = 10.0
    """How long a session has to stop cleanly before it is killed."""
    transcript_limit: Bytes = 20_000_000
    """Output kept of one session."""
    questions: bool = True
    """Let an agent ask a person, where it cannot decide safely, instead of finishing its attempt."""
    pass_env: tuple[str, ...] = ()
    """Names of variables let through from your environment to every agent and check."""
    options: dict[Name, AgentOptions] = Field(default_factory=dict)
    """Settings by the agent's name; a new name makes a new agent of a known kind."""
    profiles: dict[Slug, ProfileOptions] = Field(default_factory=dict)
    """Roles by name, chosen by a task's `profile`, `needs`, category or files."""
