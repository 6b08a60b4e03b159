"""What all worktrees share stays as it was, whatever a session does to it."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.errors import ExitCode

DONE = "echo x > x"


@pytest.mark.parametrize(
    "change",
    [
        "git config core.bare true",
        "git config user.name Mallory && git config user.email m@example.org",
        "git config core.hooksPath /nowhere",
        "git remote add origin https://example.org/other.git",
        "git config --add remote.origin.url x && git config --unset remote.origin.url && git config a.b c",
        "printf '[core' >> ../../.git/config",
    ],
)
async def test_settings_of_the_repository_are_as_they_were(workshop: Workshop, change: str) -> None:
    config = workshop.root / ".git/config"
    config.write_text(config.read_text() + "# mine\n")
    before = config.read_bytes()
    workshop.plan(epic("one", task("one.a", f"{DONE}; {change}")))
    report = await workshop.run()
    assert config.read_bytes() == before
    assert report.exit_code is ExitCode.OK
    (warning,) = workshop.of("warning.raised")
    assert "settings of the repository" in warning["reason"]
    assert warning["task"] == "one.a"


async def test_what_a_person_sets_meanwhile_stays(workshop: Workshop) -> None:
    config = workshop.root / ".git/config"
    # No git of the session's: what a person's editor would do.
    by_hand = f"printf '[alias]\\n\\tst = status\\n' >> {config}"
    workshop.plan(epic("one", task("one.a", f"{DONE}; {by_hand}; git config user.name Mallory")))
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert workshop.git("config", "alias.st") == "status"
    assert workshop.git("config", "user.name") == "A Person"


@pytest.mark.parametrize(
    ("session", "key", "value"),
    [
        ("git remote -v", "remote.upstream.url", "https://example.org/mine.git"),
        ("git config user.name", "user.name", "Another"),
        ("git config --global user.name Another", "user.name", "Another"),
        ("git submodule status", "submodule.lib.url", "https://example.org/lib.git"),
        ("git lfs ls-files; git config --list", "lfs.url", "https://example.org/lfs"),
        ("git remote add upstream mine; git remote add upstream mine", "remote.upstream.url", "other"),
    ],
)
async def test_a_command_that_reads_takes_nothing_from_a_person(
    workshop: Workshop, session: str, key: str, value: str
) -> None:
    # A person's git tells nothing in the session's log.
    by_hand = f"env -u GIT_TRACE2_EVENT git -C {workshop.root} config {key} {value}"
    workshop.plan(epic("one", task("one.a", f"{DONE}; {session}; {by_hand}; true")))
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert workshop.git("config", key) == value


async def test_a_command_that_was_put_right_is_not_held_against_a_person(workshop: Workshop) -> None:
    both = "while [ ! -e ../../{} ]; do sleep 0.05; done"
    sets = f"{DONE}; git config a.b c; touch ../../set; {both.format('mine')}"
    waits = f"echo y > y; {both.format('set')}"
    by_hand = "cd ../.. && env -u GIT_TRACE2_EVENT git config a.b c; touch mine"
    seen = "while git config a.b; do sleep 0.05; done"
    workshop.plan(
        epic("one", task("one.a", sets)),
        epic("two", task("two.a", waits)),
        epic("three", task("three.a", f"echo z > z; {both.format('set')}; {seen}; {by_hand}")),
    )
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert workshop.git("config", "a.b") == "c"


async def test_a_branch_that_a_session_follows_is_no_trespass(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a", f"{DONE}; git branch --set-upstream-to=main")))
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert workshop.of("warning.raised") == []


async def test_what_a_session_stashes_is_kept_apart(workshop: Workshop) -> None:
    workshop.write("README.md", "mine\n")
    workshop.git("stash", "push", "-q", "-m", "precious")
    mine = workshop.git("stash", "list")
    workshop.plan(epic("one", task("one.a", f"echo wip > README.md; git stash -q; {DONE}")))
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert workshop.git("stash", "list") == mine
    (kept,) = workshop.git("for-each-ref", "--format=%(refname)", "refs/yoke/keep/stash").split()
    assert workshop.git("show", f"{kept}:README.md") == "wip"
    assert kept in workshop.of("warning.raised")[0]["reason"]


async def test_hooks_that_change_meanwhile_are_told_of(workshop: Workshop) -> None:
    hooks = workshop.root / ".git/hooks"
    write = (
        f"mkdir -p {hooks}; printf '#!/bin/sh\\nexit 0\\n' > {hooks}/pre-commit; chmod +x {hooks}/pre-commit"
    )
    workshop.plan(epic("one", task("one.a", f"{DONE}; {write}"), task("one.b")))
    assert (await workshop.run()).exit_code is ExitCode.OK
    (warning,) = workshop.of("warning.raised")
    assert "git hooks changed while a session was at work: pre-commit" in warning["reason"]
    assert warning["task"] == "one.a"


async def test_what_a_session_takes_off_the_stash_comes_back(workshop: Workshop) -> None:
    for name in ("first", "second"):
        workshop.write("README.md", f"{name}\n")
        workshop.git("stash", "push", "-q", "-m", name)
    mine = workshop.git("stash", "list")
    workshop.plan(epic("one", task("one.a", f"git stash clear; {DONE}")))
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert workshop.git("stash", "list") == mine
    assert workshop.git("show", "stash@{1}:README.md") == "first"
