"""Virtual environments for tests of what people install."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.plugins.lab import Lab, open_lab

if TYPE_CHECKING:
    from collections.abc import Callable

    from yokeflow.store.connection import Store


def run(*command: str | Path, cwd: Path) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def fresh_environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a virtual environment with the wheels of some folders.

    What they depend on comes from the environment of the tests.
    """

    def make(*folders: Path) -> Path:
        wheels = tmp_path_factory.mktemp("wheels")
        for folder in folders:
            run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", wheels, cwd=folder)
        made = tmp_path_factory.mktemp("environment")
        run(sys.executable, "-m", "venv", "--without-pip", made, cwd=wheels)
        pip = made / "bin" / "pip"
        pip.write_text(f'#!/bin/sh\nexec {sys.executable} -m pip --python "{made}/bin/python" "$@"\n')
        pip.chmod(0o755)
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-index", "--no-cache-dir"]
        run(pip, "install", *options, *sorted(wheels.glob("*.whl")), cwd=wheels)
        packages = sysconfig.get_path("purelib", vars={"base": str(made), "platbase": str(made)})
        ours = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        # Folders named here come after its own, and their .pth files, such as the editable one, are not read.
        Path(packages, "dependencies.pth").write_text("".join(f"{each}\n" for each in sorted(ours)))
        return made

    return make


@pytest.fixture
async def lab(store: Store, tmp_path: Path) -> Lab:
    """A project with one commit and no tasks, in which sessions happen."""
    return await open_lab(store, tmp_path)
