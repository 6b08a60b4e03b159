"""What a resolution of a conflict drops of either side's work beside the conflict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.git.conftest import commit, run, write
from yokeflow.engine.conflicts.hunks import Dropped, Hunk, find_dropped, missing, name_places, parse

if TYPE_CHECKING:
    from pathlib import Path

    from yokeflow.git.repo import Repo

NAMES = [
    *("one", "two", "three", "four", "five", "six", "seven"),
    *("eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen"),
]
#: Both change line 2; ours line 5 and the end, theirs a line after 9, and not 12 any more.
OURS = {2: "two, ours", 5: "five, ours", 14: "fourteen\nthe end, ours"}
THEIRS = {2: "two, theirs", 9: "nine\nand a half, theirs", 12: None}


def text(*changes: dict[int, str | None] | dict[int, str]) -> str:
    lines: dict[int, str | None] = dict(enumerate(NAMES, 1))
    for change in changes:
        lines.update(change)
    return "".join(f"{line}\n" for line in lines.values() if line is not None)


def without(side: dict[int, str | None] | dict[int, str], line: int) -> dict[int, str | None]:
    return {at: said for at, said in side.items() if at != line}


async def dropped(
    repo: Repo,
    result: str | bytes | None,
    *,
    base: str = text(),
    ours: str = text(OURS),
    theirs: str = text(THEIRS),
) -> Dropped:
    """Of the file `f`, resolved like this; None removes it."""
    root: Path = repo.root
    start = commit(root, "base", f=base)
    mine = commit(root, "ours", f=ours)
    run(root, "checkout", "-q", "--detach", start)
    other = commit(root, "theirs", f=theirs)
    if result is None:
        run(root, "rm", "-q", "f")
    elif isinstance(result, bytes):
        (root / "f").write_bytes(result)
    else:
        write(root, {"f": result})
    run(root, "commit", "-q", "--allow-empty", "-am", "result")
    return await find_dropped(repo, mine, other, run(root, "rev-parse", "HEAD").strip())


BOTH = {**THEIRS, **OURS, 2: "two, both"}

#: A result, and the lines that are missing of ours and of theirs.
RESULTS = {
    "the whole of theirs": (text(THEIRS), [5, 15], []),
    "the whole of ours": (text(OURS), [], [10, 13]),
    "what both started from": (text(), [5, 15], [10, 13]),
    "both": (text(BOTH), [], []),
    "one side's lines in the conflict alone": (text({**BOTH, 2: "two, theirs"}), [], []),
    "the conflict left out": (text({**BOTH, 2: None}), [], []),
    "a changed line as before": (text(without(BOTH, 5)), [5], []),
    "an added line gone": (text(without(BOTH, 9)), [], [10]),
    "a removed line back": (text(without(BOTH, 12)), [], [13]),
    "a line put otherwise": (text({**BOTH, 5: "five, both"}), [], []),
    "a line gone altogether": (text({**BOTH, 5: None}), [], []),
    "a line in another place": (text({**without(BOTH, 9), 2: "two, both\n  and a half,  theirs"}), [], []),
    "neighbours put otherwise": (text({**BOTH, 1: "  one", 3: "  three", 4: "  four"}), [], []),
    "everything indented": ("".join(f"  {line}\n" for line in text(BOTH).splitlines()), [], []),
    "a line of one side as before, and everything else new": (
        text({**{at: f"new {at}" for at in range(1, 15)}, 4: "four", 5: "five", 6: "six"}),
        [5],
        [],
    ),
    "no file": (None, [], []),
    "a binary": (b"\0\1", [], []),
}


@pytest.mark.parametrize("name", RESULTS)
async def test_what_a_result_drops(repo: Repo, name: str) -> None:
    result, ours, theirs = RESULTS[name]
    expected = Dropped({"f": ours} if ours else {}, {"f": theirs} if theirs else {})
    assert await dropped(repo, result) == expected


async def test_a_line_that_the_other_side_adds_as_well_is_no_trace_of_it(repo: Repo) -> None:
    """The other side's whole file has such a line, which is not this one."""
    ours = text({2: "two, ours", 9: "nine\n    return None"})
    theirs = text({2: "two, theirs\n    return None"})
    found = await dropped(repo, theirs, ours=ours, theirs=theirs)
    assert found == Dropped({"f": [10]}, {})


async def test_lines_among_their_likes_are_found_wherever_a_comparison_puts_them(repo: Repo) -> None:
    """One more of many blocks that end alike."""
    block = "def {}():\n    pass\n\n"
    base = "x = 0\n\n" + "".join(block.format(name) for name in "abc")
    ours = base.replace("x = 0", "x = 1").replace(block.format("b"), block.format("b") + block.format("new"))
    theirs = base.replace("x = 0", "x = 2")
    kept = ours.replace("x = 1", "x = 3\ny = 4")
    assert await dropped(repo, kept, base=base, ours=ours, theirs=theirs) == Dropped({}, {})
    lost = await dropped(repo, theirs, base=base, ours=ours, theirs=theirs)
    assert list(lost.ours) == ["f"]


async def test_more_files_than_one_are_told_apart(repo: Repo) -> None:
    root = repo.root
    names = ["a b", "ü\nü", "z"]
    start = commit(root, "base", **dict.fromkeys(names, text()))
    ours = commit(root, "ours", **dict.fromkeys(names, text(OURS)))
    run(root, "checkout", "-q", "--detach", start)
    theirs = commit(root, "theirs", **dict.fromkeys(names, text(THEIRS)))
    result = commit(root, "result", **{"a b": text(BOTH), "ü\nü": text(THEIRS), "z": text(OURS)})
    found = await find_dropped(repo, ours, theirs, result)
    assert found == Dropped({"ü\nü": [5, 15]}, {"z": [10, 13]})


async def test_where_a_file_was_renamed_it_is_compared_under_its_new_name(repo: Repo) -> None:
    root = repo.root
    start = commit(root, "base", f=text())
    run(root, "mv", "f", "g")
    ours = commit(root, "ours", g=text(OURS))
    run(root, "checkout", "-q", "--detach", start)
    theirs = commit(root, "theirs", f=text(THEIRS))
    run(root, "mv", "f", "g")
    result = commit(root, "result", g=text(THEIRS))
    assert await find_dropped(repo, ours, theirs, result) == Dropped({"g": [5, 15]}, {})


async def test_what_git_may_not_merge_by_lines_may_be_taken_from_one_side(repo: Repo) -> None:
    commit(repo.root, "attributes", **{".gitattributes": "f -merge\n"})
    assert await dropped(repo, text(THEIRS)) == Dropped({}, {})


async def test_what_a_side_removed_or_both_added_is_passed_over(repo: Repo) -> None:
    root = repo.root
    start = commit(root, "base", f=text())
    run(root, "rm", "-q", "f")
    ours = commit(root, "ours", g=text(OURS))
    run(root, "checkout", "-q", "--detach", start)
    theirs = commit(root, "theirs", f=text(THEIRS), g=text(THEIRS))
    result = commit(root, "result", f=text(), g=text())
    assert await find_dropped(repo, ours, theirs, result) == Dropped({}, {})


def test_a_patch_is_read_into_ranges_of_lines() -> None:
    patch = (
        b"diff --git a/0 b/0\nindex 1..2 100644\n--- a/0\n+++ b/0\n"
        b"@@ -3 +3,2 @@ diff\n-old\n+@@ -1 +1 @@\n+ a\tb\r\n"
        b"@@ -7,2 +8,0 @@\n-x\n-+y\n"
        b"diff --git a/12 b/12\nindex 3..4 100644\n--- a/12\n+++ b/12\n@@ -0,0 +1 @@\n+new\n"
        b"\\ No newline at end of file\n"
    )
    assert parse(patch) == {
        0: [Hunk(2, 3, 2, 4, (b"@@-1+1@@", b"ab")), Hunk(6, 8, 8, 8)],
        12: [Hunk(0, 0, 0, 1, (b"new",))],
    }


def test_changes_next_to_each_other_are_in_conflict_as_they_are_for_git() -> None:
    mine, undone = Hunk(4, 5, 4, 5, (b"mine",)), [Hunk(4, 5, 4, 5, (b"base",))]
    for other, expected in ((5, []), (6, [5])):
        assert missing([mine], [Hunk(other, 7, other, 7, (b"x",))], [], undone) == expected


def test_a_person_is_told_some_of_the_places() -> None:
    assert name_places({"b": [3], "a": [1, 2]}) == "a (lines 1, 2), b (line 3)"
    assert name_places({"a": list(range(1, 8))}) == "a (lines 1, 2, 3, 4, 5 and 2 more)"
    many = name_places({str(number): [1] for number in range(7)})
    assert many.endswith("4 (line 1) and 2 more files")
