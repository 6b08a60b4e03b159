"""Fill the submodules of a fresh worktree from what the repository has already cloned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.errors import GitError, RepositoryError

if TYPE_CHECKING:
    from yokeflow.git.checkouts import Checkout


async def fill(checkout: Checkout) -> None:
    """Check out every submodule that is cloned in the repository; the others stay empty, as they are there.

    Needs no network. Raises RepositoryError when a clone lacks the commit.
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
        raise RepositoryError(
            f"submodule {path} cannot be filled from {clone}: {error.stderr}",
            hint=f"get its commits first: git submodule update --init -- {path}",
        ) from error
