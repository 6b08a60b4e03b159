"""`yoke config`: effective settings, their origins, their schema."""

from __future__ import annotations

import json

import pytest

from yokeflow.__main__ import main


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A repository with a configuration."""
    (tmp_path / ".git").mkdir()
    (tmp_path / ".yokeflow.yaml").write_text(
        "parallel: {max_concurrency: 5}\nagents: {options: {mine: {env: {TOKEN: s3cret}}}}\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(capsys):
    assert main(["config", "show", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_show_names_the_origin_of_every_value(root, monkeypatch, capsys):
    monkeypatch.setenv("YOKE_CHECKS__TIMEOUT", "1m")
    found = shown(capsys)
    assert found["parallel.max_concurrency"] == {"value": 5, "origin": str(root / ".yokeflow.yaml")}
    assert found["checks.timeout"] == {"value": 60.0, "origin": "environment YOKE_CHECKS__TIMEOUT"}
    assert found["parallel.strategy"] == {"value": "by_epic", "origin": "default"}


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgresql://me:pa55@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://host/db?user=me&password=pa55", "postgresql://host/db?***"),
        ("postgresql://[me:pa55@host/db", "***"),
    ],
)
def test_passwords_are_masked(root, monkeypatch, capsys, url, masked):
    monkeypatch.setenv("YOKE_DATABASE_URL", url)
    assert main(["config", "show"]) == 0
    told = capsys.readouterr().out
    assert "pa55" not in told
    assert f'"{masked}"' in told
    assert shown(capsys)["database.url"]["value"] == masked


def test_values_of_agents_variables_are_masked(root, capsys):
    assert main(["config", "show"]) == 0
    told = capsys.readouterr().out
    assert "agents.options.mine.env.TOKEN" in told
    assert "s3cret" not in told


def test_only_what_was_changed(root, capsys):
    assert main(["config", "show", "--changed"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [
        "parallel.max_concurrency",
        "agents.options.mine.env.TOKEN",
    ]


def test_schema(root, capsys):
    assert main(["config", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["properties"]["parallel"]["$ref"] == "#/$defs/Parallel"
    limit = schema["$defs"]["Parallel"]["properties"]["max_concurrency"]
    assert (limit["default"], limit["minimum"], limit["description"]) == (3, 1, "Sessions at the same time.")
    assert schema["additionalProperties"] is False


def test_validate(root, capsys):
    assert main(["config", "validate"]) == 0
    assert capsys.readouterr().out == f"valid: {root / '.yokeflow.yaml'}\n"
    assert main(["config", "validate", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["valid"] is True


def test_an_invalid_configuration(root, capsys):
    (root / ".yokeflow.yaml").write_text("parallel:\n  max_concurency: 5\n  strategy: 3\n")
    assert main(["config", "validate"]) == 2
    told = capsys.readouterr().err
    assert (
        ":2: parallel.max_concurency: there is no key `max_concurency` (did you mean `max_concurrency`?)"
        in told
    )
    assert ":3: parallel.strategy: must be one of by_epic, by_task, smart, not 3" in told
    assert main(["config", "validate", "--json"]) == 2
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert [problem["line"] for problem in problems] == [2, 3]


def test_without_any_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["config", "validate"]) == 0
    assert "no .yokeflow.yaml, so the defaults" in capsys.readouterr().out


OFF = "cost:\n  enabled: false\n  session_cap_usd: 2\n  budgets: {run: {usd: 5}}\n"


def test_limits_that_are_not_kept_are_a_warning(root, capsys):
    (root / ".yokeflow.yaml").write_text(OFF)
    assert main(["config", "validate"]) == 0
    told = capsys.readouterr().err
    assert (
        f"warning: {root}/.yokeflow.yaml:3: cost.session_cap_usd: is not kept, nor cost.budgets.run.usd"
        in told
    )
    assert "cost.enabled is false" in told
    assert main(["config", "validate", "--json"]) == 0
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert warning["key"] == "cost.session_cap_usd"
    (root / ".yokeflow.yaml").write_text(OFF.replace("false", "true"))
    assert main(["config", "validate"]) == 0
    assert capsys.readouterr().err == ""
    (root / ".yokeflow.yaml").write_text("cost: {enabled: false}\n")
    assert main(["config", "validate"]) == 0
    assert capsys.readouterr().err == ""
