"""What a profile lets its agents change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yokeflow.engine.sessions.boundaries import trespass
from yokeflow.model import Profile

DOCS = Profile("writer", may_change=("docs/**", "*.md"), must_not_change=("docs/api/**",))
names = st.sampled_from(["a", "b", "a.py", "b.md"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)


@pytest.mark.parametrize(
    "changed",
    [[], ["docs/a.md"], ["README.md", "docs/deep/er/x"], ["docs"]],
    ids=lambda files: str(len(files)),
)
def test_what_lies_within_is_fine(changed):
    assert trespass(DOCS, changed) == ""


def test_without_a_profile_or_without_bounds_everything_is_fine():
    assert trespass(None, ["a"]) == ""
    assert trespass(Profile("free"), ["a", ".github/x.yml"]) == ""


def test_a_file_outside_is_named_with_the_rule():
    assert trespass(DOCS, ["docs/a.md", "src/app.py"]) == (
        "the profile writer may change nothing but docs/**, *.md, and the agent changed src/app.py"
    )


def test_both_rules_are_told_and_a_file_is_named_once():
    told = trespass(DOCS, ["docs/api/x.md", "src/a.py", "src/b.py", "src/c.py", "src/d.py", "src/e.py"])
    first, second = told.split("; ")
    assert first == "the profile writer must not change docs/api/**, and the agent changed docs/api/x.md"
    assert second.endswith("the agent changed src/a.py, src/b.py, src/c.py and 2 more")


def test_names_that_look_like_patterns_are_names():
    assert trespass(Profile("p", must_not_change=("src/a.py",)), ["src/[a].py", "src/*.py"]) == ""
    assert trespass(Profile("p", may_change=("src/[a-c]?.py",)), ["src/b1.py"]) == ""
    assert trespass(Profile("p", may_change=("src/[!a].py",)), ["src/a.py"])


@given(st.lists(paths, max_size=5), st.lists(paths, max_size=3))
def test_exactly_one_of_allowing_and_forbidding_the_same_globs_objects(changed, globs):
    allowed = [file for file in changed if not trespass(Profile("p", must_not_change=tuple(globs)), [file])]
    refused = [file for file in changed if trespass(Profile("p", may_change=tuple(globs) or ("x",)), [file])]
    assert allowed == refused
