"""Turn what lies uncommitted in a checkout into commits, so that nothing is lost."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from yokeflow.errors import GitError
from yokeflow.git import submodules
from yokeflow.git.checkouts import find, remove, set_aside
from yokeflow.git.commits import commit_tree, with_trailers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yokeflow.git.checkouts import Checkout
    from yokeflow.git.repo import Repo

#: Folders in the state folder that hold the index of a snapshot while it is taken.
SNAPSHOT = "index-"


async def commit_all(
    repo: Repo, worktree: Path, message: str, trailers: Mapping[str, str], *, base: str | None = None
) -> str | None:
    """See `Repo.commit_all`."""
    checkout = find(repo, worktree)
    if checkout is None or not is_folder(worktree):
        return None
    checkout.remove_locks()
    await _mend_index(checkout)
    merging = await _merging(checkout)
    if await checkout.head() != base:
        await flatten(checkout)
    try:
        nested = await add_all(checkout)
    except GitError:
        # A repository without a commit cannot be added.
        nested = True
    if nested:
        await flatten(checkout)
        await add_all(checkout)
    if not merging:
        # What the agent was in the middle of ends here; git would refuse to commit, or commit something else.
        checkout.forget_operations()
    text = await with_trailers(repo, message.encode(), trailers)
    flags = ("--no-verify", "--cleanup=verbatim", "--allow-empty-message")
    out = await checkout.git(
        "commit", "-q", *flags, "-F", "-", stdin=text, ok=(0, 1), env=await repo.identity()
    )
    checkout.forget_operations()
    if out.returncode and (await checkout.git("diff", "--cached", "--quiet", ok=(0, 1))).returncode:
        raise GitError(("commit",), out.returncode, out.stderr)
    await submodules.keep(checkout)
    return None if out.returncode else await checkout.head()


async def _mend_index(checkout: Checkout) -> None:
    """Start anew from HEAD where somebody damaged the index."""
    index = checkout.git_dir / "index"
    if is_anything(index) and not checkout.has_index():
        remove(index)
        await checkout.git("read-tree", "HEAD", ok=(0, 128))


async def snapshot(checkout: Checkout, message: str, *, users: bool = False) -> str | None:
    """Commit everything that git does not ignore on top of HEAD, past the index; None when nothing differs.

    Files, index, HEAD and branches stay as they are; in the checkout of the user (`users`) so do rights, and
    what cannot be read there is left out.
    """
    repo = checkout.repo
    head = await checkout.head()
    repo.state_dir.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=repo.state_dir, prefix=SNAPSHOT) as folder:
        env = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        await _copy_index(checkout, env, head)
        # What cannot be read is left out; the rest counts.
        await add_all(checkout, "--ignore-errors", ok=(0, 1, 128), env=env, insist=not users)
        tree = (await checkout.git("write-tree", env=env)).text
    if head and tree == await repo.tree_of(head):
        return None
    return await commit_tree(repo, tree, [head] if head else [], message.encode())


async def _copy_index(checkout: Checkout, env: Mapping[str, str], head: str | None) -> None:
    index = Path(env["GIT_INDEX_FILE"])
    if (checkout.git_dir / "index").is_file():
        # The copy remembers which files were looked at already.
        shutil.copy2(checkout.git_dir / "index", index)
        listed = await checkout.git("ls-files", "--error-unmatch", "-z", "--", ".", ok=(0, 1, 128), env=env)
        if listed.returncode != 128:
            return
        index.unlink()  # noqa: ASYNC240 - a rename takes as long
    await checkout.git("read-tree", head or "--empty", env=env)


async def add_all(
    checkout: Checkout,
    *flags: str,
    ok: tuple[int, ...] = (0,),
    env: Mapping[str, str] | None = None,
    insist: bool = True,
) -> bool:
    """Stage everything; whether nested repositories are among it.

    `insist`: also what its writer made unreadable, by taking back the right to read it.
    """
    command = ("-c", "advice.addEmbeddedRepo=false", "add", "-A", "-v", *flags)
    try:
        out = await checkout.git(*command, env=env, ok=(0,) if insist else ok)
    except GitError:
        if not insist:
            raise
        await asyncio.to_thread(make_writable, checkout.path)
        out = await checkout.git(*command, ok=ok, env=env)
    return b"/'\n" in out.stdout or b'/"\n' in out.stdout


async def flatten(checkout: Checkout) -> None:
    """Make plain files of the repositories that somebody made inside a lane; their own history is kept."""
    # A repository may hide another one.
    for _ in range(20):
        nested = await _nested(checkout)
        if not nested:
            return
        for path in nested:
            await _flatten_one(checkout, path)


async def _nested(checkout: Checkout) -> list[str]:
    others = (await checkout.git("ls-files", "-z", "--others", "--exclude-standard")).parts
    found = [path.rstrip("/") for path in others if path.endswith("/")]
    # Only gitlinks: mode 160000.
    for entry in (await checkout.git("ls-files", "-z", "--stage")).parts:
        meta, _, path = entry.partition("\t")
        # A submodule of the project has a `.git` file; what an agent made with `git init` has a folder.
        if meta.startswith("160000 ") and (checkout.path / path / ".git").is_dir():
            found.append(path)
    return _with_git(checkout.path, found)


def _with_git(folder: Path, names: list[str]) -> list[str]:
    return [name for name in names if os.path.lexists(folder / name / ".git")]


async def _flatten_one(checkout: Checkout, path: str) -> None:
    repo, folder = checkout.repo, checkout.path / path
    kept = f"+refs/heads/*:refs/yoke/keep/nested/{os.urandom(6).hex()}/*"
    source = str(folder / ".git") if (folder / ".git").is_dir() else str(folder)
    flags = ("--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules")
    allow = {"GIT_ALLOW_PROTOCOL": "file"}
    await repo.git("fetch", "-q", *flags, "--", source, kept, ok=(0, 1, 128), env=allow)
    await checkout.git("rm", "-q", "--cached", "--ignore-unmatch", "-f", "--", f":(literal){path}")
    set_aside(folder / ".git", repo.state_dir / "trash")


async def _merging(checkout: Checkout) -> list[str]:
    """The other parents of a merge that waits only for its commit."""
    file = checkout.git_dir / "MERGE_HEAD"
    if not file.is_file() or (await checkout.git("ls-files", "-z", "--unmerged")).stdout:
        return []
    return file.read_text(encoding="ascii").split()


def is_folder(path: Path) -> bool:
    """Whether a real folder is there; a link to one could lead anywhere."""
    return path.is_dir() and not path.is_symlink()


def is_anything(path: Path) -> bool:
    """Whether something is there, be it a link that leads nowhere."""
    return os.path.lexists(path)


def names_in(folder: Path) -> set[str]:
    """What a folder holds."""
    return set(os.listdir(folder))  # noqa: PTH208 - only the names


def make_writable(folder: Path) -> None:
    """Give us back the right to read, write and enter everything below, where we may."""
    _allow(folder, 0o700)
    for parent, names, files in os.walk(folder):
        for name, needed in [*((name, 0o700) for name in names), *((name, 0o600) for name in files)]:
            _allow(Path(parent, name), needed)


def _allow(path: Path, needed: int) -> None:
    # What belongs to somebody else or is immutable stays as it is.
    with suppress(OSError):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & needed != needed:
            path.chmod(stat.S_IMODE(mode) | needed)
