"""Which profile takes which attempt, and what it brings along."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import yoke_profiles
from yoke_profiles import select_profile
from yoke_profiles.choose import choose, effective
from yokeflow.config import Agents, Config, ProfileOptions, Skills
from yokeflow.errors import UsageError
from yokeflow.model import Profile, Task
from yokeflow.testing import check_plugin

words = st.sampled_from(["a", "b", "c", "d", "e"])
lists = st.lists(words, max_size=6).map(tuple)


def profiles(**options):
    """Profiles by name, where `_` stands for a dash."""
    return {name.replace("_", "-"): ProfileOptions(**given) for name, given in options.items()}


def chosen(task, known, number=1):
    found = choose(task, number, known)
    return found and (found.name, found.reason)


def must(task, number, known):
    """The profile that there must be."""
    found = choose(task, number, known)
    assert found is not None
    return found


def task(**options):
    return Task("e.t", "e", "Do it", **options)


ALL = profiles(
    any_db={"capabilities": ["sql", "migrations", "docker"]},
    sql={"capabilities": ["sql", "migrations"], "categories": ["db"]},
    twin={"capabilities": ["migrations", "sql"], "categories": ["db"]},
    backend={"files": ["src/**"], "categories": ["code"]},
    api={"files": ["src/api/**", "docs/**"]},
    docs={"files": ["docs/**", "*.md"]},
)


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ({"profile": "docs", "category": "db", "files": ("src/x.py",)}, ("docs", "named by the task")),
        ({"profile": "sql", "needs": ("sql",)}, ("sql", "named by the task")),
        ({"needs": ("sql",), "category": "code"}, ("sql", "can do what the task needs: sql")),
        ({"needs": ("docker", "sql")}, ("any-db", "can do what the task needs: docker, sql")),
        ({"category": "db", "files": ("docs/x.md",)}, ("sql", "takes the category db")),
        ({"category": "other", "files": ("README.md",)}, ("docs", "takes files in *.md")),
        ({"files": ("src/api/a.py",)}, ("api", "takes files in src/api/**")),
        ({"files": ("src/api/a.py", "src/x.py")}, ("backend", "takes files in src/**")),
        ({"files": ("docs/x.md",)}, ("api", "takes files in docs/**")),
        ({"files": ("docs/x.md", "NEWS.md")}, ("docs", "takes files in docs/**, *.md")),
        ({"files": ("tests/x.py",)}, None),
        ({"files": ("src/x.py", "tests/x.py")}, None),
        ({"category": "unknown"}, None),
        ({}, None),
    ],
)
def test_rules_in_their_order(given_, expected):
    assert chosen(task(**given_), ALL) == expected


def test_an_empty_category_is_no_category():
    assert choose(task(), 1, profiles(odd={"categories": [""]})) is None


@pytest.mark.parametrize(
    ("given_", "message", "hint"),
    [
        ({"profile": "doc"}, "there is no profile `doc`", "did you mean `docs`?"),
        (
            {"profile": "zebra"},
            "there is no profile `zebra`",
            "add it to agents.profiles; known: any-db, api,",
        ),
        (
            {"profile": "docs", "needs": ("sql",)},
            "`docs` lacks `sql`, which the task needs",
            "capabilities of docs",
        ),
        ({"needs": ("sqll",)}, "no profile has the capability `sqll`", "did you mean `sql`?"),
        ({"needs": ("sql", "gpu")}, "no profile has the capability `gpu`", "known: docker, migrations, sql"),
    ],
)
def test_what_nobody_can_do_is_refused(given_, message, hint):
    with pytest.raises(UsageError) as caught:
        choose(task(**given_), 1, ALL)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_needs_are_met_by_one_profile_not_by_several():
    with pytest.raises(UsageError, match="no single profile has all that the task needs: `x`, `y`"):
        choose(task(needs=("x", "y")), 1, profiles(one={"capabilities": ["x"]}, two={"capabilities": ["y"]}))


def test_a_failed_attempt_hands_over_and_the_last_of_the_chain_stays():
    known = profiles(
        junior={"categories": ["code"], "escalates_to": "senior"},
        senior={"escalates_to": "lead-dev", "agent": "codex"},
        lead_dev={"model": "opus"},
    )
    found = [must(task(category="code"), number, known) for number in range(1, 6)]
    assert [each.name for each in found] == ["junior", "senior", "lead-dev", "lead-dev", "lead-dev"]
    assert found[1].agent == "codex"
    assert found[1].reason == "takes over from junior after 1 failed attempt"
    assert found[3].reason == "takes over from junior after 3 failed attempts"


@given(st.dictionaries(words, st.none() | words, min_size=1), words, st.integers(1, 12))
def test_escalation_ends_whatever_the_profiles_say(edges, first, number):
    known = {name: ProfileOptions(escalates_to=after) for name, after in edges.items()}
    if first in known:
        found = must(task(profile=first), number, known)
        assert found.name in known
        assert found == choose(task(profile=first), number, known)
        assert (found.name == first) == (found.reason == "named by the task")


@given(lists, lists, lists)
def test_skills_are_shared_and_custom_without_the_disabled(shared, custom, disabled):
    found = effective(Skills(shared=shared, custom=custom, disabled=disabled))
    assert set(found) == (set(shared) | set(custom)) - set(disabled)
    assert len(found) == len(set(found))
    order = [*shared, *custom]
    assert sorted(found, key=order.index) == list(found)


@given(
    st.lists(lists, min_size=1, max_size=5).map(
        lambda each: {f"p{i}": ProfileOptions(capabilities=words) for i, words in enumerate(each)}
    ),
    lists.filter(bool),
)
def test_who_is_chosen_by_need_has_it_all_and_nobody_does_with_less(known, needs):
    able = [name for name, options in known.items() if set(needs) <= set(options.capabilities)]
    if able:
        found = must(task(needs=needs), 1, known).name
        assert found in able
        assert all(len(set(known[found].capabilities)) <= len(set(known[name].capabilities)) for name in able)
    else:
        with pytest.raises(UsageError):
            choose(task(needs=needs), 1, known)


def test_the_hook_answers_by_the_config_with_everything_a_profile_says():
    options = {
        "agent": "codex",
        "categories": ["code"],
        "instructions": "Be brief.",
        "always": ["test"],
        "never": ["push"],
        "skills": {"shared": ["git", "web"], "custom": ["sql", "git"], "disabled": ["web"]},
        "boundaries": {"may_change": ["src/**"], "must_not_change": ["src/gen/**"]},
        "model": "opus",
        "lowest_tier": "balanced",
        "highest_tier": "powerful",
        "escalates_to": "senior",
    }
    config = Config(agents=Agents(profiles={"coder": options, "senior": {}}))
    assert select_profile(task(category="code"), 1, config) == Profile(
        name="coder",
        reason="takes the category code",
        agent="codex",
        instructions="Be brief.",
        always=("test",),
        never=("push",),
        skills=("git", "sql"),
        model="opus",
        lowest_tier="balanced",
        highest_tier="powerful",
        may_change=("src/**",),
        must_not_change=("src/gen/**",),
        escalates_to="senior",
    )
    assert select_profile(task(category="code"), 1, Config()) is None


@pytest.mark.parametrize(
    "config", [None, Config(agents=Agents(profiles={"coder": {"categories": ["code"]}}))]
)
def test_it_keeps_the_promises_of_its_hooks(config, database_url):
    checked = check_plugin(yoke_profiles, config, database_url=database_url)
    assert {"begin_preview", "begin_run", "register_migrations", "select_profile"} <= set(checked)
