"""Real git for people and for the checker, never through the wrapper that kills."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

#: The git that everybody gets in the end.
GIT = shutil.which("git") or "git"


def git(folder: Path, *args: str, ok: tuple[int, ...] = (0,), stdin: str = "") -> str:
    """Run git as a person; its output without the last newline.

    Raises CalledProcessError for an exit code outside `ok`.
    """
    done = attempt(folder, *args, stdin=stdin)
    if done.returncode not in ok:
        raise subprocess.CalledProcessError(done.returncode, done.args, done.stdout, done.stderr)
    return done.stdout.removesuffix("\n")


def attempt(folder: Path, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run git as a person who looks at the outcome; never waits for anybody."""
    return subprocess.run(
        (GIT, *args),
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
        env=environment(folder),
        timeout=60,
    )


def environment(folder: Path) -> dict[str, str]:
    """A person's: with a name, and nothing of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "YOKE_"))}
    return {
        **kept,
        "HOME": str(folder),
        "LC_ALL": "C",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_EDITOR": "true",
        "GIT_AUTHOR_NAME": "A Person",
        "GIT_AUTHOR_EMAIL": "person@example.org",
        "GIT_COMMITTER_NAME": "A Person",
        "GIT_COMMITTER_EMAIL": "person@example.org",
    }
