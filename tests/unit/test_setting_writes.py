"""Which commands of git wrote a setting, and what a session's git tells of them."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from yokeflow.engine.lanes.setting_writes import Change, wrote, wrote_unnamed
from yokeflow.engine.lanes.traced import commands, size, tell

NEW = Change("user.name", (), ("X",))
GONE = Change("user.name", ("X",), ())
REMOTE = Change("remote.up.url", (), ("https://example.org/x",))
NO_REMOTE = Change("remote.up.fetch", ("+refs/heads/*:refs/remotes/up/*",), ())


@pytest.mark.parametrize(
    ("command", "change"),
    [
        ("config user.name X", NEW),
        ("config --local User.Name X", NEW),
        ("config --add user.name X", NEW),
        ("config set --append user.name X", NEW),
        ("config -f ../../.git/config user.name X", NEW),
        ("config --type bool core.z yes", Change("core.z", (), ("true",))),
        ("config --unset user.name", GONE),
        ("config unset --all user.name", GONE),
        ("config --remove-section user", GONE),
        ("config --rename-section who user", NEW),
        ("config -e", NEW),
        ("remote add -t main up https://example.org/x", REMOTE),
        ("remote set-url up https://example.org/x", REMOTE),
        ("remote rename down up", REMOTE),
        ("remote rm up", NO_REMOTE),
        ("remote rename up down", NO_REMOTE),
    ],
)
def test_what_writes_a_setting(command: str, change: Change) -> None:
    assert wrote(tuple(shlex.split(command)), change)


@pytest.mark.parametrize(
    ("command", "change"),
    [
        ("config user.name", NEW),
        ("config user.name Y", NEW),
        ("config user.name.first X", NEW),
        ("config --get user.name X", NEW),
        ("config --list", NEW),
        ("config get user.name", NEW),
        ("config --global user.name X", NEW),
        ("config --file .gitmodules user.name X", NEW),
        ("config --unset user.name", NEW),
        ("remote -v", REMOTE),
        ("remote show up", REMOTE),
        ("remote get-url up", REMOTE),
        ("remote update", REMOTE),
        ("remote add up https://example.org/other", REMOTE),
        ("remote add other https://example.org/x", REMOTE),
        ("remote rm up", REMOTE),
        ("fetch up", REMOTE),
        ("log --grep config user.name X", NEW),
    ],
)
def test_what_only_reads_a_setting_or_writes_another(command: str, change: Change) -> None:
    assert not wrote(tuple(shlex.split(command)), change)


def test_what_commands_write_without_naming_it() -> None:
    change = Change("submodule.lib.url", (), ("x",))
    assert wrote_unnamed(("submodule", "--quiet", "update", "--init"), change)
    assert not wrote_unnamed(("submodule", "status"), change)
    assert not wrote_unnamed(("lfs", "ls-files"), Change("lfs.x", (), ("x",)))


def test_a_log_tells_what_was_asked_and_how_it_ended(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    log = tmp_path / "log"
    environment = {**os.environ, **tell(log)}

    def git(*args: str) -> None:
        subprocess.run(["git", *args], cwd=tmp_path, env=environment, check=False, capture_output=True)

    git("-C", ".", "-c", "a.b=c", "config", "alias.name", "config user.name")
    over = size(log)
    git("config", "no.such")
    git("name", "X")
    log.write_bytes(log.read_bytes() + b'{"event":"start"}\n{"event":"exit","sid":1,"time":[]\n')
    assert commands(log)[0].words == ("config", "alias.name", "config user.name")
    # What an alias stands for is a command of its own.
    asked, _, named = commands(log, over)
    assert asked.words == ("config", "no.such")
    assert asked.failed
    assert named.words == ("config", "user.name", "X")
    assert not named.failed
    assert named.ended is not None
    assert named.started <= named.ended
