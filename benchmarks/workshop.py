"""Repositories and plans that benchmarks run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from yokeflow.config import Database
from yokeflow.store.server import ensure_server, stop_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Task = dict[str, object]

#: Git of the benchmarks reads nobody's settings.
_GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "A Person",
    "GIT_AUTHOR_EMAIL": "person@example.org",
    "GIT_COMMITTER_NAME": "A Person",
    "GIT_COMMITTER_EMAIL": "person@example.org",
}


@contextmanager
def server() -> Iterator[dict[str, str]]:
    """A running store of its own; gives the environment in which `yoke` finds it."""
    with tempfile.TemporaryDirectory(prefix="yoke-bench-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        before = os.environ.get("YOKE_HOME")
        os.environ["YOKE_HOME"] = folder
        try:
            ensure_server(Database())
            env = {**os.environ, **_GIT, "YOKE_PLUGINS": ""}
            env.pop("PYTHONDONTWRITEBYTECODE", None)
            yield env
        finally:
            stop_server()
            if before is None:
                del os.environ["YOKE_HOME"]
            else:
                os.environ["YOKE_HOME"] = before


@contextmanager
def repository(files: int = 50) -> Iterator[Path]:
    """A repository with one commit."""
    with tempfile.TemporaryDirectory(prefix="yoke-bench-") as folder:
        root = Path(folder) / "shop"
        root.mkdir()
        for number in range(files):
            (root / f"file-{number}.txt").write_text(f"content of file {number}\n" * 20)
        (root / ".gitignore").write_text("plan.yaml\n.yokeflow.yaml\n")
        for command in ("init -q -b main", "add -A", "commit -q -m Start"):
            subprocess.run(["git", *command.split()], cwd=root, check=True, env={**os.environ, **_GIT})
        yield root


def write_plan(root: Path, epics: Mapping[str, Sequence[Task]], *, concurrency: int) -> None:
    """A plan of shell tasks and a config for it."""
    plan = {"epics": [{"id": name, "title": name, "tasks": list(tasks)} for name, tasks in epics.items()]}
    (root / "plan.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))
    config = {"agents": {"default": "shell"}, "parallel": {"max_concurrency": concurrency}}
    (root / ".yokeflow.yaml").write_text(yaml.safe_dump(config))


def yoke(root: Path, env: Mapping[str, str], *args: str) -> subprocess.Popen[bytes]:
    """Start the command line; what it prints goes to `output(root)`, which never makes it wait."""
    command = [sys.executable, "-m", "yokeflow", *args]
    with output(root).open("wb") as file:
        return subprocess.Popen(command, cwd=root, env=env, stdout=file)


def output(root: Path) -> Path:
    """Where `yoke` of a benchmark prints to."""
    return root.parent / "output"
