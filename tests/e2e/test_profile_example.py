"""The example of the page about profiles, run as it says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Workshop

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "profiles"
PAGE = (ROOT / "docs" / "how-to-profiles.md").read_text(encoding="utf-8")


@pytest.fixture
def shop(workshop: Workshop) -> Workshop:
    """A repository with the example's two files."""
    shutil.copytree(EXAMPLE, workshop.root, dirs_exist_ok=True)
    return workshop


@pytest.mark.parametrize("name", [".yokeflow.yaml", "plan.yaml"])
def test_the_page_shows_the_files_as_they_are(name: str) -> None:
    assert (EXAMPLE / name).read_text(encoding="utf-8") in PAGE


async def test_the_page_shows_what_plan_show_prints(shop: Workshop) -> None:
    shown = shop.yoke("plan", "show").stdout.partition("\n\n")[0]
    assert shown in PAGE
    reasons = {
        each["id"]: each["profile_reason"]
        for each in json.loads(shop.yoke("plan", "show", "--json").stdout)["tasks"]
    }
    assert reasons == {
        "sign-in.table": "can do what the task needs: migrations",
        "sign-in.form": "takes the category code",
        "sign-in.guide": "takes files in docs/**",
        "sign-in.audit": "named by the task",
    }


async def test_it_runs_without_a_model(shop: Workshop) -> None:
    done = shop.yoke("run", "--agent", "shell", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    started = {event["task"]: event for event in events if event.get("type") == "session.started"}
    assert {name: (each["profile"], each["agent"]) for name, each in started.items()} == {
        "sign-in.table": ("dba", "shell"),
        "sign-in.form": ("coder", "shell"),
        "sign-in.guide": ("writer", "shell"),
        "sign-in.audit": ("senior", "shell"),
    }
    assert shop.git("show", "main:docs/sign-in.md").startswith("Type your name")
