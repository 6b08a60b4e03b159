"""Many rounds, one after the other, with one server for all; what a round needs is made once."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg

from tests.torture.rounds import Outcome, torture
from tests.torture.scenario import Phase, Scenario, scenario
from tests.torture.starting import HERE, SOURCE, Forge, start
from tests.torture.world import Store, World

if TYPE_CHECKING:
    from collections.abc import Iterator

_DISK = "16m"
#: One in so many rounds loses its store at the end.
_REBUILT = 4


class Batch:
    """A folder in which rounds take place. Rounds that break a promise keep their folder."""

    def __init__(self, folder: Path, url: str = "", template: str = "yokeflow") -> None:
        """`url` is a server with a migrated database `template`; the batch starts one of its own if empty."""
        self.folder = folder
        self.url = url
        self.template = template
        self.own = folder / "own"
        self.clock: Path | None = None
        self._forge = Forge()
        #: Faults that cannot be made on this machine -> why.
        self.skipped: dict[str, str] = {}

    @contextmanager
    def opened(self) -> Iterator[None]:
        """With its server running, which is stopped at the end."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o711)
        try:
            self.url = self.url or _server(self.folder / "server")
            self.clock = self._make_clock()
            yield
        finally:
            self._forge.close()
            for home in (self.folder / "server", self.own):
                if home.exists():
                    yoke(home, "db", "stop", "--yes")

    def round(self, seed: int) -> tuple[Scenario, Outcome]:
        """Do the round of a seed; its folder goes away if nothing is broken."""
        plan = self._possible(scenario(seed))
        folder = self.folder / f"round-{seed}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        with ExitStack() as stack:
            if plan.small_disk:
                stack.enter_context(small_disk(folder / "disk"))
            url = "" if plan.own_server else stack.enter_context(self._database())
            home = self.own if plan.own_server else folder / "yoke-home"
            # What is preloaded must be there from the start.
            clock, starter = (self.clock, start) if plan.clock else (None, self._forge.start)
            world = World(folder, plan, Store(url, home), starter=starter, clock=clock)
            spare = stack.enter_context(self._database()) if url and seed % _REBUILT == 0 else ""
            outcome = torture(world, url or self._own_address(), spare)
            if outcome.broken and plan.small_disk:
                shutil.copytree(folder / "disk", folder / "disk-kept", symlinks=True)
        if not outcome.broken:
            shutil.rmtree(folder)
        return plan, outcome

    def _possible(self, plan: Scenario) -> Scenario:
        """Without the faults that this machine cannot have."""
        if plan.clock and self.clock is None:
            self.skipped["clock"] = "there is no C compiler to build the clock with"
            plan = replace(plan, clock=False, phases=_without(plan, "clock"))
        if plan.small_disk and not can_mount(self.folder):
            self.skipped["disk"] = "only root can mount a small disk"
            plan = replace(plan, small_disk=False, phases=_without(plan, "disk"))
        return plan

    def _own_address(self) -> str:
        """That of the server which rounds may kill."""
        return _server(self.own)

    @contextmanager
    def _database(self) -> Iterator[str]:
        """A database of the round's own, with all migrations applied."""
        name = f"torture_{uuid4().hex}"
        asyncio.run(_execute(self.url, f'CREATE DATABASE "{name}" TEMPLATE {self.template}'))
        try:
            yield self.url.replace("/yokeflow?", f"/{name}?")
        finally:
            asyncio.run(_execute(self.url, f'DROP DATABASE "{name}" WITH (FORCE)'))

    def _make_clock(self) -> Path | None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None or not sys.platform.startswith("linux"):
            return None
        library = self.folder / "clock.so"
        command = (compiler, "-shared", "-fPIC", "-O1", "-o", library, HERE / "clock.c", "-ldl")
        done = subprocess.run(command, check=False, capture_output=True)
        return None if done.returncode else library


def _server(home: Path) -> str:
    """The address of an embedded server with its schema up to date."""
    yoke(home, "db", "upgrade")
    address: str = json.loads(yoke(home, "db", "status", "--json"))["address"]
    return address


def yoke(home: Path, *args: str) -> str:
    """Run a command that needs no repository; what it prints."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("YOKE_", "GIT_"))}
    env |= {"YOKE_HOME": str(home), "PYTHONPATH": f"{SOURCE}:{SOURCE / 'plugins'}", "YOKE_PLUGINS": ""}
    done = subprocess.run(
        (sys.executable, "-m", "yokeflow", *args),
        cwd="/",
        env=env,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of its own at `folder`, while the block runs."""
    folder.mkdir()
    subprocess.run(("mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", folder), check=True)
    try:
        yield
    finally:
        for _ in range(20):
            if not subprocess.run(("umount", folder), check=False, capture_output=True).returncode:
                break
            time.sleep(0.05)


def can_mount(folder: Path) -> bool:
    """Whether this user may mount anything here."""
    place = folder / "mount-test"
    place.mkdir(exist_ok=True)
    command = ("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place)
    possible = not subprocess.run(command, check=False, capture_output=True).returncode
    if possible:
        subprocess.run(("umount", place), check=True)
    place.rmdir()
    return possible


def _without(plan: Scenario, what: str) -> tuple[Phase, ...]:
    return tuple(
        replace(phase, deeds=tuple(deed for deed in phase.deeds if deed.what != what))
        for phase in plan.phases
    )


async def _execute(url: str, statement: str) -> None:
    address = url.replace("+asyncpg", "").replace("/yokeflow?", "/postgres?")
    connection = await asyncpg.connect(address, timeout=30)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
