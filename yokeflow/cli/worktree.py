"""`yoke worktree`: the worktrees in which epics are worked on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from yokeflow.cli import options, output
from yokeflow.engine.lock import hold_project
from yokeflow.git.repo import Repo
from yokeflow.git.worktrees import Cleaned, Worktrees
from yokeflow.model import LANE_PREFIX
from yokeflow.settings import load_config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yokeflow.config import Config
    from yokeflow.git.worktrees import Worktree


@click.group(epilog=options.examples("yoke worktree list", "yoke worktree clean --dry-run"))
def command() -> None:
    """List, clean or repair the worktrees. Nothing that is not safe elsewhere is ever removed."""


@command.command("list", epilog=options.examples("yoke worktree list", "yoke worktree list --json"))
@options.as_json
def list_(as_json: bool) -> None:  # noqa: FBT001 - a flag of the command line
    """Every worktree: its lane, branch and commit, whether it is in use or broken."""
    found, removed = asyncio.run(_list())
    if as_json:
        output.data(found)
        return
    if found:
        output.table(
            ("lane", "branch", "commit", "state", "path"),
            [(one.lane, one.branch, (one.commit or "")[:12], _state(one), one.path) for one in found],
        )
    else:
        output.note("There are no worktrees.")
    if removed:
        output.note(f"{removed} that were removed are still to be deleted: yoke worktree clean")


@command.command(epilog=options.examples("yoke worktree clean --dry-run", "yoke worktree clean"))
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@options.as_json
def clean(dry_run: bool, as_json: bool) -> None:  # noqa: FBT001 - flags of the command line
    """Remove worktrees and branches whose commits are in the target branch or under refs/yoke/keep/.

    One with uncommitted changes, in use, or with commits that are nowhere else stays, and you are told why.
    """
    done, emptied = asyncio.run(_clean(dry_run=dry_run))
    if as_json:
        output.data({"removed": done.removed, "kept": done.kept, "dry_run": dry_run, "emptied": emptied})
        return
    for name in done.removed:
        output.line(f"{'would remove' if dry_run else 'removed'} {name}")
    for name, why in done.kept.items():
        output.line(f"kept {name}: {why}")
    if not done.removed and not done.kept:
        output.note(f"deleted {emptied} left from before" if emptied else "There is nothing to clean.")


@command.command(epilog=options.examples("yoke worktree repair", "yoke worktree repair --json"))
@options.as_json
def repair(as_json: bool) -> None:  # noqa: FBT001 - a flag of the command line
    """Put right what a crash left: half-made worktrees, stale locks, lost links.

    Files that would be lost are kept under refs/yoke/keep/ first.
    """
    done = asyncio.run(_repair())
    if as_json:
        output.data({"repaired": done})
        return
    for line in done:
        output.line(line)
    if not done:
        output.note("Every worktree is whole.")


def _state(one: Worktree) -> str:
    return one.broken or ("in use" if one.locked else "idle")


async def _list() -> tuple[Sequence[Worktree], int]:
    _, trees = await _open()
    return await trees.list(), len(trees.pool.closed_lanes()) + len(trees.removed())


async def _clean(*, dry_run: bool) -> tuple[Cleaned, int]:
    config, trees = await _open()
    target = await trees.repo.target_branch(config.project.target)
    prefixes = [prefix for prefix in (config.project.branch_prefix, LANE_PREFIX) if prefix]
    with hold_project(trees.repo.state_dir / "run.lock", ""):
        done = await trees.clean(target, prefixes, dry_run=dry_run)
        return done, 0 if dry_run else await trees.empty_trash()


async def _repair() -> Sequence[str]:
    _, trees = await _open()
    with hold_project(trees.repo.state_dir / "run.lock", ""):
        return await trees.repair()


async def _open() -> tuple[Config, Worktrees]:
    repo = await Repo.discover(Path.cwd())
    config = (await asyncio.to_thread(load_config, repo.root, strict=False)).config
    return config, Worktrees(repo, repo.worktree_folder(config.parallel.worktree_dir))
