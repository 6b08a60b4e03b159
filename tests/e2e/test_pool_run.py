"""Runs that use the worktree pool."""

from __future__ import annotations

import json
import subprocess

from tests.e2e.conftest import Workshop, epic, task

#: Says by the number of lines in HEAD's log whether the worktree came from the pool: one; else two.
_TELL = "wc -l < $(git rev-parse --git-dir)/logs/HEAD | tr -d ' '"
#: Leaves what must not be there in the next lane.
_LITTER = "test ! -e cache.log && echo 1 > cache.log && git config user.nickname x"
#: Which file on disk that is, and what is left there of others.
_FOUND = "{{ ls -i src/part1/file1.txt; ls stray.txt x.log; }} > {0}.txt 2> /dev/null; echo 1 > x.log"
#: Lets nothing be written in the pool before the first epic has landed and its lane is gone.
_HOLD = """case $PWD in */.pool/*)
for n in $(seq 300); do
test ! -e ../../e0 && git cat-file -e main:e0.txt && break; sleep 0.1
done 2> /dev/null
esac; cat"""


def waiting(count: int) -> str:
    """A command that ends once so many worktrees wait at the tip of main, on which the first epic is."""
    return (
        "G=$(git rev-parse --git-common-dir)/worktrees; N=0;"
        f"until test $N = {count} && git cat-file -e main:e0.txt; do sleep 0.1; N=0;"
        "for D in $G/*; do test -e $D/yoke-lane && grep -q /.pool/ $D/gitdir &&"
        # The pool writes the one once git is through with the other, which takes its time.
        'test -z "$(find $D/HEAD -newer $D/yoke-lane)" &&'
        "grep -qx $(git rev-parse main) $D/HEAD && N=$((N+1)); done 2> /dev/null; done; true"
    )


def large(workshop: Workshop, **more: str) -> None:
    """As many files as it takes to have a pool, committed without writing each of them twice."""
    names = {f"src/part{number % 10}/file{number}.txt": f"{number}\n" for number in range(1000)}
    names |= {".gitignore": "plan.yaml\n.yokeflow.yaml\n*.log\n", **more}
    stream = "commit refs/heads/main\ncommitter Ada <ada@example.com> now\ndata 10\nMany files\nfrom main^0\n"
    stream += "".join(f"M 100644 inline {name}\ndata {len(text)}\n{text}\n" for name, text in names.items())
    command = ["git", "fast-import", "--quiet", "--date-format=now"]
    subprocess.run(command, cwd=workshop.root, input=stream, encoding="utf-8", check=True)
    workshop.git("reset", "-q", "--hard")


async def test_epics_get_worktrees_from_the_pool_and_nothing_of_those_before(workshop: Workshop) -> None:
    large(workshop)
    names = ["e0", "e1", "e2"]
    waits = {"e0": "true", "e1": waiting(1), "e2": "true"}
    work = f"{_LITTER} && {_TELL} > {{0}}.txt && echo {{0}} > src/part1/{{0}}.txt"
    workshop.plan(*(epic(name, task(f"{name}.t", f"{work.format(name)}; {waits[name]}")) for name in names))
    workshop.config(parallel={"max_concurrency": 1})
    report = await workshop.run()
    assert report.state == "completed"
    logs = {name: (workshop.root / f"{name}.txt").read_text().strip() for name in names}
    assert (logs["e0"], logs["e2"]) == ("2", "1")
    assert workshop.git("show", "-s", "--format=%P", "HEAD").count(" ") == 1
    workshop.assert_tidy()
    assert not workshop.git("for-each-ref", "refs/yoke/keep/")
    created = {event["lane"]: event["path"] for event in workshop.of("worktree.created")}
    assert created == {name: str(workshop.root / ".worktrees" / name) for name in names}


async def test_without_a_pool_every_worktree_is_made_by_git(workshop: Workshop) -> None:
    large(workshop)
    names = ["e0", "e1", "e2"]
    workshop.plan(*(epic(name, task(f"{name}.t", f"{_TELL} > {name}.txt")) for name in names))
    workshop.config(parallel={"max_concurrency": 1, "pool": 0})
    await workshop.run()
    assert {(workshop.root / f"{name}.txt").read_text().strip() for name in names} == {"2"}
    workshop.assert_tidy()


async def test_uncommitted_work_is_kept_before_the_next_epic_gets_the_files(workshop: Workshop) -> None:
    """Here a check of its landing writes into the lane of an epic."""
    large(workshop, **{".gitattributes": "README.md filter=hold\n"})
    workshop.git("config", "filter.hold.smudge", _HOLD)
    # Two wait: a new one, which the filter holds up, and one of the files of `e0`.
    waits = {"e0": "true", "e1": waiting(2), "e2": "true", "e3": "true"}
    workshop.plan(
        *(epic(name, task(f"{name}.t", f"{_FOUND.format(name)}; {wait}")) for name, wait in waits.items())
    )
    stray = workshop.root / ".worktrees" / "e0" / "stray.txt"
    landing = f"test ! -d {stray.parent} || echo precious > {stray}"
    workshop.config(parallel={"max_concurrency": 1}, checks={"landing": [landing]})
    report = await workshop.run()
    assert report.state == "completed"
    [kept] = workshop.git("for-each-ref", "--format=%(refname)", "refs/yoke/keep/").split()
    assert kept.startswith("refs/yoke/keep/lane/e0/")
    assert workshop.git("diff", "--name-only", f"{kept}^", kept).split() == ["stray.txt"]
    assert workshop.git("show", f"{kept}:stray.txt") == "precious"
    found = {name: (workshop.root / f"{name}.txt").read_text().splitlines() for name in waits}
    # The same file on disk, and nothing else of what was there.
    assert found["e2"] == found["e0"]
    assert {len(lines) for lines in found.values()} == {1}
    workshop.assert_tidy()


async def test_a_run_that_is_killed_leaves_no_pool_to_the_next(workshop: Workshop) -> None:
    large(workshop)
    workshop.plan(
        epic("e0", task("e0.t", "echo 0 > e0.txt")),
        epic("e1", task("e1.t", "sleep 1; echo 1 > e1.txt")),
        epic("e2", task("e2.t")),
        epic("e3", task("e3.t")),
    )
    workshop.config(parallel={"max_concurrency": 1})
    process = workshop.start("run", "--json")
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["type"] == "worktree.created" and event["lane"] == "e1":
            break
    process.kill()
    process.communicate()
    report = await workshop.run()
    assert report.state == "completed"
    workshop.assert_tidy()
    assert not workshop.git("for-each-ref", "refs/yoke/keep/lane/")
