"""Git refuses an agent what only landings may do, and nobody else anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.errors import ExitCode
from yokeflow.git.hooks import Hooks
from yokeflow.git.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

#: What an agent begins with: a commit on its branch, and one that is on none.
BEGINS = (
    "set -e",
    "echo bad > bad; git add bad; git commit -qm bad",
    'made=$(git commit-tree -p HEAD -m untested "HEAD^{tree}")',
    "main=$(git rev-parse refs/heads/main)",
)
#: And ends with: nothing of that.
ENDS = ("git rm -q bad", "echo good > one.a.txt")


def refused(*ways: str, of: str = "main", branch: str = "epic/one") -> str:
    """What an agent on `branch` does that tries all of these, each of which has to be refused."""
    said = f"yoke: a session does not move {of}: commit on your branch {branch}, and it lands once"
    tries = [
        f'if {way} 2>../heard; then exit 9; fi; grep -qF "{said}" ../heard || {{ cat ../heard; exit 1; }}'
        '; test "$(git rev-parse refs/heads/main)" = "$main"'
        for way in ways
    ]
    return "; ".join((*BEGINS, *tries, f"git switch -q {branch}", *ENDS))


async def run(workshop: Workshop) -> None:
    """Everything is done, and the target has nothing but what landed."""
    before = workshop.git("rev-parse", "main")
    report = await workshop.run()
    outputs = [event.get("output") for event in workshop.of("session.finished")]
    assert (report.failed, report.exit_code) == ({}, ExitCode.OK), outputs
    landed = workshop.git("log", "--first-parent", "--reverse", "--format=%H", f"{before}..main").split()
    assert landed == [entry.commit for entry in report.landed]


@pytest.fixture
def shop(workshop: Workshop) -> Workshop:
    workshop.config(
        agents={"max_attempts": 1}, checks={"landing": ["test ! -e bad"]}, project={"target": "main"}
    )
    return workshop


@pytest.mark.parametrize("installed", [False, True], ids=["session", "installed"])
async def test_an_agent_is_refused_the_target(shop: Workshop, *, installed: bool) -> None:
    if installed:
        await Hooks((await shop.project()).repo).install()
    shop.write("edited.txt", "committed\n")
    shop.commit()
    shop.write("edited.txt", "a person is at it\n")
    ways = (
        "git update-ref refs/heads/main HEAD",
        'git update-ref refs/heads/main "$made"',
        'git update-ref -d refs/heads/main "$main"',
        'git pack-refs --all && git update-ref -d refs/heads/main "$main"',
        "git branch -m main other",
        "git -C ../.. merge -q --ff-only epic/one",
        "git -C ../.. pull -q . epic/one",
        "git -C ../.. commit -q --allow-empty -m untested",
    )
    shop.plan(epic("one", task("one.a", refused(*ways))))
    await run(shop)
    assert shop.git("status", "--porcelain") == " M edited.txt"


async def test_also_where_nobody_has_it_checked_out(shop: Workshop) -> None:
    """Else git itself refuses most of these."""
    shop.git("switch", "-q", "-c", "mine")
    ways = (
        "git branch -q -f main HEAD",
        "git push -q . HEAD:main",
        'git push -q "file://$(cd ../.. && pwd)" HEAD:refs/heads/main',
        "git fetch -q . +HEAD:main",
        "git checkout -q -B main",
        "{ git switch -q main; git merge -q epic/one; }",
    )
    shop.plan(epic("one", task("one.a", refused(*ways))))
    await run(shop)
    assert sorted(shop.branches()) == ["main", "mine"]


async def test_what_a_reset_leaves_in_the_checkout_of_the_target_is_put_back_before_another_lands(
    shop: Workshop,
) -> None:
    """Git moves the files first, and the branch, which is refused, after that."""
    shop.write("edited.txt", "committed\n")
    shop.commit()
    shop.write("edited.txt", "a person is at it\n")
    way = "{ git -C ../.. read-tree -m -u HEAD epic/one && git -C ../.. reset -q --soft epic/one; }"
    left = "test -e ../../bad; touch ../go; while ! test -e ../../other.txt; do sleep 0.05; done"
    shop.plan(
        epic("one", task("one.a", f"{refused(way)}; {left}")),
        epic("other", task("other.a", "while ! test -e ../go; do sleep 0.05; done; echo o > other.txt")),
    )
    await run(shop)
    assert shop.git("status", "--porcelain") == " M edited.txt"


@pytest.mark.parametrize(
    ("strategy", "own", "others"),
    [
        ("by_epic", "epic/one", "epic/two"),
        ("by_epic", "epic/one", "refs/yoke/keep/squashed/two"),
        ("by_task", "lane/one.a", "epic/one"),
        ("by_task", "lane/one.a", "lane/two.a"),
    ],
)
async def test_an_agent_is_refused_what_is_of_others(
    shop: Workshop, strategy: str, own: str, others: str
) -> None:
    shop.config(agents={"max_attempts": 1}, parallel={"strategy": strategy})
    ref = others if others.startswith("refs/") else f"refs/heads/{others}"
    script = refused(f"git update-ref {ref} HEAD", f"git push -q . HEAD:{ref}", of=others, branch=own)
    shop.plan(epic("one", task("one.a", script)), epic("two", task("two.a"), depends_on=["one"]))
    await run(shop)
    assert not shop.git("for-each-ref", "refs/yoke/keep/squashed/")
    assert shop.branches() == ["main"]


@pytest.mark.parametrize("strategy", ["by_epic", "by_task"])
async def test_an_agent_may_do_all_else_with_git(shop: Workshop, tmp_path: Path, strategy: str) -> None:
    shop.git("init", "-q", "--bare", "-b", "main", str(tmp_path / "elsewhere"))
    shop.git("remote", "add", "elsewhere", str(tmp_path / "elsewhere"))
    deeds = [
        "set -e",
        "echo 1 > f; git add f; git commit -qm one; echo 2 > f; git commit -qam two",
        "git rebase -q --force-rebase HEAD~1; git commit -q --amend -m again; git reset -q --soft HEAD~1",
        "git stash -q; git stash pop -q --index; git commit -qm two",
        "git tag mine; git tag -d mine >/dev/null",
        "git branch epic/mine; git switch -q -c mine; git commit -q --allow-empty -m three; git switch -q -",
        "git merge -q mine; git branch -q -D mine epic/mine; git pack-refs --all; ! git gc -q --prune=now",
        "git worktree add -q --detach ../extra; git worktree remove ../extra",
        "git push -q elsewhere HEAD:main; git fetch -q elsewhere",
        "git push -q . HEAD:side; git branch -q -D side",
    ]
    shop.config(agents={"max_attempts": 1}, parallel={"strategy": strategy})
    shop.plan(epic("one", task("one.a", "; ".join(deeds)), task("one.b")), epic("two", task("two.a")))
    await run(shop)
    shop.assert_tidy()


async def test_hooks_that_are_installed_note_a_sessions_commit_once(shop: Workshop) -> None:
    repo = (await shop.project()).repo
    await Hooks(repo).install()
    note = "git commit -q --allow-empty -m one; cat ../../.git/yoke/spool > seen"
    shop.plan(epic("one", task("one.a", f"{note}; git log -1 --format=%B > message")))
    with Spool(repo.state_dir).held() as alone:
        assert alone, "else the run may read it before the session does"
        await run(shop)
    assert (shop.root / "seen").read_text().count("post-commit") == 1
    assert (shop.root / "message").read_text().count("Yoke-Task: one.a") == 1
