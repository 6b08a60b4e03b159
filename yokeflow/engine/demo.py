"""A small real project to see YokeFlow at work: repository, plan, and a script for each task."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from yokeflow.errors import UsageError
from yokeflow.git.runner import run_git

_TEMPLATE = Path(__file__).parents[1] / "demo"
#: Names that packaging would treat specially, and what they are called in the project.
_RENAMED = {"gitignore": ".gitignore", "yokeflow.yaml": ".yokeflow.yaml"}
_IDENTITY = ("-c", "user.name=YokeFlow demo", "-c", "user.email=yoke@localhost")


async def make_demo(folder: Path) -> None:
    """Make the demo's project in `folder`, with one commit on `main`.

    Raises UsageError when the folder is there and not empty.
    """
    await asyncio.to_thread(_write, folder)
    await run_git("init", "-q", "-b", "main", cwd=folder)
    await run_git("add", "--all", cwd=folder)
    await run_git(*_IDENTITY, "commit", "-q", "-m", "Start an empty calculator", cwd=folder)


def _write(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already", hint="name another folder: yoke demo FOLDER")
    shutil.copytree(_TEMPLATE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for plain, name in _RENAMED.items():
        (folder / plain).rename(folder / name)
    for package in ("calc", "tests"):
        (folder / package).mkdir()
        (folder / package / "__init__.py").touch()
