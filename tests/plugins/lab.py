"""A project with a real repository, store and journal, in which sessions happen; plugins are lent a host."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from yokeflow.engine.decisions.hosting import Lender, Lent
from yokeflow.engine.recorder import Recorder
from yokeflow.git.repo import Repo
from yokeflow.model import AgentReport, Attempt, Epic, Failure, Plan, SessionResult, Task
from yokeflow.store import items, projects
from yokeflow.store.drain import drain
from yokeflow.store.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from yokeflow.store.connection import Store


@dataclass
class Lab:
    """One run of a project whose tasks a test makes up."""

    store: Store
    project: UUID
    repo: Repo
    folder: Path
    tasks: dict[str, Task] = field(default_factory=dict)
    run: str = field(default_factory=lambda: str(uuid4()))

    def __post_init__(self) -> None:
        self.journal = Journal(self.folder / "journal.jsonl")
        self.recorder = Recorder(self.run, self.journal)
        self.lender = Lender(self.store, self.project, self.repo, "main", self.recorder)
        self.recorder.emit("run.started", target="main")

    async def plan(self, *tasks: Task) -> None:
        """Put tasks, each of an epic, into the store."""
        self.tasks = {task.id: task for task in tasks}
        names = dict.fromkeys(task.epic for task in tasks)
        epics = (Epic(name, name, tasks=tuple(task for task in tasks if task.epic == name)) for name in names)
        async with self.store.begin() as conn:
            await items.sync_plan(conn, self.project, Plan(tuple(epics), Path("plan.yaml")))

    async def drain(self) -> None:
        """Bring what was recorded into the store."""
        await drain(self.store, self.project, self.journal)

    def attempt(self, task: str, number: int = 1, failures: Sequence[Failure] = ()) -> Attempt:
        """A try that has not started."""
        return Attempt(self.tasks[task], number, str(uuid4()), self.run, tuple(failures), "shell")

    def host(self, attempt: Attempt | None = None) -> Lent:
        """What a plugin is lent."""
        return Lent(self.lender, attempt)

    def start(self, attempt: Attempt, base: str = "") -> None:
        """Record the beginning of a session."""
        folder = self.folder / attempt.session
        self._emit(attempt, "session.started", attempt=attempt.number, base_commit=base, folder=str(folder))

    def finish(self, attempt: Attempt, state: str = "completed", **data: Any) -> SessionResult:
        """Record its end; what a plugin is told about it."""
        told = {"reason": "", "output": "", "cost_usd": None, "base_commit": "", "head_commit": "", **data}
        head = told["head_commit"] or None
        self._emit(
            attempt,
            "session.finished",
            state=state,
            reason=told["reason"],
            output=told["output"],
            seconds=1.0,
            exit_code=0,
            usage=[],
            cost_usd=told["cost_usd"],
            head_commit=head,
        )
        if state == "completed":
            self._emit(attempt, "task.completed", commit=head, seconds=1.0)
        report = AgentReport(ok=state == "completed", cost_usd=told["cost_usd"])
        return SessionResult(attempt, "shell", "", state, seconds=1.0, report=report, **told)

    def land(self, epic: str) -> None:
        """Record that an epic landed with all its tasks."""
        tasks = [task.id for task in self.tasks.values() if task.epic == epic]
        for type_ in ("landing.queued", "landing.landed"):
            self.recorder.emit(type_, epic=epic, tasks=tasks, target="main", strategy="merge")

    async def commit(self, base: str, files: Mapping[str, str]) -> str:
        """A commit on top of another with files written; no branch moves."""
        index = {"GIT_INDEX_FILE": str(self.folder / f"index-{uuid4()}")}
        await self.repo.git("read-tree", base, env=index)
        for path, content in files.items():
            blob = await self.repo.git("hash-object", "-w", "--stdin", stdin=content.encode())
            entry = f"100644,{blob.text.strip()},{path}"
            await self.repo.git("update-index", "--add", "--cacheinfo", entry, env=index)
        tree = (await self.repo.git("write-tree", env=index)).text.strip()
        return (await self.repo.git("commit-tree", tree, "-p", base, "-m", "work")).text.strip()

    async def head(self) -> str:
        """The commit on main."""
        found = await self.repo.resolve("main")
        assert found
        return found

    def transcript(self, attempt: Attempt, *succeeded: str) -> Path:
        """Where the session's output is, which tells of commands that exited 0."""
        items = ({"type": "command_execution", "command": each, "exit_code": 0} for each in succeeded)
        text = "".join(json.dumps({"type": "item.completed", "item": item}) + "\n" for item in items)
        path = self.folder / attempt.session / "output.log"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def _emit(self, about: Attempt, type_: str, **data: Any) -> None:
        where = {"epic": about.task.epic, "task": about.task.id, "session": about.session}
        self.recorder.emit(type_, **where, **data)


async def open_lab(store: Store, tmp_path: Path) -> Lab:
    """A project with one commit and no tasks."""
    root = tmp_path / "repo"
    root.mkdir()
    folder = tmp_path / "state"
    folder.mkdir()
    await _git(root, "init", "-q")
    (root / "README").write_text("hello\n")
    await _git(root, "add", "-A")
    await _git(root, "commit", "-q", "-m", "start")
    repo = await Repo.discover(root)
    async with store.begin() as conn:
        project = await projects.register(conn, "key", "sample", root)
    return Lab(store, project, repo, folder)


async def _git(root: Path, *args: str) -> None:
    process = await asyncio.create_subprocess_exec("git", *args, cwd=root)
    assert await process.wait() == 0
