"""The main job in every shape of repository that people bring."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.engine.project import Project
from yokeflow.engine.run import Run
from yokeflow.engine.selection import RunOptions
from yokeflow.errors import ExitCode, RepositoryError

IGNORED = "plan.yaml\n.yokeflow.yaml\n"
ODD_SETTINGS = (
    *("core.autocrlf=true", "core.commentChar=;", "core.logAllRefUpdates=false", "core.untrackedCache=true"),
    *("merge.ff=only", "merge.renames=false", "pull.rebase=true", "rerere.enabled=true"),
    *("branch.autoSetupMerge=always", "push.default=nothing", "clean.requireForce=true"),
    *("commit.cleanup=scissors", "commit.template=/nowhere", "commit.status=false", "commit.verbose=true"),
    *("color.ui=always", "format.pretty=oneline", "log.showSignature=true", "diff.noprefix=true"),
    *("status.showUntrackedFiles=no", "status.relativePaths=false", "diff.external=false"),
    *("trailer.separators=#", "trailer.ifexists=replace", "trailer.yoke-task.key=Changed"),
)


def settings_of(root: Path) -> Workshop:
    """Another repository with the settings of the fixture's."""
    other = Workshop(root)
    if root.is_dir():
        (root / ".git/info/exclude").write_text(IGNORED)
    other.config()
    return other


def files_of(shop: Workshop, rev: str = "main") -> list[str]:
    """Paths in a commit."""
    return shop.git("-c", "core.quotePath=false", "ls-tree", "-r", "--name-only", rev).splitlines()


def trailers(shop: Workshop, rev: str, key: str) -> list[str]:
    """What git itself takes for the values of a trailer in one commit."""
    return shop.git("log", "-1", f"--format=%(trailers:key={key},valueonly)", rev).split()


def test_a_repository_without_a_commit_is_told_to_make_one(workshop: Workshop, tmp_path: Path) -> None:
    root = tmp_path / "fresh"
    workshop.git("init", "-q", str(root))
    shop = settings_of(root)
    shop.plan(epic("one", task("one.a")))
    done = shop.yoke("run")
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert f"error: {root} has no commit yet\n" in done.stderr
    assert "hint: make one: git commit" in done.stderr
    assert "fatal" not in shop.git("status", "--porcelain")


async def test_a_detached_head_needs_a_target(workshop: Workshop) -> None:
    workshop.git("checkout", "-q", "--detach")
    start = workshop.git("rev-parse", "HEAD")
    workshop.plan(epic("one", task("one.a")))
    with pytest.raises(RepositoryError, match="no branch is checked out") as caught:
        await workshop.run()
    assert "project.target" in caught.value.hint
    workshop.config(project={"target": "main"})
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert "one.a.txt" in files_of(workshop)
    assert workshop.git("rev-parse", "HEAD") == start
    assert workshop.git("rev-parse", "--abbrev-ref", "HEAD") == "HEAD"
    workshop.assert_tidy()


async def test_what_a_person_was_doing_is_left_as_it_was(workshop: Workshop) -> None:
    """Staged, unstaged, half staged, deleted, renamed and untracked: all of it survives two landings."""
    for name in ("edited", "staged", "both", "gone", "moved"):
        workshop.write(f"{name}.txt", f"{name}\n")
    workshop.commit("Files")
    workshop.write("both.txt", "staged half\n")
    workshop.write("staged.txt", "staged\nmore\n")
    workshop.write("new.txt", "new\n")
    workshop.git("add", "both.txt", "staged.txt", "new.txt")
    workshop.git("mv", "moved.txt", "elsewhere.txt")
    workshop.write("both.txt", "staged half\nand another\n")
    workshop.write("edited.txt", "mine\n")
    workshop.write("loose/untracked.txt", "mine\n")
    (workshop.root / "gone.txt").unlink()
    look = (("status", "--porcelain", "-uall"), ("diff",), ("diff", "--cached", "-M"))
    before = [workshop.git(*args) for args in look]
    workshop.plan(epic("one", task("one.a")), epic("two", task("two.a"), depends_on=["one"]))
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert [workshop.git(*args) for args in look] == before
    assert {"one.a.txt", "two.a.txt"} <= set(files_of(workshop))
    assert (workshop.root / "two.a.txt").read_text() == "two.a\n"


def test_a_bare_repository_takes_plan_and_settings_from_outside(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = Workshop(tmp_path / "shop.git")
    workshop.git("clone", "-q", "--bare", str(workshop.root), str(bare.root))
    workshop.plan(epic("one", task("one.a", verify=["test -s one.a.txt"])), epic("two", task("two.a")))
    monkeypatch.setenv("YOKE_AGENTS__DEFAULT", "shell")
    done = bare.yoke("run", "--plan", str(workshop.root / "plan.yaml"))
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    assert files_of(bare) == [".gitignore", "README.md", "one.a.txt", "two.a.txt"]
    assert bare.git("rev-list", "--count", "--first-parent", "main") == "3"
    assert bare.branches() == ["main"]
    assert bare.git("worktree", "list", "--porcelain").count("worktree ") == 1
    assert not (bare.root / ".worktrees").exists()
    assert not (bare.root / "README.md").exists()


async def test_submodules_are_there_for_the_agent(workshop: Workshop, tmp_path: Path) -> None:
    library = Workshop(tmp_path / "library")
    workshop.git("init", "-q", "-b", "main", str(library.root))
    library.write("lib.txt", "from the library\n")
    library.commit("Library")
    workshop.git("config", "--global", "protocol.file.allow", "always")
    workshop.git("submodule", "--quiet", "add", str(library.root), "lib")
    workshop.commit("Take the library in")
    pinned = workshop.git("rev-parse", "HEAD:lib")
    workshop.plan(epic("one", task("one.a", "cat lib/lib.txt > copy.txt", verify=["test -s lib/lib.txt"])))
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, (report.failed, report.waiting)
    assert (workshop.root / "copy.txt").read_text() == "from the library\n"
    assert workshop.git("rev-parse", "HEAD:lib") == pinned
    assert workshop.git("status", "--porcelain") == ""
    workshop.assert_tidy()


async def test_a_sparse_checkout_stays_sparse_and_loses_nothing(workshop: Workshop) -> None:
    workshop.write("src/app.txt", "app\n")
    workshop.write("docs/guide.txt", "guide\n")
    workshop.commit("Folders")
    workshop.git("sparse-checkout", "set", "src")
    workshop.plan(epic("one", task("one.a", "cat src/app.txt > src/copy.txt"), task("one.b")))
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert {"docs/guide.txt", "src/app.txt", "src/copy.txt", "one.b.txt"} <= set(files_of(workshop))
    assert (workshop.root / "src/copy.txt").read_text() == "app\n"
    assert not (workshop.root / "docs").exists()
    assert workshop.git("status", "--porcelain") == ""
    assert workshop.git("sparse-checkout", "list") == "src"


async def test_a_shallow_clone_lands_two_epics(workshop: Workshop, tmp_path: Path) -> None:
    for number in range(3):
        workshop.write("README.md", f"{number}\n")
        workshop.commit(f"Change {number}")
    root = tmp_path / "shallow"
    workshop.git("clone", "-q", "--depth=1", f"file://{workshop.root}", str(root))
    shop = settings_of(root)
    shop.plan(epic("one", task("one.a")), epic("two", task("two.a")))
    report = await shop.run()
    assert report.exit_code is ExitCode.OK, (report.failed, report.waiting)
    assert {"one.a.txt", "two.a.txt"} <= set(files_of(shop))
    assert (root / ".git/shallow").exists()
    assert shop.git("rev-list", "--count", "--first-parent", "main") == "3"
    shop.assert_tidy()


async def test_odd_characters_everywhere_they_are_allowed(workshop: Workshop, tmp_path: Path) -> None:
    root = tmp_path / 'Jürgen\'s "shop" 店 $HOME `id`; %s #1'
    workshop.git("clone", "-q", str(workshop.root), str(root))
    shop = settings_of(root)
    title = 'Größe "5\'" $(touch owned) `touch owned` %s {task} 日本 🎉 \\n -- --amend'
    first = task("0.A_b-c", title=title, files=["src/ä ö/*.txt"])
    first["run"] = "mkdir -p 'src/ä ö' && echo 'ü \"' > 'src/ä ö/naïve file.txt'"
    second = task("z--9.x_", "cat src/*/*.txt > 'zwei '", verify=["test -e 'zwei '"], depends_on=["0.A_b-c"])
    shop.plan({"id": "E_1.x-y", "title": title, "tasks": [first, second]})
    report = await shop.run()
    assert report.exit_code is ExitCode.OK, (report.failed, report.waiting)
    assert {"src/ä ö/naïve file.txt", "zwei "} <= set(files_of(shop))
    assert shop.git("log", "-1", "--format=%s", "main") == f"Land E_1.x-y: {title}"
    assert trailers(shop, "main", "Yoke-Epic") == ["E_1.x-y"]
    assert trailers(shop, "main^2^", "Yoke-Task") == ["0.A_b-c"]
    assert not list(tmp_path.rglob("owned"))
    titles = {item["id"]: item["title"] for item in (await shop.status())["items"]}
    assert titles["0.A_b-c"] == title
    shop.assert_tidy()


async def run_from(folder: Path) -> ExitCode:
    """`yoke run` started in a folder."""
    project = await Project.open(folder)
    report = await Run(project, project.load_plan(), RunOptions(), lambda _event: None).execute()
    return report.exit_code


async def test_it_can_be_started_in_a_subfolder(workshop: Workshop) -> None:
    workshop.write("src/deep/app.txt", "app\n")
    workshop.commit("Folders")
    workshop.plan(epic("one", task("one.a")))
    assert await run_from(workshop.root / "src" / "deep") is ExitCode.OK
    assert (workshop.root / "one.a.txt").exists()
    workshop.assert_tidy()


async def test_it_can_be_started_in_a_worktree_of_the_user(workshop: Workshop, tmp_path: Path) -> None:
    """It is the same project: settings, plan and target are those of the main checkout."""
    mine = tmp_path / "my worktree"
    workshop.git("worktree", "add", "-q", "-b", "mine", str(mine))
    workshop.plan(epic("one", task("one.a")))
    before = workshop.git("rev-parse", "mine")
    assert await run_from(mine) is ExitCode.OK
    assert (workshop.root / "one.a.txt").exists()
    assert workshop.git("rev-parse", "mine") == before
    assert workshop.git("status", "--porcelain", cwd=mine) == ""
    assert await workshop.states() == {"one": "completed", "one.a": "completed"}
    assert workshop.branches() == ["main", "mine"]


@pytest.mark.parametrize("strategy", ["merge", "squash"])
async def test_hooks_of_the_user_that_refuse_everything_stop_nothing(
    workshop: Workshop, strategy: str
) -> None:
    called = workshop.root.parent / "called"
    names = "pre-commit prepare-commit-msg commit-msg pre-merge-commit post-checkout post-merge post-commit"
    for name in names.split():
        hook = workshop.root / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho {name} >> {called}\nexit 1\n")
        hook.chmod(0o755)
    workshop.config(parallel={"merge_strategy": strategy})
    workshop.plan(
        epic("one", task("one.a")), epic("two", task("two.a", "cat one.a.txt > 2"), depends_on=["one"])
    )
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, (report.failed, report.waiting)
    assert (workshop.root / "2").read_text() == "one.a\n"
    workshop.assert_tidy()


async def test_signing_is_not_asked_of_an_unattended_run(workshop: Workshop) -> None:
    workshop.git("config", "commit.gpgsign", "true")
    workshop.git("config", "tag.gpgsign", "true")
    workshop.git("config", "gpg.program", "false")
    workshop.plan(epic("one", task("one.a"), task("one.b")), epic("two", task("two.a")))
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, (report.failed, report.waiting)
    assert len(report.landed) == 2


async def test_without_an_identity_yokeflow_signs_for_itself(workshop: Workshop, git_home: Path) -> None:
    (git_home / ".gitconfig").write_text("[user]\n\tuseConfigOnly = true\n")
    workshop.git("config", "--unset", "user.name")
    workshop.git("config", "--unset", "user.email")
    start = workshop.git("rev-parse", "HEAD")
    workshop.plan(epic("one", task("one.a")), epic("two", task("two.a")))
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, (report.failed, report.waiting)
    people = workshop.git("log", "--format=%an <%ae> %cn", f"{start}..main").splitlines()
    assert len(people) == 4
    assert set(people) == {"YokeFlow <yoke@localhost> YokeFlow"}


async def test_a_symbolic_link_leads_to_the_same_project(workshop: Workshop, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(workshop.root)
    workshop.plan(epic("one", task("one.a")))
    assert await run_from(link) is ExitCode.OK
    assert await workshop.states() == {"one": "completed", "one.a": "completed"}
    workshop.assert_tidy()


async def test_names_of_files_that_break_scripts(workshop: Workshop) -> None:
    names = ["$(printf 'new\\nline')", "-rf", " lead", "$(printf 'bad\\377')", ":(top)x", "a\\b", "*?[x]"]
    make = "; ".join(f'printf x > "./{name}"' for name in names)
    links = "mkdir -p a/b empty; ln -s ../.. a/b/up; ln -s /nowhere dangling; mkfifo pipe; chmod +x ./-rf"
    workshop.plan(
        epic("one", task("one.a", f"{make}; {links}"), task("one.b")),
        epic("two", task("two.a", "test -x ./-rf && test -L a/b/up && echo 2 > two"), depends_on=["one"]),
    )
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, (report.failed, report.waiting)
    assert len(workshop.git("ls-tree", "--name-only", "main").splitlines()) == 13
    assert workshop.git("status", "--porcelain") == ""
    workshop.assert_tidy()


async def test_filters_and_line_ends_come_out_as_they_went_in(workshop: Workshop) -> None:
    workshop.write(".gitattributes", "*.txt text eol=crlf\n*.rot filter=rot\n")
    for way in ("clean", "smudge"):
        workshop.git("config", f"filter.rot.{way}", "tr a-z n-za-m")
    workshop.git("config", "filter.rot.required", "true")
    workshop.commit("Attributes")
    workshop.plan(
        epic("one", task("one.a", "printf 'hello\\n' > a.txt; printf hello > b.rot")),
        epic("two", task("two.a", "cat b.rot > two"), depends_on=["one"]),
    )
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, (report.failed, report.waiting)
    assert (workshop.root / "two").read_text() == (workshop.root / "b.rot").read_text() == "hello"
    assert (workshop.root / "a.txt").read_bytes() == b"hello\r\n"
    assert workshop.git("cat-file", "-p", "main:b.rot") == "uryyb"
    assert workshop.git("status", "--porcelain") == ""


async def test_settings_that_change_what_git_does_and_prints(workshop: Workshop) -> None:
    for setting in ODD_SETTINGS:
        workshop.git("config", *setting.split("="))
    workshop.plan(
        epic("one", task("one.a", title="; no comment"), task("one.b")),
        epic("two", task("two.a", "cat one.a.txt > two"), depends_on=["one"]),
    )
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, (report.failed, report.waiting)
    assert (workshop.root / "two").read_text() == "one.a\n"
    for setting in ODD_SETTINGS:
        workshop.git("config", "--unset", setting.split("=")[0])
    assert workshop.git("log", "-1", "--format=%s", "main~1^2^") == "; no comment"
    assert trailers(workshop, "main~1^2^", "Yoke-Task") == ["one.a"]
    assert trailers(workshop, "main", "Yoke-Epic") == ["two"]
    workshop.assert_tidy()


async def test_a_merge_in_progress_is_not_disturbed(workshop: Workshop) -> None:
    workshop.git("switch", "-qc", "other")
    workshop.write("same", "theirs\n")
    workshop.commit("Theirs")
    workshop.git("switch", "-q", "main")
    workshop.write("same", "ours\n")
    workshop.commit("Ours")
    with pytest.raises(subprocess.CalledProcessError):
        workshop.git("merge", "-q", "other")
    before = workshop.git("status", "--porcelain"), workshop.git("rev-parse", "main", "MERGE_HEAD")
    workshop.plan(epic("one", task("one.a")))
    report = await workshop.run()
    assert [(waiting.kind, waiting.item) for waiting in report.waiting] == [("checkout", "one")]
    assert (workshop.git("status", "--porcelain"), workshop.git("rev-parse", "main", "MERGE_HEAD")) == before
    workshop.git("merge", "--abort")
    assert (await workshop.run(land=("one",))).exit_code is ExitCode.OK
    workshop.assert_tidy()


@pytest.mark.slow
async def test_fifty_epics_at_once(workshop: Workshop) -> None:
    """Every session waits until all fifty are there, so fewer at once would never end."""
    meet = workshop.root.parent / "meet"
    meet.mkdir()
    wait = f"touch {meet}/$YOKE_TASK; until set -- {meet}/*; [ $# -ge 50 ]; do sleep 0.2; done"
    workshop.config(parallel={"max_concurrency": 50}, agents={"max_attempts": 1})
    workshop.plan(
        *(epic(f"e{n}", task(f"e{n}.t", f"{wait}; echo {n} > {n}.txt", timeout="60s")) for n in range(50))
    )
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, (report.failed, report.waiting)
    assert workshop.git("rev-list", "--count", "--first-parent", "main") == "51"
    assert len([name for name in files_of(workshop) if name[0].isdigit()]) == 50
    workshop.assert_tidy()
