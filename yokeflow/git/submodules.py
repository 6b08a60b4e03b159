"""Submodules of a worktree: filled from what the repository has cloned, and nothing made in them is lost.

Git gives each worktree clones of its own, which go when the worktree goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.errors import GitError
from yokeflow.git.checkouts import Checkout, linked_to

if TYPE_CHECKING:
    from pathlib import Path


async def fill(checkout: Checkout) -> None:
    """Check out every submodule that is cloned in the repository; the others stay empty, as they are there.

    Needs no network. Raises GitError when a clone lacks the commit.
    """
    if not (checkout.path / ".gitmodules").is_file():
        return
    file = ("--file", str(checkout.path / ".gitmodules"))
    out = await checkout.git("config", "-z", *file, "--get-regexp", r"^submodule\..*\.path$", ok=(0, 1))
    for part in out.parts:
        key, _, path = part.partition("\n")
        name = key.removeprefix("submodule.").removesuffix(".path")
        await _fill_one(checkout, name, path)


async def _fill_one(checkout: Checkout, name: str, path: str) -> None:
    clone = checkout.repo.common_dir / "modules" / name
    if ".." in name.split("/") or not (clone / "HEAD").is_file():
        return
    local = ("-c", f"submodule.{name}.url={clone}", "-c", f"submodule.{name}.active=true")
    try:
        await checkout.git(
            *local, "submodule", "--quiet", "update", "--init", "--checkout", "--", path,
            env={"GIT_ALLOW_PROTOCOL": "file"},
        )  # fmt: skip
    except GitError as error:
        raise GitError(
            error.command[1:],
            error.returncode,
            f"submodule {path} cannot be filled from {clone}: {error.stderr}",
            hint=f"get its commits first: git submodule update --init -- {path}",
        ) from error


async def keep(checkout: Checkout) -> None:
    """Put the commits of submodules that HEAD names, and only this worktree has, where they outlive it.

    That is the repository's own clone of the submodule, else the repository. Raises GitError when one is
    nowhere.
    """
    await _keep_in(checkout, checkout.repo.common_dir)


async def _keep_in(checkout: Checkout, shared: Path) -> None:
    own = checkout.git_dir / "modules"
    if not own.is_dir():
        return
    for entry in (await checkout.git("ls-tree", "-r", "-z", "--full-tree", "HEAD")).parts:
        meta, _, path = entry.partition("\t")
        module = linked_to(checkout.path / path) if meta.startswith("160000 ") else None
        if module and module.is_relative_to(own):
            inner = Checkout(checkout.repo, checkout.path / path, module)
            clone = shared / "modules" / module.relative_to(own)
            await _keep_one(inner, clone, meta.split()[2], path)
            await _keep_in(inner, clone)


async def _keep_one(inner: Checkout, clone: Path, commit: str, path: str) -> None:
    repo = inner.repo
    home = clone if (clone / "HEAD").is_file() else repo.common_dir
    # Its own setting may name a checkout that is not there.
    where = {"GIT_DIR": str(home), "GIT_WORK_TREE": str(home), "GIT_ALLOW_PROTOCOL": "file"}
    known = await repo.git("cat-file", "-e", f"{commit}^{{commit}}", cwd=home, env=where, ok=(0, 1, 128))
    if known.returncode == 0:
        return
    flags = ("--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules")
    spec = f"{commit}:refs/yoke/keep/{commit[:12]}"
    # Any commit may be asked for by its name since version 2.
    fetch = ("-c", "protocol.version=2", "fetch", "-q", *flags, "--", str(inner.git_dir), spec)
    out = await repo.git(*fetch, cwd=home, env=where, ok=tuple(range(256)))
    if out.returncode:
        what = f"commit {commit[:12]} of submodule {path} cannot be kept: {out.stderr}"
        raise GitError(
            fetch, out.returncode, what, hint=f"commit it in {path} again, or leave {path} as it was"
        )
