"""What a plugin may do for a look at the plan."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from yokeflow.hookspecs import hookimpl
from yokeflow.testing import check_begin_preview

#: Loads from the store which task goes first, as a plugin of somebody else would.
LOADS = """
from sqlalchemy import text

from yokeflow.hookspecs import hookimpl
from yokeflow.model import Profile

seen = []


@hookimpl
async def begin_preview(plan, host):
    async with host.begin() as conn:
        name = await conn.scalar(text("SELECT name FROM projects WHERE id = :id"), {"id": host.project_id})
    seen.append((name, host.run, len(plan.tasks)))


@hookimpl
def select_profile(task):
    return Profile("-".join(map(str, seen[-1]))) if seen else None
"""


def test_a_preview_that_records_something_breaks_its_promise(database_url):
    def loud(host):
        host.emit("deploy.planned")

    async def quiet(host):
        async with host.begin() as conn:
            await conn.execute(text("SELECT 1"))

    check_begin_preview(SimpleNamespace(begin_preview=hookimpl(quiet)), database_url=database_url)
    check_begin_preview(SimpleNamespace(begin_preview=hookimpl(quiet)))
    with pytest.raises(AssertionError, match=r"begin_preview records deploy\.planned"):
        check_begin_preview(SimpleNamespace(begin_preview=hookimpl(loud)))


@pytest.mark.parametrize("command", [["plan", "show"], ["run", "--dry-run"]])
def test_a_plugin_decides_by_what_it_loaded(workshop, monkeypatch, tmp_path: Path, command):
    (tmp_path / "loads.py").write_text(LOADS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("YOKE_PLUGINS", "loads")
    workshop.plan({"id": "a", "tasks": [{"id": "a.1", "title": "T", "run": "true"}]})
    workshop.yoke("status")
    (task,) = json.loads(workshop.yoke(*command, "--json").stdout)["tasks"]
    assert task["profile"] == "shop--1"
