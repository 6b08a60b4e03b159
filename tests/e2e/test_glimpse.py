"""`yoke status` without judging settings again that were good: only as long as nothing has changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import epic, task
from yokeflow.engine.project import Project
from yokeflow.engine.reports.glance import Glance, glimpse
from yokeflow.store import items


@pytest.fixture
async def shop(workshop):
    """A project that the store knows, with settings that were judged once."""
    workshop.plan(epic("core", task("core.one"), task("core.two", depends_on=["core.one"])))
    await _bring_in(workshop.root)
    await Glance.open(workshop.root)
    return workshop


async def _bring_in(root: Path) -> None:
    project = await Project.open(root)
    async with project.store() as (store, project_id), store.begin() as connection:
        await items.sync_plan(connection, project_id, project.load_plan())


async def test_gives_the_same_state(shop):
    seen = await glimpse(shop.root)
    assert seen is not None
    assert [item["id"] for item in seen["items"]] == ["core", "core.one", "core.two"]
    assert seen == await (await Glance.open(shop.root)).state()


@pytest.mark.parametrize("command", ["status", "cost"])
async def test_judges_no_settings(shop, command):
    code = (
        "import sys; from yokeflow.__main__ import main; "
        f"main(['{command}']); print('pydantic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=shop.root, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False", done.stderr


async def test_sees_the_embedded_server_too(shop, monkeypatch):
    monkeypatch.delenv("YOKE_DATABASE_URL")
    assert await glimpse(shop.root) is None, "there is none yet, and it is not for this to start one"
    monkeypatch.setenv("YOKE_HOME", str(Path(os.environ["TEST_FOLDER_OF_YOKE"]) / "server"))
    assert await glimpse(shop.root) is None, "with another home there may be other settings"
    await _bring_in(shop.root)
    await Glance.open(shop.root)
    seen = await glimpse(shop.root)
    assert seen is not None
    assert len(seen["items"]) == 3


@pytest.mark.parametrize("place", [".yokeflow.yaml", "config.yaml of $YOKE_HOME", "YOKE_PARALLEL__STRATEGY"])
async def test_bad_settings_are_told_once_they_are_there(shop, place, monkeypatch, home):
    assert shop.yoke("status").returncode == 0
    if place.startswith("YOKE_"):
        monkeypatch.setenv(place, "sideways")
    else:
        file = shop.root / place if place.startswith(".") else home / "config.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text("parallel: {strategy: sideways}\n")
    said = shop.yoke("status")
    assert said.returncode != 0
    assert "sideways" in said.stderr
    assert await glimpse(shop.root) is None


async def test_server_named_in_a_file_is_looked_up(shop, database_url, monkeypatch):
    monkeypatch.delenv("YOKE_DATABASE_URL")
    shop.config(database={"url": database_url})
    await Glance.open(shop.root)
    assert await glimpse(shop.root) is None
    assert len(json.loads(shop.yoke("status", "--json").stdout)["items"]) == 3


async def test_server_that_is_gone_is_told_as_before(shop, monkeypatch):
    nowhere = "postgresql://nobody@127.0.0.1:9/nothing"
    monkeypatch.setenv("YOKE_DATABASE_URL", nowhere)
    said = shop.yoke("status")
    assert said.returncode != 0
    assert "cannot connect to" in said.stderr
