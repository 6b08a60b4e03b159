"""How a prompt tells an agent who it is."""

from __future__ import annotations

from yokeflow.engine.sessions.prompt import build_prompt
from yokeflow.model import Attempt, Epic, Profile, Task


def told(profile):
    attempt = Attempt(Task("a.1", "a", "Add sign-in", prompt="Add it."), 1, "s", "r", profile=profile)
    return build_prompt(attempt, Epic("a", "Epic A"), "epic/a", ["make test"], [])


def test_everything_that_a_profile_says_comes_before_the_task():
    text = told(
        Profile(
            "coder",
            instructions="You write small commits.\n",
            always=("run the linter",),
            never=("edit generated files", "add dependencies"),
            skills=("git", "sql"),
            may_change=("src/**", "tests/**"),
            must_not_change=("src/gen/**",),
        )
    )
    assert text.startswith(
        """\
# Your role: coder

You write small commits.

Always:

- run the linter

Never:

- edit generated files
- add dependencies

Your skills:

- git
- sql

Change nothing outside of:

- `src/**`
- `tests/**`

Do not change:

- `src/gen/**`

An attempt that changes other files does not count.

# Add sign-in

Add it.
"""
    )
    assert text.endswith(told(None))


def test_a_profile_with_nothing_to_say_takes_one_line():
    assert told(Profile("plain")) == f"# Your role: plain\n\n{told(None)}"


def test_without_a_profile_nothing_is_said():
    assert "role" not in told(None)
