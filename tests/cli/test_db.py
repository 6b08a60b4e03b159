"""`yoke db`, typed as a person would."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING

import pytest

from yokeflow.__main__ import main
from yokeflow.engine.lock import hold_project
from yokeflow.store.driver import connection

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in any repository: the store belongs to the user."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def configured(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("YOKE_DATABASE_URL", database_url)
    return database_url


def projects(url: str, statement: str = "") -> int:
    async def work() -> int:
        async with connection(url) as opened:
            if statement:
                await opened.execute(statement)
            return int(await opened.fetchval("SELECT count(*) FROM projects"))

    return asyncio.run(work())


def test_the_embedded_server_is_started_shown_and_stopped(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["db", "status", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["running"] is False
    assert main(["db", "start"]) == 0
    capsys.readouterr()
    assert main(["db", "status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["schema"]["up_to_date"]) == ("embedded", False)
    assert found["folder"] == str(home / "postgres")
    assert main(["db", "upgrade"]) == 0
    assert main(["db", "upgrade"]) == 0
    assert capsys.readouterr().out == "upgraded\nup to date already\n"
    assert main(["db", "stop", "--yes"]) == 0
    assert main(["db", "stop"]) == 0
    assert capsys.readouterr().out == "stopped\nit was not running\n"


def test_status_shows_the_revisions_for_people(configured: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "status"]) == 0
    shown = capsys.readouterr().out
    assert "core_0002, yoke_costs_0004" in shown
    assert shown.startswith("kind")
    assert "url" in shown


def test_a_backup_is_restored(configured: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add = "INSERT INTO projects (repo_key, name) VALUES ('{0}', '{0}')"
    assert projects(configured, add.format("a")) == 1
    assert main(["db", "backup", "copy"]) == 0
    assert str((tmp_path / "copy").stat().st_size)[:2] in capsys.readouterr().out
    assert projects(configured, add.format("b")) == 2
    assert main(["db", "backup", "copy"]) == 2
    assert main(["db", "restore", "copy", "--yes"]) == 0
    assert projects(configured) == 1


@pytest.mark.parametrize("arguments", [["restore", "copy"], ["downgrade", "base"]])
def test_what_loses_data_asks_first(
    configured: str, arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["db", "backup", "copy"]) == 0
    with open(os.devnull) as nobody:  # noqa: PTH123 - a device
        monkeypatch.setattr("sys.stdin", nobody)
        assert main(["db", *arguments]) == 2
    assert "--yes" in capsys.readouterr().err
    assert projects(configured) == 0


@pytest.mark.parametrize("arguments", [["restore", "copy"], ["downgrade", "base"]])
def test_nobody_takes_the_schema_from_under_a_run(
    configured: str, tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["db", "backup", "copy"]) == 0
    folder = tmp_path / "project/.git"
    projects(configured, f"INSERT INTO projects (repo_key, name) VALUES ('{folder}', 'project')")
    with hold_project(folder / "yoke/run.lock", "some-run"):
        assert main(["db", *arguments, "--yes"]) == 1
    assert "a run of the project in" in capsys.readouterr().err
    assert projects(configured) == 1


def test_a_downgrade_takes_everything_back(configured: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "downgrade", "base", "--yes"]) == 0
    capsys.readouterr()
    assert main(["db", "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == {"up_to_date": False, "revisions": []}
    assert main(["db", "downgrade", "nonsense", "--yes"]) == 1
    assert "nonsense" in capsys.readouterr().err


def test_a_configured_server_is_not_stopped(configured: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "stop", "--yes"]) == 2
    assert projects(configured) == 0


def test_a_server_that_is_not_there_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("YOKE_DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:9/none")
    assert main(["db", "status"]) == 1
    assert main(["db", "upgrade"]) == 1
    shown = capsys.readouterr()
    assert "cannot connect" in shown.out
    assert "error: cannot connect" in shown.err
    assert "hunter2" not in shown.out + shown.err
