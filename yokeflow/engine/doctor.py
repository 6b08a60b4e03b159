"""What a run needs, checked piece by piece. Works also where everything is broken."""

from __future__ import annotations

import asyncio
import platform
import re
import shutil
import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from yokeflow.config import Config
from yokeflow.engine.decisions.decide import Decisions
from yokeflow.engine.doubts import doubts, resolver
from yokeflow.engine.known_agents import agent_names, check_settings
from yokeflow.engine.project import Project
from yokeflow.errors import StoreError, YokeError
from yokeflow.git.repo import Repo
from yokeflow.git.runner import run_git
from yokeflow.home import data_folder
from yokeflow.places import find_root
from yokeflow.plan.load import load_plan
from yokeflow.plugin_manager import PluginManager, load_plugins
from yokeflow.settings import Settings, disabled_plugins, load_config
from yokeflow.store import migrate
from yokeflow.store.revisions import check_revisions
from yokeflow.store.server import ensure_server, server_status
from yokeflow.validation import nearest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sized
    from pathlib import Path

    from yokeflow.model import Plan, Task

Value = TypeVar("Value")

_GIT = (2, 38)
_PYTHON = (3, 11)
_FULL, _TIGHT = 200_000_000, 2_000_000_000


class Health(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    check: str
    health: Health
    message: str
    #: What to do about it; empty when nothing.
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is there to be checked; an error stands for what cannot be had."""

    start: Path
    repo: Repo | YokeError
    settings: Settings | YokeError
    plugins: PluginManager | YokeError
    #: None when there is no plan file, or nowhere to look for it.
    plan: Plan | YokeError | None

    @property
    def config(self) -> Config:
        """The settings; the defaults where they are broken."""
        return self.settings.config if isinstance(self.settings, Settings) else Config()


async def diagnose(start: Path) -> list[Finding]:
    """Every finding about the project around `start`, in the order of `CHECKS`."""
    around = await _survey(start)
    found = await asyncio.gather(*(check(around) for check in CHECKS))
    return [finding for finding in found if finding is not None]


async def _survey(start: Path) -> Surroundings:
    repo = await _or_error(Repo.discover(start))
    root = repo.root if isinstance(repo, Repo) else find_root(start) or start
    plugins = _loaded_plugins(root)
    settings = await _or_error(asyncio.to_thread(_settings, root, plugins))
    config = settings.config if isinstance(settings, Settings) else Config()
    plan = await _or_error(asyncio.to_thread(_plan, root / config.plan, config.project.branch_prefix))
    return Surroundings(start, repo, settings, plugins, plan)


def _loaded_plugins(root: Path) -> PluginManager | YokeError:
    """On this thread: one that hangs can be interrupted here alone."""
    try:
        return load_plugins(disabled_plugins(root))
    except YokeError as error:
        return error


def _settings(root: Path, plugins: PluginManager | YokeError) -> Settings:
    """Where the plugins cannot be loaded, their sections are passed over."""
    if isinstance(plugins, YokeError):
        return load_config(root, strict=False)
    return load_config(root, sections=plugins.sections)


async def _or_error(work: Awaitable[Value]) -> Value | YokeError:
    try:
        return await work
    except YokeError as error:
        return error


def _plan(path: Path, prefix: str) -> Plan | None:
    return load_plan(path, branch_prefix=prefix) if path.exists() else None


def _count(things: Sized, noun: str) -> str:
    return f"{len(things)} {noun}" if len(things) == 1 else f"{len(things)} {noun}s"


def _ok(check: str, message: str) -> Finding:
    return Finding(check, Health.OK, message)


def _fail(check: str, error: YokeError) -> Finding:
    return Finding(check, Health.FAIL, error.message, error.hint)


async def _python(_: Surroundings) -> Finding:
    version = platform.python_version()
    if sys.version_info >= _PYTHON:
        return _ok("python", version)
    return Finding("python", Health.FAIL, f"{version} is too old", "install Python 3.11 or newer")


async def _git(around: Surroundings) -> Finding:
    try:
        text = (await run_git("version", cwd=around.start)).text
    except YokeError as error:
        return _fail("git", error)
    found = re.search(r"(\d+)\.(\d+)", text)
    if found and (int(found[1]), int(found[2])) >= _GIT:
        return _ok("git", text.removeprefix("git version "))
    return Finding(
        "git",
        Health.FAIL,
        f"{text} is too old",
        "install git 2.38 or newer: https://git-scm.com/downloads",
    )


async def _repository(around: Surroundings) -> Finding:
    repo = around.repo
    if isinstance(repo, YokeError):
        return _fail("repository", repo)
    try:
        target = await repo.target_branch(around.config.project.target)
        changes = [] if repo.bare else (await repo.git("status", "--porcelain", "-z")).parts
    except YokeError as error:
        return _fail("repository", error)
    if changes:
        return Finding(
            "repository",
            Health.WARN,
            f"{repo.root}, onto {target}; {_count(changes, 'path')} not committed",
            "commit or stash what you changed: an epic that changes the same files cannot land",
        )
    return _ok("repository", f"{repo.root}, onto {target}")


async def _configuration(around: Surroundings) -> Finding:
    settings = around.settings
    if isinstance(settings, YokeError):
        return _fail("config", settings)
    if not isinstance(around.plugins, YokeError):
        try:
            check_settings(settings, around.plugins.agents())
        except YokeError as error:
            return _fail("config", error)
    if found := doubts(settings):
        return Finding(
            "config",
            Health.WARN,
            "; ".join(map(str, found)),
            "`yoke config show` tells where settings come from",
        )
    files = ", ".join(str(path) for path in settings.files)
    return _ok("config", files or "no file: every setting has its default")


async def _plugins(around: Surroundings) -> Finding:
    if isinstance(around.plugins, YokeError):
        return _fail("plugins", around.plugins)
    try:
        await asyncio.to_thread(check_revisions, around.plugins.migrations)
    except StoreError as error:
        return _fail("plugins", error)
    return _ok("plugins", ", ".join(name for name, plugin in around.plugins.list_name_plugin() if plugin))


async def _plan_file(around: Surroundings) -> Finding:
    plan = around.plan
    if isinstance(plan, YokeError):
        return _fail("plan", plan)
    if plan is None:
        return Finding("plan", Health.WARN, f"there is no {around.config.plan}", "write one: yoke init")
    return _ok("plan", f"{plan.path.name}: {_count(plan.epics, 'epic')}, {_count(plan.tasks, 'task')}")


async def _agents(around: Surroundings) -> Finding | None:
    """The agents that the plan asks for, without a plan the default one; and the one for conflicts."""
    if isinstance(around.plugins, YokeError):
        return None
    config, kinds = around.config, around.plugins.agents()
    tasks = [] if around.plan is None or isinstance(around.plan, YokeError) else around.plan.tasks.values()
    decide = Decisions(around.plugins, config)
    needed = sorted(
        {name for task in tasks for name in _agents_of(task, decide, config)} or {config.agents.default}
    )
    if (other := resolver(config)) and other not in needed:
        needed.append(other)
    remedies = []
    for name in needed:
        options = config.agent_options(name)
        kind = kinds.get(options.kind or name)
        if kind is None:
            known = agent_names(config, kinds)
            near = nearest(name, known)
            meant = f"did you mean {near}? " if near else ""
            remedies.append(f"{name} is no agent; {meant}known: {', '.join(sorted(known))}")
        elif remedy := await asyncio.to_thread(kind.missing, options):
            remedies.append(f"{name}: {remedy}")
    if remedies:
        return Finding("agents", Health.FAIL, f"needed: {', '.join(needed)}", "; ".join(remedies))
    return _ok("agents", ", ".join(needed))


def _agents_of(task: Task, decide: Decisions, config: Config) -> set[str]:
    """Who does a task, and who takes over, as far as the settings tell."""
    found = set()
    for number in range(1, config.agents.max_attempts + 1):
        try:
            profile = decide.profile(task, number)
        except YokeError:
            # It may be one of the store; `yoke plan validate` asks there.
            profile = None
        found.add(config.agent_of(task.agent or (profile.agent if profile else "")))
    return found


async def _database(around: Surroundings) -> Finding:
    status = await asyncio.to_thread(server_status, around.config.database)
    if not status.running and status.kind == "embedded" and status.pid is None:
        return _ok("database", f"embedded in {status.folder}; starts by itself when it is needed")
    if not status.running:
        return Finding("database", Health.FAIL, f"{status.address}: {status.reason}", "yoke db status")
    try:
        url = await asyncio.to_thread(ensure_server, around.config.database)
        folders = {} if isinstance(around.plugins, YokeError) else around.plugins.migrations
        pending = await migrate.pending(url, folders)
        if pending:
            await migrate.rehearse(url, folders)
    except StoreError as error:
        return _fail("database", error)
    message = f"{status.kind}, PostgreSQL {status.version}, {status.address}"
    if pending:
        return Finding(
            "database",
            Health.WARN,
            f"{message}; migrations wait",
            "the next run applies them, or: yoke db upgrade",
        )
    return _ok("database", message)


async def _worktrees(around: Surroundings) -> Finding | None:
    if isinstance(around.repo, YokeError) or isinstance(around.plugins, YokeError):
        return None
    if isinstance(around.settings, YokeError):
        return None
    project = Project(around.repo, around.settings, around.plugins)
    kept = await project.worktrees.list()
    broken = [tree.lane for tree in kept if tree.broken]
    if broken:
        return Finding("worktrees", Health.WARN, f"broken: {', '.join(broken)}", "yoke worktree repair")
    return _ok("worktrees", f"{len(kept)} in {project.worktrees.folder}" if kept else "none")


async def _disk(around: Surroundings) -> Finding:
    places = [around.repo.root if isinstance(around.repo, Repo) else around.start, data_folder()]
    free = {place: await asyncio.to_thread(_free, place) for place in places}
    place, least = min(free.items(), key=lambda item: item[1])
    message = f"{least / 1e9:.1f} GB free at {place}"
    if least < _FULL:
        return Finding("disk", Health.FAIL, message, "free some space: worktrees and transcripts need it")
    if least < _TIGHT:
        return Finding("disk", Health.WARN, message, "free some space before a large run")
    return _ok("disk", message)


def _free(place: Path) -> int:
    existing = next(folder for folder in (place, *place.parents) if folder.exists())
    return shutil.disk_usage(existing).free


#: In the order in which they are shown: what others rest on comes first.
CHECKS: tuple[Callable[[Surroundings], Awaitable[Finding | None]], ...] = (
    _python,
    _git,
    _repository,
    _configuration,
    _plugins,
    _plan_file,
    _agents,
    _database,
    _worktrees,
    _disk,
)
