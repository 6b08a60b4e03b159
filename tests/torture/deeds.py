"""What happens around a run: a person at work, a server that dies, a full disk, a clock that jumps."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.torture.look import digest
from tests.torture.shell import attempt, git

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.torture.acts import Acts
    from tests.torture.scenario import Deed
    from tests.torture.starting import Started
    from tests.torture.world import World

#: What a person does in a lane's worktree, where nobody may be at work.
BETWEEN = frozenset(("rebase", "epic-commit", "branch"))


class Deeds:
    """Does what a scenario says, and notes for the checker what is to be excused by it."""

    def __init__(self, world: World, acts: Acts) -> None:
        self._world = world
        self._acts = acts
        self._shop = world.shop
        self._count = 0
        self._fill = self._shop.parent / "fill"
        self._undo: list[Callable[[], object]] = []
        self._plain: dict[str, Callable[[], object]] = {
            "commit": lambda: self._commit(self._shop, f"person/{self._count}.txt"),
            "amend": self._amend,
            "switch": self._switch,
            "edit": self._edit,
            "lock": self._lock,
            "branch": self._branch,
            "kill-agent": self._kill_agent,
            "disk": self._fill_the_disk,
        }

    def do(self, deed: Deed, run: Started | None) -> None:
        """One deed; `run` is the orchestrator, if it is alive."""
        self._count += 1
        self._world.note("deeds.log", deed.what, deed.value)
        if deed.what in {"rebase", "epic-commit"}:
            self._in_a_lane(deed.what)
        elif deed.what == "interrupt":
            if run is not None:
                run.send_signal(signal.SIGINT)
        elif deed.what == "answer":
            self._acts.answer(beside=run is not None)
        elif deed.what == "clock":
            (self._world.folder / "clock").write_bytes(struct.pack("q", int(deed.value)))
        elif deed.what.startswith("server"):
            self._server(deed)
        else:
            self._plain[deed.what]()

    def undo(self) -> None:
        """At the end of a run: what a person or a machine does not leave like that."""
        # On a full disk, git itself stops halfway.
        self._fill.unlink(missing_ok=True)
        while self._undo:
            self._undo.pop()()

    # A person

    def _commit(self, folder: Path, name: str) -> None:
        """Commit one file, past whatever else is staged, unless it would be for another branch."""
        if attempt(folder, "symbolic-ref", "HEAD").stdout.strip() == "refs/heads/other":
            return
        # What an agent has just put on the target cannot be taken back from below a person's commit.
        if "torture-" in attempt(self._shop, "log", "-1", "--format=%B", "refs/heads/main").stdout:
            return
        path = folder / name
        try:
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{name}\n")
        except OSError:
            # The disk is full, and what cannot be written is not committed.
            path.unlink(missing_ok=True)
            return
        tasks = self._world.scenario.work.tasks
        task = tasks[self._count % len(tasks)]
        # Where hooks tell which task it belongs to.
        about = ("-m", f"Yoke-Task: {task}") if self._world.scenario.extras.hooks else ()
        for _ in range(50):
            attempt(folder, "add", "--", name)
            done = attempt(folder, "commit", "-q", "-m", f"Person {name}", *about, "--", name)
            if not done.returncode:
                head = git(folder, "rev-parse", "HEAD")
                self._world.note("person.log", head)
                if about:
                    self._world.note("named.log", head, task)
                return
            if not re.search(r"\.lock|cannot lock ref", done.stderr):
                break
            time.sleep(0.02)
        # As a person would who is told that it does not work: nothing stays staged.
        attempt(folder, "rm", "-q", "--cached", "--force", "--ignore-unmatch", "--", name)
        path.unlink(missing_ok=True)

    def _amend(self) -> None:
        """Another message for one's own last commit, unless something else came on top of it."""
        tip = git(self._shop, "rev-parse", "refs/heads/main")
        mine = self._world.folder / "person.log"
        if not mine.exists() or tip not in mine.read_text().split():
            return
        parents = git(self._shop, "log", "-1", "--format=%P", tip).split()
        tree = git(self._shop, "rev-parse", f"{tip}^{{tree}}")
        flags = [word for parent in parents for word in ("-p", parent)]
        new = git(self._shop, "commit-tree", tree, *flags, "-m", f"Person, amended {self._count}")
        self._world.note("person.log", new)
        attempt(self._shop, "update-ref", "-m", "commit (amend)", "refs/heads/main", new, tip)

    def _switch(self) -> None:
        """Work on another branch for a while."""
        if not attempt(self._shop, "switch", "-q", "other").returncode:
            self._undo.append(self._switch_back)

    def _switch_back(self) -> None:
        for _ in range(50):
            done = attempt(self._shop, "switch", "-q", "main")
            if not done.returncode:
                return
            time.sleep(0.05)
        self._world.note("excused.log", f"switch main: {done.stderr}")

    def _edit(self) -> None:
        path = f"loose/later-{self._count}.txt"
        try:
            self._world.write(path, "mine\n")
        except OSError:
            (self._shop / path).unlink(missing_ok=True)
            return
        self._world.note("mine.log", path, digest(self._shop / path))

    def _lock(self) -> None:
        """Be in the middle of something for a moment."""
        lock = self._shop / ".git/index.lock"
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
        except OSError:
            return
        time.sleep(0.15)
        lock.unlink(missing_ok=True)

    def _branch(self) -> None:
        """Give up a branch of one's own, and a tag."""
        attempt(self._shop, "branch", "-q", f"person-{self._count}")
        attempt(self._shop, "branch", "-q", "-D", f"person-{self._count}")

    def _in_a_lane(self, what: str) -> None:
        """Rebase an epic's branch in its worktree, or add a commit to it, while no run is going on."""
        for epic in self._world.scenario.work.epics:
            lane = self._shop / ".worktrees" / epic["id"]
            if not (lane / ".git").is_file() or attempt(lane, "status", "--porcelain").stdout:
                continue
            if git(lane, "rev-parse", "--abbrev-ref", "HEAD", ok=(0, 128)) != f"epic/{epic['id']}":
                continue
            if what == "epic-commit":
                self._commit(lane, f"by-person-{self._count}.txt")
            elif attempt(lane, "rebase", "-q", "main").returncode:
                attempt(lane, "rebase", "--abort")
            else:
                self._world.note("rebased.log", epic["id"])
            return

    # Processes and machines

    def _kill_agent(self) -> None:
        """Kill some process of some session, as the kernel does when memory is short."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                env = process.environ()
                if "YOKE_SESSION" in env and env.get("HOME") == str(self._world.folder / "home"):
                    process.kill()
                    return

    def _server(self, deed: Deed) -> None:
        postmaster = self._postmaster()
        if postmaster is None:
            return
        if deed.what == "server-stop":
            everyone = [postmaster, *postmaster.children(recursive=True)]
            for process in everyone:
                with contextlib.suppress(psutil.Error):
                    process.suspend()
            time.sleep(deed.value)
            for process in everyone:
                with contextlib.suppress(psutil.Error):
                    process.resume()
        else:
            postmaster.send_signal(signal.SIGKILL if deed.what == "server-kill" else signal.SIGINT)

    def _postmaster(self) -> psutil.Process | None:
        for file in self._world.store.home.rglob("postmaster.pid"):
            with contextlib.suppress(OSError, ValueError, psutil.Error):
                process = psutil.Process(int(file.read_text().split()[0]))
                if str(file.parent) in process.cmdline():
                    return process
        return None

    def _fill_the_disk(self) -> None:
        with contextlib.suppress(OSError), self._fill.open("wb", buffering=0) as file:
            while file.write(bytes(1 << 16)):
                pass
