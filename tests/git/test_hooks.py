"""Git hooks of ours among those of others, in real repositories."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.git.conftest import commit, run
from yokeflow.engine.processes.environment import git_settings
from yokeflow.git.hook_files import NAMES, Found
from yokeflow.git.hooks import Hooks, guard_refs, program_file, session_hooks
from yokeflow.git.repo import Repo

Snapshot = dict[str, tuple[int, bytes]]


def snapshot(folder: Path) -> Snapshot:
    """Every file below a folder, with its rights; a link as what it says."""
    found: Snapshot = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(folder))] = (0, os.fsencode(path.readlink()))
        elif path.is_file():
            found[str(path.relative_to(folder))] = (path.stat().st_mode, path.read_bytes())
    return found


def hook(folder: Path, name: str, script: str) -> Path:
    """A hook of the user's."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    file.chmod(0o755)
    return file


def spool(repo: Repo) -> list[str]:
    file = repo.state_dir / "spool"
    return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def ours(repo: Repo) -> Hooks:
    return Hooks(repo)


def settings_and_hooks(repo: Repo) -> tuple[bytes, Snapshot]:
    return (repo.common_dir / "config").read_bytes(), snapshot(repo.common_dir / "hooks")


async def test_they_are_put_in_beside_nothing_and_taken_away_without_a_trace(repo: Repo, ours: Hooks) -> None:
    before = settings_and_hooks(repo)
    assert await ours.install() == ()
    status = await ours.status()
    assert status.installed
    assert status.remedy == ""
    assert status.hooks == dict.fromkeys(NAMES, Found.OURS)
    first = settings_and_hooks(repo)
    assert await ours.install() == ()
    assert settings_and_hooks(repo) == first
    await ours.uninstall()
    assert settings_and_hooks(repo) == before
    assert not (await ours.status()).installed


@pytest.mark.parametrize("again", [True, False])
async def test_what_a_killed_install_had_begun_to_write_goes(repo: Repo, ours: Hooks, again: bool) -> None:
    hooks = repo.common_dir / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "mine.0123abcd").touch()
    before = settings_and_hooks(repo)
    (hooks / "post-commit.0123abcd").touch()
    if again:
        await ours.install()
    await ours.uninstall()
    assert settings_and_hooks(repo) == before


async def test_a_commit_a_merge_and_a_rewrite_leave_lines(repo: Repo, ours: Hooks) -> None:
    await ours.install()
    first = commit(repo.root, "One", one="1")
    assert spool(repo) == [f"1 post-commit {first} refs/heads/main"]
    run(repo.root, "commit", "-q", "--amend", "-m", "Uno")
    amended = run(repo.root, "rev-parse", "HEAD")
    assert spool(repo)[1:] == [
        f"1 post-commit {amended} refs/heads/main",
        f"1 post-rewrite {first} {amended} amend",
    ]
    run(repo.root, "switch", "-q", "-c", "side")
    commit(repo.root, "Two", two="2")
    run(repo.root, "switch", "-q", "main")
    run(repo.root, "merge", "-q", "--no-ff", "-m", "Merge side", "side")
    assert spool(repo)[-1] == f"1 post-merge {run(repo.root, 'rev-parse', 'HEAD')} refs/heads/main"


async def test_a_commit_in_a_linked_worktree_and_on_no_branch_is_noted_too(repo: Repo, ours: Hooks) -> None:
    await ours.install()
    linked = repo.root.parent / "linked"
    run(repo.root, "worktree", "add", "-q", "-b", "epic/a", str(linked))
    first = commit(linked, "One", one="1")
    run(linked, "switch", "-q", "--detach")
    second = commit(linked, "Two", two="2")
    assert spool(repo) == [f"1 post-commit {first} refs/heads/epic/a", f"1 post-commit {second} -"]


async def test_they_work_around_a_bare_repository(repo: Repo, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    run(repo.root, "clone", "-q", "--bare", str(repo.root), str(bare))
    run(bare, "worktree", "add", "-q", "-b", "epic/a", str(tmp_path / "work"))
    found = await Repo.discover(tmp_path / "work")
    await Hooks(found).install()
    made = commit(tmp_path / "work", "One", one="1")
    assert (bare / "yoke" / "spool").read_text() == f"1 post-commit {made} refs/heads/epic/a\n"


async def test_they_need_nothing_on_the_path(repo: Repo, ours: Hooks) -> None:
    await ours.install()
    git = shutil.which("git")
    assert git
    done = subprocess.run(
        [git, "commit", "-q", "--allow-empty", "-m", "From a window"],
        cwd=repo.root,
        env={
            "PATH": "/nowhere",
            "HOME": os.environ["HOME"],
            "GIT_CONFIG_GLOBAL": os.environ["GIT_CONFIG_GLOBAL"],
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(spool(repo)) == 1


async def test_without_the_program_they_are_silent_and_hand_on(
    repo: Repo, ours: Hooks, tmp_path: Path
) -> None:
    hook(repo.common_dir / "hooks", "post-commit", f"echo ran >>{tmp_path}/said")
    await ours.install()
    (repo.state_dir / "program").write_text(f"{tmp_path}/gone/yoke-hook\n")
    done = subprocess.run(
        ["git", "commit", "-q", "--allow-empty", "-m", "One"],
        cwd=repo.root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout + done.stderr == ""
    assert spool(repo) == []
    shutil.rmtree(repo.state_dir)
    commit(repo.root, "Two")
    assert (tmp_path / "said").read_text() == "ran\nran\n"
    assert not repo.state_dir.exists()


async def test_a_hook_that_was_there_runs_with_arguments_input_name_and_neighbours(
    repo: Repo, ours: Hooks, tmp_path: Path
) -> None:
    folder = repo.common_dir / "hooks"
    (folder / "common.sh").write_text("greeting=hello\n")
    script = f'. "$(dirname "$0")/common.sh"; echo "$greeting $(basename "$0") $*: $(cat)" >>{tmp_path}/said'
    hook(folder, "post-rewrite", script)
    before = settings_and_hooks(repo)
    await ours.install()
    old = run(repo.root, "rev-parse", "HEAD")
    run(repo.root, "commit", "-q", "--amend", "-m", "Else")
    new = run(repo.root, "rev-parse", "HEAD")
    assert (tmp_path / "said").read_text() == f"hello post-rewrite amend: {old} {new}\n"
    assert f"1 post-rewrite {old} {new} amend" in spool(repo)
    await ours.uninstall()
    assert settings_and_hooks(repo) == before


async def test_a_hook_that_is_a_link_or_cannot_run_comes_back_as_it_was(
    repo: Repo, ours: Hooks, tmp_path: Path
) -> None:
    folder = repo.common_dir / "hooks"
    hook(repo.root / "scripts", "check", f"echo linked >>{tmp_path}/said")
    (folder / "post-commit").symlink_to("../../scripts/check")
    hook(folder, "post-merge", "exit 1").chmod(0o644)
    before = settings_and_hooks(repo)
    await ours.install()
    commit(repo.root, "One")
    assert (tmp_path / "said").read_text() == "linked\n"
    await ours.uninstall()
    assert settings_and_hooks(repo) == before
    assert (folder / "post-commit").is_symlink()


@pytest.mark.parametrize("name", ["prepare-commit-msg", "commit-msg"])
async def test_a_hook_that_refuses_goes_on_refusing(repo: Repo, ours: Hooks, name: str) -> None:
    hook(repo.common_dir / "hooks", name, "echo no >&2; exit 7")
    await ours.install()
    done = subprocess.run(
        ["git", "commit", "--allow-empty", "-m", "One"], cwd=repo.root, capture_output=True, check=False
    )
    assert done.returncode != 0
    assert done.stderr == b"no\n"
    assert spool(repo) == []


async def test_hooks_elsewhere_are_left_alone_and_run(repo: Repo, ours: Hooks, tmp_path: Path) -> None:
    hook(repo.root / ".githooks", "post-commit", f'echo "$0" >>{tmp_path}/said')
    hook(repo.root / ".githooks", "pre-commit", f'echo "$0" >>{tmp_path}/said')
    commit(repo.root, "Track hooks")
    config = repo.common_dir / "config"
    config.write_text(config.read_text() + "# mine\n[core]\n  hooksPath = .githooks   ; tracked\n")
    before = settings_and_hooks(repo)
    await ours.install()
    await ours.install()
    assert (await ours.status()).problems == ()
    assert (await ours.status()).remedy == ""
    assert run(repo.root, "status", "--porcelain") == ""
    linked = repo.root.parent / "linked"
    run(repo.root, "worktree", "add", "-q", "-b", "epic/a", str(linked))
    made = commit(linked, "One", one="1")
    assert (tmp_path / "said").read_text() == ".githooks/pre-commit\n.githooks/post-commit\n"
    assert spool(repo) == [f"1 post-commit {made} refs/heads/epic/a"]
    await ours.uninstall()
    assert settings_and_hooks(repo) == before


async def test_a_setting_that_changed_meanwhile_is_noticed_and_handed_on_to(
    repo: Repo, ours: Hooks, tmp_path: Path
) -> None:
    run(repo.root, "config", "core.hooksPath", ".githooks")
    await ours.install()
    hook(repo.root / ".others", "post-commit", f"echo others >>{tmp_path}/said")
    run(repo.root, "config", "core.hooksPath", ".others")
    (problem,) = (await ours.status()).problems
    assert problem == "the hooks hand on to .githooks, where git would use .others"
    await ours.install()
    assert (await ours.status()).problems == ()
    commit(repo.root, "One")
    assert (tmp_path / "said").read_text() == "others\n"
    assert len(spool(repo)) == 1
    await ours.uninstall()
    assert run(repo.root, "config", "--get-all", "core.hooksPath") == ".others"


async def test_a_setting_that_changed_meanwhile_is_put_back_by_its_value(repo: Repo, ours: Hooks) -> None:
    run(repo.root, "config", "core.hooksPath", ".githooks")
    await ours.install()
    run(repo.root, "config", "alias.st", "status")
    await ours.uninstall()
    assert run(repo.root, "config", "--get-all", "core.hooksPath") == ".githooks"
    assert run(repo.root, "config", "alias.st") == "status"


async def test_hooks_for_all_repositories_run_and_stay(
    repo: Repo, ours: Hooks, tmp_path: Path, git_home: Path
) -> None:
    hook(git_home / "hooks", "post-commit", f"echo all >>{tmp_path}/said")
    run(repo.root, "config", "--global", "core.hooksPath", "~/hooks")
    before = settings_and_hooks(repo), snapshot(git_home)
    await ours.install()
    assert snapshot(git_home) == before[1]
    commit(repo.root, "One")
    assert (tmp_path / "said").read_text() == "all\n"
    assert len(spool(repo)) == 1
    run(repo.root, "config", "--global", "core.hooksPath", "~/others")
    assert "where git would use" in (await ours.status()).problems[0]
    await ours.install()
    assert (await ours.status()).remedy == ""
    run(repo.root, "config", "--global", "core.hooksPath", "~/hooks")
    await ours.uninstall()
    assert (settings_and_hooks(repo), snapshot(git_home)) == before


async def test_a_folder_of_hooks_that_is_a_link_is_not_written_into(
    repo: Repo, ours: Hooks, tmp_path: Path
) -> None:
    shutil.rmtree(repo.common_dir / "hooks")
    hook(tmp_path / "shared", "post-commit", f"echo shared >>{tmp_path}/said")
    (repo.common_dir / "hooks").symlink_to(tmp_path / "shared")
    before = snapshot(tmp_path / "shared"), (repo.common_dir / "config").read_bytes()
    await ours.install()
    commit(repo.root, "One")
    assert (tmp_path / "said").read_text() == "shared\n"
    await ours.uninstall()
    assert (snapshot(tmp_path / "shared"), (repo.common_dir / "config").read_bytes()) == before


PRE_COMMIT = """# File generated by pre-commit: https://pre-commit.com
HERE="$(cd "$(dirname "$0")" && pwd)"
echo managed >>{said}
[ ! -x "$HERE/{name}.legacy" ] || exec "$HERE/{name}.legacy" "$@"
"""


async def test_pre_commit_finds_its_own_hook_where_it_was(repo: Repo, ours: Hooks, tmp_path: Path) -> None:
    folder = repo.common_dir / "hooks"
    managed = hook(folder, "post-commit", PRE_COMMIT.format(name="post-commit", said=tmp_path / "said"))
    hook(folder, "post-commit.legacy", f"echo older >>{tmp_path}/said")
    before = settings_and_hooks(repo)
    await ours.install()
    assert managed.read_bytes() == before[1]["post-commit"][1]
    assert (await ours.status()).remedy == ""
    commit(repo.root, "One")
    assert (tmp_path / "said").read_text() == "managed\nolder\n"
    assert len(spool(repo)) == 1
    await ours.uninstall()
    assert settings_and_hooks(repo) == before


async def test_pre_commit_that_comes_later_keeps_ours_and_what_we_keep(
    repo: Repo, ours: Hooks, tmp_path: Path
) -> None:
    folder = repo.common_dir / "hooks"
    hook(folder, "post-commit", f"echo older >>{tmp_path}/said")
    await ours.install()
    # What `pre-commit install` does.
    (folder / "post-commit").rename(folder / "post-commit.legacy")
    hook(folder, "post-commit", PRE_COMMIT.format(name="post-commit", said=tmp_path / "said"))
    assert (await ours.status()).remedy == ""
    commit(repo.root, "One")
    assert (tmp_path / "said").read_text() == "managed\nolder\n"
    assert len(spool(repo)) == 1
    await ours.uninstall()
    assert "older" in (folder / "post-commit.legacy").read_text()
    assert not list(folder.glob("*yoke*"))


async def test_a_manager_that_puts_ours_aside_is_noticed_and_put_right(
    repo: Repo, ours: Hooks, tmp_path: Path
) -> None:
    folder = repo.common_dir / "hooks"
    hook(folder, "post-commit", f"echo LEFTHOOK 1 >>{tmp_path}/said")
    await ours.install()
    # What `lefthook install` does.
    (folder / "post-commit").rename(folder / "post-commit.old")
    hook(folder, "post-commit", f"echo LEFTHOOK 2 >>{tmp_path}/said")
    status = await ours.status()
    assert status.hooks["post-commit"] == "replaced by lefthook"
    assert status.remedy == "yoke hooks install"
    assert await ours.install() == ()
    assert (await ours.status()).remedy == ""
    commit(repo.root, "One")
    assert (tmp_path / "said").read_text() == "LEFTHOOK 2\n"
    assert len(spool(repo)) == 1
    await ours.uninstall()
    assert [path.name for path in folder.glob("post-commit*") if path.suffix != ".sample"] == ["post-commit"]


async def test_what_was_put_aside_is_kept_when_another_hook_takes_its_place(repo: Repo, ours: Hooks) -> None:
    folder = repo.common_dir / "hooks"
    hook(folder, "post-commit", "echo precious")
    await ours.install()
    hook(folder, "post-commit", "echo overwritten")
    (note,) = await ours.uninstall()
    assert "overwritten" in (folder / "post-commit").read_text()
    (kept,) = (repo.state_dir / "hooks-kept").iterdir()
    assert "precious" in kept.read_text()
    assert str(kept) in note


async def test_husky_that_sets_the_folder_again_is_noticed(repo: Repo, ours: Hooks, tmp_path: Path) -> None:
    hook(repo.root / ".husky/_", "post-commit", f"echo husky >>{tmp_path}/said")
    await ours.install()
    run(repo.root, "config", "core.hooksPath", ".husky/_")
    status = await ours.status()
    assert status.problems == ("git runs no hooks of ours, since core.hooksPath is .husky/_",)
    await ours.install()
    assert (await ours.status()).remedy == ""
    commit(repo.root, "One")
    assert (tmp_path / "said").read_text() == "husky\n"
    assert len(spool(repo)) == 1
    assert not list((repo.common_dir / "hooks").glob("*[!e]"))
    run(repo.root, "config", "core.hooksPath", ".husky/_")
    await ours.uninstall()
    assert run(repo.root, "config", "core.hooksPath") == ".husky/_"


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.chmod(0o644)])
async def test_a_hook_that_is_gone_or_cannot_run_is_noticed(
    repo: Repo, ours: Hooks, damage: Callable[[Path], None]
) -> None:
    await ours.install()
    damage(repo.common_dir / "hooks/pre-push")
    status = await ours.status()
    assert status.hooks["pre-push"] in {Found.MISSING, Found.IDLE}
    assert status.remedy
    await ours.install()
    assert (await ours.status()).remedy == ""


async def test_a_worktree_with_a_setting_of_its_own_is_named(repo: Repo, ours: Hooks) -> None:
    await ours.install()
    linked = repo.root.parent / "linked"
    run(repo.root, "worktree", "add", "-q", "-b", "epic/a", str(linked))
    run(repo.root, "config", "extensions.worktreeConfig", "true")
    run(linked, "config", "--worktree", "core.hooksPath", "mine")
    assert (await ours.status()).problems == ("the worktree linked has a core.hooksPath of its own: mine",)


def session(worktree: Path) -> dict[str, str]:
    return {"YOKE_TASK": "a.b", "YOKE_SESSION": "s-1", "YOKE_WORKTREE": str(worktree)}


def use(settings: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have git know these settings by its environment."""
    for name, value in git_settings({}, settings).items():
        monkeypatch.setenv(name, value)


def trailers(folder: Path) -> str:
    return run(folder, "log", "-1", "--format=%(trailers:only,unfold)")


@pytest.fixture
def linked(repo: Repo) -> Path:
    folder = repo.root.parent / "linked"
    run(repo.root, "worktree", "add", "-q", "-b", "epic/a", str(folder))
    return folder


async def test_what_a_session_commits_in_its_worktree_gets_trailers_once(
    repo: Repo, ours: Hooks, linked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ours.install()
    for name, value in session(linked).items():
        monkeypatch.setenv(name, value)
    commit(linked, "One\n\nWhy it is so.\n\nReviewed-by: Bob", one="1")
    assert trailers(linked) == "Reviewed-by: Bob\nYoke-Task: a.b\nYoke-Session: s-1"
    run(linked, "commit", "-q", "--amend", "--no-edit", "--no-verify")
    assert trailers(linked).count("Yoke-Task") == 1
    stamped = await repo.stamp("main", "epic/a", {"Yoke-Task": "a.b", "Yoke-Session": "s-1"})
    assert stamped == "epic/a"
    # Elsewhere, the environment means nothing.
    commit(repo.root, "Two", two="2")
    assert trailers(repo.root) == ""
    empty = subprocess.run(
        ["git", "-c", "core.editor=true", "commit", "--allow-empty"],
        cwd=linked,
        capture_output=True,
        check=False,
    )
    assert b"empty commit message" in empty.stderr


async def test_a_session_has_them_without_an_installation_and_others_repositories_their_own(
    repo: Repo, linked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook(repo.common_dir / "hooks", "post-commit", f'echo "mine $0" >>{tmp_path}/said')
    before = settings_and_hooks(repo)
    settings = await session_hooks(repo)
    assert settings_and_hooks(repo) == before
    for name, value in session(linked).items():
        monkeypatch.setenv(name, value)
    use(settings, monkeypatch)
    commit(linked, "One", one="1")
    assert trailers(linked) == "Yoke-Task: a.b\nYoke-Session: s-1"
    assert (tmp_path / "said").read_text() == f"mine {repo.common_dir}/hooks/post-commit\n"
    assert spool(repo) == []
    other = tmp_path / "other"
    run(tmp_path, "init", "-q", str(other))
    hook(other / ".git/hooks", "post-commit", f"echo other >>{tmp_path}/said")
    commit(other, "One", one="1")
    assert trailers(other) == ""
    assert (tmp_path / "said").read_text().endswith("other\n")


async def test_what_a_killed_run_began_to_write_beside_them_goes(repo: Repo) -> None:
    await session_hooks(repo)
    folder = repo.state_dir / "session-hooks"
    before = snapshot(folder)
    for name in ("yoke-before.0123abcd", "post-commit.0123abcd"):
        (folder / name).touch()
    await session_hooks(repo)
    assert snapshot(folder) == before


async def test_a_session_runs_tracked_hooks_and_obeys_them(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook(repo.root / ".githooks", "pre-commit", f'echo "$0" >>{tmp_path}/said')
    hook(repo.root / ".githooks", "commit-msg", 'read -r line <"$1"; [ "$line" != Bad ]')
    commit(repo.root, "Track hooks")
    run(repo.root, "config", "core.hooksPath", ".githooks")
    folder = repo.root.parent / "linked [1]"
    run(repo.root, "worktree", "add", "-q", "-b", "epic/b", str(folder))
    settings = await session_hooks(repo)
    for name, text in session(folder).items():
        monkeypatch.setenv(name, text)
    use(settings, monkeypatch)
    commit(folder, "Good", one="1")
    assert trailers(folder) == "Yoke-Task: a.b\nYoke-Session: s-1"
    assert (tmp_path / "said").read_text() == ".githooks/pre-commit\n"
    bad = ["git", "commit", "--allow-empty", "-m", "Bad"]
    assert subprocess.run(bad, cwd=folder, capture_output=True, check=False).returncode == 1


async def test_only_a_session_of_a_program_that_is_there_is_refused_a_branch(
    repo: Repo, linked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook(
        repo.common_dir / "hooks",
        "reference-transaction",
        f'echo "$1" >>{tmp_path}/said; cat >>{tmp_path}/said',
    )
    use(await session_hooks(repo), monkeypatch)
    guard_refs(repo, "main", "epic/", ["epic/a", "epic/b"])
    move = ["git", "update-ref", "refs/heads/main", commit(linked, "One", one="1")]

    def code(**environment: str) -> int:
        env = {**os.environ, **environment}
        return subprocess.run(move, cwd=linked, env=env, capture_output=True, check=False).returncode

    before = run(repo.root, "rev-parse", "main")
    assert code(**session(linked), YOKE_BRANCH="epic/a") != 0
    assert run(repo.root, "rev-parse", "main") == before
    program = program_file(repo).read_text()
    program_file(repo).write_text("/nowhere\n")
    assert code(**session(linked)) == 0
    run(repo.root, "update-ref", "refs/heads/main", before)
    program_file(repo).write_text(program)
    assert code() == 0
    assert f"{move[-1]} refs/heads/main" in (tmp_path / "said").read_text()


async def test_sessions_of_projects_whose_hook_manager_needs_its_place_get_none(repo: Repo) -> None:
    (repo.root / ".pre-commit-config.yaml").write_text("repos: []\n")
    assert await session_hooks(repo) == {}


async def test_a_misspelt_task_is_told_at_once_and_committed_all_the_same(repo: Repo, ours: Hooks) -> None:
    await ours.install()
    (repo.state_dir / "tasks").write_text("a.one\na.two\n")
    told = {}
    for id_ in ("a.two", "a.tow"):
        done = subprocess.run(
            ["git", "commit", "-q", "--allow-empty", "-m", f"Do\n\nYoke-Task: {id_} "],
            cwd=repo.root,
            capture_output=True,
            text=True,
            check=True,
        )
        told[id_] = done.stderr
    assert told == {"a.two": "", "a.tow": "yoke: the plan has no task a.tow\n"}


async def test_a_red_tip_is_not_pushed(repo: Repo, ours: Hooks, tmp_path: Path) -> None:
    hook(repo.common_dir / "hooks", "pre-push", f'echo "$*: $(cat)" >>{tmp_path}/said')
    await ours.install()
    run(tmp_path, "init", "-q", "--bare", "there.git")
    run(repo.root, "remote", "add", "origin", str(tmp_path / "there.git"))
    run(repo.root, "switch", "-q", "-c", "epic/a")
    red = commit(repo.root, "One", one="1")
    (repo.state_dir / "red").write_text(f"{red} a\n")
    push = ["git", "push", "-q", "origin", "epic/a"]
    done = subprocess.run(push, cwd=repo.root, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "yoke: epic a is red" in done.stderr
    assert not (tmp_path / "said").exists()
    good = commit(repo.root, "Mend", one="2")
    run(repo.root, "push", "-q", "origin", "epic/a")
    said = (tmp_path / "said").read_text()
    assert said == f"origin {tmp_path}/there.git: refs/heads/epic/a {good} refs/heads/epic/a {'0' * 40}\n"


async def test_a_repository_that_was_moved_is_put_right(repo: Repo, ours: Hooks, tmp_path: Path) -> None:
    hook(repo.root / ".husky/_", "post-commit", f"echo husky >>{tmp_path}/said")
    run(repo.root, "config", "core.hooksPath", ".husky/_")
    await ours.install()
    moved = repo.root.rename(tmp_path / "else where")
    # A person's own hooks go on where nobody has come by.
    assert run(moved, "config", "core.hooksPath") == ".husky/_"
    commit(moved, "Zero")
    assert (tmp_path / "said").read_text() == "husky\n"
    (tmp_path / "said").unlink()
    there = Hooks(await Repo.discover(moved))
    assert (await there.status()).remedy
    await there.install()
    assert (await there.status()).problems == ()
    commit(moved, "One")
    assert (tmp_path / "said").read_text() == "husky\n"
    assert (moved / ".git/yoke/spool").read_text().startswith("1 post-commit ")
    await there.uninstall()
    assert run(moved, "config", "core.hooksPath") == ".husky/_"


async def test_a_state_folder_that_was_removed_leaves_nothing_that_cannot_be_taken_away(
    repo: Repo, ours: Hooks
) -> None:
    run(repo.root, "config", "--global", "core.hooksPath", "/nowhere")
    config = (repo.common_dir / "config").read_bytes()
    await ours.install()
    shutil.rmtree(repo.state_dir)
    commit(repo.root, "One")
    await ours.install()
    assert (await ours.status()).remedy == ""
    await ours.uninstall()
    assert run(repo.root, "config", "--get-all", "core.hooksPath") == "/nowhere"
    assert (repo.common_dir / "config").read_bytes() == config


@pytest.mark.parametrize("shell", ["bash", "busybox"])
async def test_other_shells_understand_the_hook(
    repo: Repo, ours: Hooks, linked: Path, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    await ours.install()
    for name in NAMES:
        file = repo.common_dir / "hooks" / name
        first = f"#!{program}" + (" sh" if shell == "busybox" else "")
        file.write_text(file.read_text().replace("#!/bin/sh", first, 1))
    for name, value in session(linked).items():
        monkeypatch.setenv(name, value)
    made = commit(linked, "One", one="1")
    assert trailers(linked) == "Yoke-Task: a.b\nYoke-Session: s-1"
    run(linked, "commit", "-q", "--amend", "-m", "Uno")
    assert spool(repo)[-1] == f"1 post-rewrite {made} {run(linked, 'rev-parse', 'HEAD')} amend"
