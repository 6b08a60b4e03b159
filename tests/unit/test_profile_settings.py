"""Profiles in the config that make no sense, and where that is told."""

from __future__ import annotations

import pytest

from yokeflow.errors import DocumentError
from yokeflow.places import user_file
from yokeflow.settings import load_config


@pytest.fixture
def told(tmp_path):
    """What is wrong with a file of profiles, each problem as one line."""

    def told(text, overrides=None):
        (tmp_path / ".yokeflow.yaml").write_text(text)
        with pytest.raises(DocumentError) as caught:
            load_config(tmp_path, overrides)
        return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]

    return told


PLACE = ".yokeflow.yaml:{}: agents.profiles.{}"


def test_a_complete_profile_is_taken(tmp_path):
    (tmp_path / ".yokeflow.yaml").write_text(
        """\
agents:
  profiles:
    coder:
      categories: [code]
      lowest_tier: fast
      highest_tier: fast
      skills: {shared: [a, b], disabled: [b]}
      escalates_to: senior
    senior:
"""
    )
    found = load_config(tmp_path).config.agents.profiles
    assert found["coder"].escalates_to == "senior"
    assert found["senior"].categories == ()


@pytest.mark.parametrize(
    ("profiles", "line", "key", "said"),
    [
        (
            "coder: {escalates_to: senor}\n    senior: {}",
            3,
            "coder.escalates_to",
            "there is no profile `senor`",
        ),
        ("coder: {escalates_to: senor}\n    senior: {}", 3, "coder.escalates_to", "did you mean `senior`?"),
        ("a: {}\n    b:\n      escalates_to: b", 5, "b.escalates_to", "escalation goes in a circle: b -> b"),
        (
            "a: {escalates_to: b}\n    b: {escalates_to: c}\n    c: {escalates_to: b}",
            4,
            "b.escalates_to",
            "escalation goes in a circle: b -> c -> b",
        ),
        (
            "a: {lowest_tier: powerful, highest_tier: fast}",
            3,
            "a.lowest_tier",
            "powerful is stronger than its highest_tier fast (the order is fast, balanced, powerful)",
        ),
        ("a: {lowest_tier: strong}", 3, "a.lowest_tier", "must be one of fast, balanced, powerful"),
        (
            "a:\n      skills:\n        shared: [linting]\n        disabled: [linting, lintin]",
            6,
            "a.skills.disabled[1]",
            "there is no skill `lintin` to disable (did you mean `linting`?)",
        ),
        ("Coder: {}", 3, "Coder", "'Coder' is no name (write small letters, digits and dashes"),
        ("a-: {}", 3, "a-", "is no name"),
        (
            "a: {boundaries: {may_change: ['src/{a,b}']}}",
            3,
            "a.boundaries.may_change[0]",
            "write several globs",
        ),
        ("a: {boundaries: {must_not_change: [/etc]}}", 3, "a.boundaries.must_not_change[0]", "is absolute"),
        ("a: {files: [../x]}", 3, "a.files[0]", "leaves the repository"),
        (
            "a: {instruction: x}",
            3,
            "a.instruction",
            "there is no key `instruction` (did you mean `instructions`?)",
        ),
    ],
)
def test_each_problem_is_told_once_with_its_line(told, profiles, line, key, said):
    (only,) = told(f"agents:\n  profiles:\n    {profiles}\n")
    assert only.startswith(f"{PLACE.format(line, key)}: ")
    assert said in only


def test_profiles_of_two_files_know_each_other(tmp_path, told):
    user_file().parent.mkdir(parents=True, exist_ok=True)
    user_file().write_text("agents:\n  profiles:\n    senior: {escalates_to: coder}\n")
    (tmp_path / ".yokeflow.yaml").write_text("agents:\n  profiles:\n    coder: {}\n")
    assert set(load_config(tmp_path).config.agents.profiles) == {"coder", "senior"}
    (only,) = told("agents:\n  profiles:\n    coder: {escalates_to: senior}\n")
    assert "in a circle" in only
    assert only.startswith(f"{user_file()}:3: agents.profiles.senior.escalates_to")


def test_an_environment_variable_and_a_flag_are_named(told, monkeypatch):
    text = "agents:\n  profiles:\n    coder: {}\n"
    (only,) = told(text, {"agents.profiles.coder.escalates_to": "x"})
    assert only.startswith("command line: agents.profiles.coder.escalates_to: there is no profile `x`")
    monkeypatch.setenv("YOKE_AGENTS__PROFILES__CODER__ESCALATES_TO", "codr")
    (only,) = told(text)
    assert only.startswith("environment: YOKE_AGENTS__PROFILES__CODER__ESCALATES_TO: there is no profile")
