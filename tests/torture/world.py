"""The folder of a round: the user's repository, the agents' instructions, and ways to run `yoke`."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import yaml

from tests.torture.kills import NO_KILL
from tests.torture.shell import GIT, git
from tests.torture.starting import HERE, PATH, Command, Started, start

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.torture.kills import Kill
    from tests.torture.scenario import Scenario

#: Variables that are let through to the runs; everything else of ours stays out.
_KEPT = ("LANG", "LC_ALL", "VIRTUAL_ENV", "COVERAGE_PROCESS_START")


@dataclass(frozen=True)
class Store:
    """Where a round's runs find their store: a database, or the home of an embedded server."""

    url: str
    home: Path


class World:
    """A round's folder. All names in it are fixed, so that the checker and the agents find things."""

    def __init__(
        self,
        folder: Path,
        scenario: Scenario,
        store: Store,
        *,
        starter: Callable[[Command], Started] = start,
        clock: Path | None = None,
    ) -> None:
        self.folder = folder
        self.scenario = scenario
        self.store = store
        self.shop = folder / "disk" / "shop" if scenario.small_disk else folder / "shop"
        self.journal = self.shop / ".git/yoke/journal.jsonl"
        self._starter = starter
        self._clock = clock
        self._runs = 0

    # The user's repository

    def build(self) -> None:
        """Make everything that is there before the first run."""
        for name in ("home", "tmp", "bin", "locks", "starts", "behaviour", "doing", "cost", "log", "flaky"):
            (self.folder / name).mkdir()
        wrapper = (HERE / "git.sh").read_text().replace("@GIT@", GIT).replace("@ROUND@", str(self.folder))
        (self.folder / "bin/git").write_text(wrapper)
        (self.folder / "bin/git").chmod(0o755)
        (self.folder / "clock").write_bytes(bytes(8))
        (self.folder / "home/.gitconfig").write_text(
            "[user]\n\tname = Agent\n\temail = agent@example.org\n[init]\n\tdefaultBranch = main\n"
        )
        self._instruct()
        self._start_repository()
        self._lay_around()

    def _instruct(self) -> None:
        work = self.scenario.work
        self.note("resolving", *self.scenario.extras.resolving, between="\n")
        for task, command in work.commands.items():
            (self.folder / "doing" / task).write_text(command)
            (self.folder / "behaviour" / task).write_text("".join(f"{how}\n" for how in work.behaviour[task]))
            if task in work.costs:
                (self.folder / "cost" / task).write_text(f"{work.costs[task]}\n")

    def _start_repository(self) -> None:
        self.shop.mkdir(parents=True)
        git(self.shop, "init", "-q", "-b", "main")
        git(self.shop, "config", "user.name", "A Person")
        git(self.shop, "config", "user.email", "person@example.org")
        self.write(".gitignore", "plan.yaml\n.yokeflow.yaml\nbuild/\n.env\n")
        for name in ("README.md", "src/mine.txt", "src/staged.txt", "src/removed.txt", "src/other.txt"):
            self.write(name, f"{name}\n" * 3)
        git(self.shop, "add", "-A")
        git(self.shop, "commit", "-q", "-m", f"Start of round {self.scenario.seed}")
        self.write("plan.yaml", yaml.safe_dump({"epics": self.scenario.work.epics}, sort_keys=False))
        self.write(".yokeflow.yaml", yaml.safe_dump(self.config(), sort_keys=False))

    def config(self) -> dict[str, object]:
        """The settings of the scenario, with its checks and its agent."""
        config = dict(self.scenario.config)
        check = str(HERE / "check.sh")
        names: dict[str, list[str] | None] = config["checks"]
        checks: dict[str, object] = {
            stage: None if found is None else [f"{check} {name}" for name in found]
            for stage, found in names.items()
        }
        if retries := self.scenario.extras.retries:
            checks["retries"] = retries
        config["checks"] = checks
        config["agents"] = {
            "default": "claude",
            "grace": "300ms",
            "max_attempts": 4,
            "options": {"claude": {"program": str(HERE / "agent.sh")}},
        }
        # How busy the machine is says nothing about a plugin.
        config["plugins"] = {"timeouts": {"begin_run": "1m"}}
        return config

    def _lay_around(self) -> None:
        """What a person has in a repository beside commits."""
        shop, has = self.shop, self.scenario.belongings
        if "branch" in has:
            tree = git(shop, "rev-parse", "HEAD^{tree}")
            git(shop, "branch", "other", git(shop, "commit-tree", tree, "-p", "HEAD", "-m", "Other"))
            git(shop, "tag", "v1")
        if "stash" in has:
            self.write("src/other.txt", "stashed\n")
            git(shop, "stash", "push", "-q", "-m", "Later")
        if "hook" in has:
            self.write(".git/hooks/post-checkout", "#!/bin/sh\nexit 0\n")
            (shop / ".git/hooks/post-checkout").chmod(0o755)
        self._own_hooks()
        if "staged" in has:
            self.write("src/staged.txt", "staged\n")
            git(shop, "add", "src/staged.txt")
            self.write("src/staged.txt", "staged and changed again\n")
        if "added" in has:
            self.write("src/added.txt", "added\n")
            git(shop, "add", "src/added.txt")
        if "removed" in has:
            (shop / "src/removed.txt").unlink()
        for name, path in (("dirty", "src/mine.txt"), ("untracked", "loose/note.txt"), ("ignored", ".env")):
            if name in has:
                self.write(path, f"{name}, mine\n")

    def _own_hooks(self) -> None:
        """Hooks of the user's that note what they saw, beside which ours are to be installed."""
        where = self.scenario.extras.hooks
        if where not in {"own", "path"}:
            return
        folder = self.shop / (".git/hooks" if where == "own" else "build/hooks")
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("post-commit", "commit-msg"):
            hook = folder / name
            hook.write_text(f'#!/bin/sh\necho "{name} $(git rev-parse HEAD)" >>{self.folder}/hooks.log\n')
            hook.chmod(0o755)
        if where == "path":
            git(self.shop, "config", "core.hooksPath", str(folder))

    def git(self, *args: str) -> str:
        """What git says in the user's repository."""
        return git(self.shop, *args)

    def write(self, name: str, content: str) -> None:
        """Write a file of the repository, with its folders."""
        path = self.shop / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    # Runs

    def start(self, *args: str, kill: Kill = NO_KILL, beside: bool = False) -> Started:
        """Start `yoke`, also `beside` another; what it prints goes to a file of the folder `log`."""
        self._runs += 1
        log = self.folder / f"log/{self._runs:02}-{args[0]}.log"
        command = Command(args, self.shop, {**self.environment(), **self._deadly(kill)}, log)
        if beside:
            return self._starter(command)
        for name in ("calls", "orchestrator"):
            (self.folder / name).unlink(missing_ok=True)
        if (self.folder / "fired").exists():
            (self.folder / "fired").rmdir()
        run = self._starter(command)
        draft = self.folder / "orchestrator.new"
        draft.write_text(f"{run.pid}\n")
        draft.rename(self.folder / "orchestrator")
        return run

    def lose_the_store(self, url: str) -> None:
        """Go on with another database, without the journal and the cache of the first."""
        self.store = Store(url, self.store.home)
        for name in ("journal.jsonl", "status.json"):
            file = self.journal.with_name(name)
            if file.exists():
                # The repository may be on a small disk of its own.
                shutil.move(file, self.folder / name)

    def last_log(self) -> str:
        """What the last run printed."""
        (found,) = (self.folder / "log").glob(f"{self._runs:02}-*.log")
        return found.read_text(errors="replace")

    def environment(self) -> dict[str, str]:
        """That of a run: a home, a folder for temporary files and a store of the round's own."""
        env = {name: os.environ[name] for name in _KEPT if name in os.environ}
        env |= {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONPATH": PATH,
            "PYTHONFAULTHANDLER": "1",
            "YOKE_HOME": str(self.store.home),
            "YOKE_PLUGINS": "",
        }
        if self.store.url:
            env["YOKE_DATABASE_URL"] = self.store.url
        if self._clock is not None:
            env |= {"LD_PRELOAD": str(self._clock), "TORTURE_CLOCK": str(self.folder / "clock")}
        return env

    def _deadly(self, kill: Kill) -> dict[str, str]:
        if kill.how == "git":
            return {"TORTURE_GIT": f"{kill.at:g}:{kill.mode}"}
        return {"TORTURE_DIE": str(kill)} if kill.how in {"record", "change"} else {}

    def records(self) -> int:
        """Lines of the journal."""
        try:
            return self.journal.read_bytes().count(b"\n")
        except OSError:
            return 0

    # For the checker

    def note(self, name: str, *words: object, between: str = " ") -> None:
        """Add a line to a file of the folder."""
        with (self.folder / name).open("a") as file:
            file.write(between.join(map(str, words)) + "\n")

    def describe(self, **more: object) -> None:
        """Write down what the checker must know; it gets nothing else."""
        work, config = self.scenario.work, self.config()
        checks, extras = config["checks"], self.scenario.extras
        assert isinstance(checks, dict)
        facts = {
            "seed": self.scenario.seed,
            "shop": str(self.shop),
            "tasks": work.files,
            "epics": {epic["id"]: [task["id"] for task in epic["tasks"]] for epic in work.epics},
            "landing_checks": checks["task"] if checks["landing"] is None else checks["landing"],
            "promised": {
                epic["id"]: [command for task in epic["tasks"] for command in task["verify"]]
                for epic in work.epics
            },
            "budget": self.scenario.budget,
            "clash": work.clash,
            "clock": self.scenario.clock,
            "hooks": extras.hooks,
            "retries": extras.retries,
            "conflicts": extras.conflicts,
            "solved": extras.solved,
            "approvals": extras.approvals,
            **more,
        }
        (self.folder / "round.json").write_text(json.dumps(facts, indent=1))

    def processes(self) -> list[psutil.Process]:
        """What still works in the folder or carries its marks in its environment."""
        found = []
        for process in psutil.process_iter():
            try:
                here = Path(process.cwd()).is_relative_to(self.folder)
                marked = process.environ().get("HOME") == str(self.folder / "home")
                mine = process.status() != psutil.STATUS_ZOMBIE and "postgres" not in process.name()
            except psutil.Error:
                continue
            if (here or marked) and mine and process.pid != os.getpid():
                found.append(process)
        return found
