"""A real repository with a plan, and ways to run it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import yaml

from yokeflow.engine.project import Project
from yokeflow.engine.run import Run
from yokeflow.engine.selection import RunOptions
from yokeflow.store.status import status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from yokeflow.engine.report import RunReport
    from yokeflow.events import Event


@dataclass
class Workshop:
    """A repository under test."""

    root: Path
    events: list[Event] = field(default_factory=list)

    def git(self, *args: str, cwd: Path | None = None) -> str:
        """Run git as the user would; its output without the last newline."""
        done = subprocess.run(
            ["git", *args], cwd=cwd or self.root, check=True, capture_output=True, text=True
        )
        return done.stdout.rstrip("\n")

    def write(self, name: str, content: str) -> None:
        """Write a file, with its folders."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")

    def commit(self, message: str = "Change") -> str:
        """Commit everything that git does not ignore."""
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")

    def plan(self, *epics: dict[str, Any]) -> None:
        """Write the plan file; it is not committed."""
        self.write("plan.yaml", yaml.safe_dump({"epics": list(epics)}, sort_keys=False))

    def config(self, **sections: Any) -> None:
        """Write the config; agents default to `shell` and are impatient."""
        agents = {"default": "shell", "grace": "2s", **sections.pop("agents", {})}
        self.write(".yokeflow.yaml", yaml.safe_dump({"agents": agents, **sections}, sort_keys=False))

    async def project(self, overrides: Mapping[str, Any] | None = None) -> Project:
        return await Project.open(self.root, overrides)

    async def run(
        self, overrides: Mapping[str, Any] | None = None, *, plugins: Sequence[object] = (), **options: Any
    ) -> RunReport:
        """One `yoke run` in this process, with these plugins too; its events are in `events`."""
        project = await self.project(overrides)
        for plugin in plugins:
            project.plugins.register(plugin)
        self.events.clear()
        return await Run(project, project.load_plan(), RunOptions(**options), self.events.append).execute()

    async def status(self) -> dict[str, Any]:
        """What `yoke status --json` prints."""
        project = await self.project()
        async with project.store() as (store, project_id), store.begin() as connection:
            return await status(connection, project_id)

    async def states(self) -> dict[str, str]:
        """Status by item."""
        return {item["id"]: item["status"] for item in (await self.status())["items"]}

    def yoke(self, *args: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the command line to its end."""
        command = [sys.executable, "-m", "yokeflow", *args]
        return subprocess.run(
            command, cwd=self.root, capture_output=True, text=True, check=False, timeout=100, **options
        )

    def start(self, *args: str, stderr: int = subprocess.STDOUT) -> subprocess.Popen[str]:
        """Start the command line."""
        command = [sys.executable, "-m", "yokeflow", *args]
        return subprocess.Popen(
            command,
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=os.environ,
        )

    def processes(self) -> list[str]:
        """Command lines of what still works in the repository or belongs to one of its sessions."""
        journal = self.root / ".git/yoke/journal.jsonl"
        ours = set(re.findall(r'"session":"([0-9a-f-]+)"', journal.read_text() if journal.exists() else ""))
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                here = Path(process.cwd()).is_relative_to(self.root)
                if process.pid != os.getpid() and (here or process.environ().get("YOKE_SESSION") in ours):
                    found.append(" ".join(process.cmdline()))
        return found

    def types(self) -> list[str]:
        """Types of the events of the last run."""
        return [event.type for event in self.events]

    def of(self, type_: str) -> list[dict[str, Any]]:
        """Events of one type of the last run, as JSON objects."""
        return [json.loads(event.to_json()) for event in self.events if event.type == type_]

    def branches(self) -> list[str]:
        """Short names of all branches."""
        return self.git("for-each-ref", "--format=%(refname:short)", "refs/heads/").split()

    def assert_tidy(self) -> None:
        """Nothing of ours is left but the kept refs."""
        worktrees = self.git("worktree", "list", "--porcelain").count("worktree ")
        assert worktrees == 1, self.git("worktree", "list")
        assert not [b for b in self.branches() if b.startswith(("epic/", "lane/"))]
        folder = self.root / ".worktrees"
        assert not folder.exists() or not list(folder.iterdir())


@pytest.fixture
def workshop(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """A repository with one commit, a config for the shell agent, and a database of its own."""
    monkeypatch.setenv("YOKE_DATABASE_URL", database_url)
    root = tmp_path / "shop"
    root.mkdir()
    shop = Workshop(root)
    shop.git("init", "-q", "-b", "main")
    shop.git("config", "user.name", "A Person")
    shop.git("config", "user.email", "person@example.org")
    shop.write("README.md", "# Shop\n")
    shop.write(".gitignore", "plan.yaml\n.yokeflow.yaml\n")
    shop.commit("Start")
    shop.config()
    return shop


def task(id_: str, run: str = "", **more: Any) -> dict[str, Any]:
    """A task of a plan; without `run` it writes a file of its own name."""
    return {"id": id_, "title": f"Do {id_}", "run": run or f"echo {id_} > {id_}.txt", **more}


def epic(id_: str, *tasks: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An epic of a plan."""
    return {"id": id_, "title": f"Epic {id_}", "tasks": list(tasks), **more}


def wait_for(workshop: Workshop, text: str, *, then: str = "true") -> str:
    """Shell: wait until the journal says `text`."""
    journal = workshop.root / ".git/yoke/journal.jsonl"
    tries = "n=$((n+1)); [ $n -lt 300 ] || exit 7; sleep 0.1"
    loop = f"n=0; until grep -q '{text}' {journal}; do {tries}; done"
    return f"{loop}; {then}"
