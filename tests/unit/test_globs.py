from __future__ import annotations

import re
from fnmatch import translate
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yokeflow.globs import covers, entangled, fault, overlaps, within
from yokeflow.globs import owns as globs_own

NAMES = ["".join(chars) for size in (1, 2) for chars in product("ab", repeat=size)]
PATHS = [*NAMES, *("/".join(pair) for pair in product(NAMES, repeat=2)), "a/a/a", "a/b/a", "b/b/b", "b/a/ab"]

names = st.one_of(
    st.sampled_from(
        ["a", "b", "ab", "*", "?", "a*", "*b", "?b", "[ab]", "[!a]", "[a-b]*", "**", "*a*", "[]a]"]
    )
)
patterns = st.tuples(st.lists(names, min_size=1, max_size=3), st.sampled_from(["", "/"])).map(
    lambda parts: "/".join(parts[0]) + parts[1]
)


def owns(pattern: str, path: str) -> bool:
    """Expansion as a reader would do it: by folder, `**` for any folders, everything below what matches."""
    return matches(pattern.rstrip("/").split("/"), path.split("/"))


def matches(pattern: list[str], path: list[str]) -> bool:
    if not pattern:
        return True  # no name here has a suffix, so each can be a folder
    if pattern[0] == "**":
        return any(matches(pattern[1:], path[skip:]) for skip in range(len(path) + 1))
    return bool(path) and bool(re.match(translate(pattern[0]), path[0])) and matches(pattern[1:], path[1:])


@given(patterns, patterns)
def test_never_denies_a_common_path(first: str, second: str) -> None:
    common = [path for path in PATHS if owns(first, path) and owns(second, path)]
    if common:
        assert overlaps([first], [second]), common


@given(patterns, patterns)
def test_is_symmetric(first: str, second: str) -> None:
    assert overlaps([first], [second]) == overlaps([second], [first])


plain = st.lists(st.sampled_from(["a", "b", "ab", "?", "a?", "?b", "*", "[ab]"]), min_size=1, max_size=3).map(
    "/".join
)


@given(plain, plain)
def test_is_exact_where_every_name_can_be_tried(first: str, second: str) -> None:
    deep = ["/".join(parts) for parts in product(NAMES, repeat=3)]
    assert overlaps([first], [second]) == any(owns(first, path) and owns(second, path) for path in deep)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("src/a.py", "src/a.py", True),
        ("src/a.py", "src/b.py", False),
        ("src/a.py", "src/a.pyi", False),
        ("src/", "src/deep/a.py", True),
        ("src", "src/deep/a.py", True),
        ("src", "srcs/a.py", False),
        ("./src/a.py", "src//a.py", True),
        ("src/*.py", "src/a.py", True),
        ("src/*.py", "docs/a.py", False),
        ("src/*.py", "src/a.txt", False),
        ("src/**/a.py", "src/a.py", True),
        ("src/**/*.py", "src/x/y/z.md", False),
        ("**/*.md", "docs/**", True),
        ("**/test_*.py", "src/*.py", True),
        ("app/[id]/page.tsx", "app/[id]/page.tsx", True),
        ("v[0-4].sql", "v[5-9].sql", False),
        ("v[0-5].sql", "v[5-9].sql", True),
        ("a[", "a[", True),
        ("a[", "ab", False),
        ("src/**/*.py", "src/*.md", False),
        ("src/*", "src/x/y.py", True),
        ("docs.md/", "docs.md/a", True),
        ("docs.md", "docs.md/a", False),
        (".github", ".github/ci.yml", True),
        ("a.py", "**", True),
        (".", "a/b.py", True),
        ("**", "anything/at/all", True),
    ],
)
def test_answers(first: str, second: str, expected: bool) -> None:
    assert overlaps([first], [second]) is expected
    assert overlaps([second], [first]) is expected


@pytest.mark.parametrize(
    "odd", ["src/{a,b}.py", r"src/\*.py", "src/x**", "src/[!a-z].py", "src/[a-\U0010ffff].py"]
)
def test_odd_patterns_say_yes_rather_than_no(odd: str) -> None:
    assert overlaps([odd], ["src/ß.py" if "[" in odd else "src/xa.py"])


def test_any_pair_is_enough_and_nothing_overlaps_nothing() -> None:
    assert overlaps(["docs/a.md", "src/a.py"], iter(["lib/**", "src/*"]))
    assert not overlaps([], ["**"])


@given(st.dictionaries(st.sampled_from("pqrst"), st.lists(patterns, max_size=2), max_size=4))
def test_entangled_is_every_pair_compared(owned: dict[str, list[str]]) -> None:
    expected = {
        mine
        for mine, first in owned.items()
        for other, second in owned.items()
        if mine != other and overlaps(first, second)
    }
    assert entangled(owned) == expected


def test_entangled_does_not_compare_every_pair() -> None:
    owned = {f"t{n}": [f"src/pkg{n % 100}/m{n}.py"] for n in range(20_000)}
    assert entangled(owned | {"all": ["src/pkg7/"]}) == {"all", *(f"t{n}" for n in range(7, 20_000, 100))}


@given(patterns, patterns)
def test_what_covers_another_owns_all_of_its_paths(outer: str, inner: str) -> None:
    if covers(outer, inner):
        assert all(globs_own([outer], path) for path in PATHS if owns(inner, path))


@given(plain, plain)
def test_covering_is_exact_for_patterns_without_sets(outer: str, inner: str) -> None:
    deep = [
        "/".join(parts) for size in (1, 2, 3) for parts in product([*NAMES, "aab", "c", "cb"], repeat=size)
    ]
    if "[" not in outer + inner:
        every = all(owns(outer, path) for path in deep if owns(inner, path))
        assert covers(outer, inner) == every


@given(patterns)
def test_owning_is_what_a_reader_expects(pattern: str) -> None:
    assert [path for path in PATHS if globs_own([pattern], path)] == [
        path for path in PATHS if owns(pattern, path)
    ]


@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [
        (["src/api/users.py"], ["src/**"], True),
        (["src/api"], ["src/"], True),
        (["src/**"], ["src/api/**"], False),
        (["src/*.py"], ["**/*.py"], True),
        (["src/a.py", "docs/x.md"], ["src/**", "docs/**"], True),
        (["src/a.py", "docs/x.md"], ["src/**"], False),
        (["**"], ["*"], False),
        (["*"], ["**"], True),
        ([], ["src"], True),
        (["src/{a,b}/x"], ["src/**"], True),
        (["src/a"], ["src/{a,b}"], False),
    ],
)
def test_within(inner: list[str], outer: list[str], expected: bool) -> None:
    assert within(inner, outer) is expected


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("", "is no glob"),
        ("/etc", "is absolute"),
        ("a/../b", "leaves"),
        (".git/x", "git's own"),
        ("a/**", ""),
    ],
)
def test_fault(pattern: str, reason: str) -> None:
    assert reason in fault(pattern)
    assert bool(reason) == bool(fault(pattern))
