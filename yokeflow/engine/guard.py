"""Only tested work reaches the target: commits that an agent brings there by itself do not count."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from yokeflow.errors import RefMovedError
from yokeflow.git.save import is_folder

if TYPE_CHECKING:
    from pathlib import Path

    from yokeflow.engine.context import Context


async def guard_target(context: Context, path: Path, before: str | None) -> str:
    """Why the work in the worktree `path` does not count, when it was brought onto the target; else empty.

    `before` is where the target was when the agent started. The target goes back if nothing else came there
    meanwhile; else the landing tests what is there.
    """
    repo, target = context.repo, context.target
    now = await repo.branch(target)
    if now is None or before is None or now == before or not is_folder(path):
        return ""
    made = await _made_in(context, path)
    gained = {commit.oid for commit in await repo.commits(before, now)}
    if not made & gained:
        return ""
    if gained <= made and await repo.is_ancestor(before, now):
        with suppress(RefMovedError):
            await repo.update_ref(f"refs/heads/{target}", before, now, "yoke: take back what was not tested")
    return f"the agent moved {target}, where only tested work may land"


async def _made_in(context: Context, path: Path) -> set[str]:
    """The commits that were made in a worktree, by what git noted of its HEAD."""
    noted = await context.repo.git("log", "-g", "--format=%H %gs", "HEAD", cwd=path, ok=(0, 128))
    entries = (line.partition(" ") for line in noted.text.splitlines())
    return {oid for oid, _, what in entries if what.startswith(("commit", "cherry-pick", "revert"))}
