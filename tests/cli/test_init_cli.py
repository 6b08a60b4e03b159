"""`yoke init`: the first files, made from the settings and never over anything."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from yokeflow.__main__ import main
from yokeflow.config import AgentOptions, Config, Price, ProfileOptions, Tiers
from yokeflow.plan.load import load_plan
from yokeflow.settings import fields, load_config
from yokeflow.starter import config_text


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A new repository without a commit, with a space and an umlaut in its path."""
    folder = tmp_path / "my prüject"
    subprocess.run(["git", "init", "-q", folder], check=True)
    monkeypatch.chdir(folder)
    return folder


def test_it_writes_two_files_that_work(repository, capsys):
    assert main(["init"]) == 0
    told = capsys.readouterr().out
    assert "wrote .yokeflow.yaml\nwrote plan.yaml\n" in told
    assert "yoke run" in told
    assert load_config(repository).config == Config()
    plan = load_plan(repository / "plan.yaml")
    assert len(plan.epics) == 2
    assert plan.epics[1].depends_on
    assert main(["plan", "validate"]) == 0


def test_it_finds_the_root(repository, monkeypatch):
    inside = repository / "a" / "b"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    assert main(["init"]) == 0
    assert (repository / ".yokeflow.yaml").exists()
    assert not list(inside.iterdir())


def test_in_a_bare_repository_the_files_stand_where_a_run_reads_them(tmp_path, monkeypatch, capsys):
    bare = tmp_path / "shop.git"
    subprocess.run(["git", "init", "-q", "--bare", bare], check=True)
    monkeypatch.chdir(bare / "refs")
    assert main(["init"]) == 0
    assert (bare / ".yokeflow.yaml").exists()
    assert main(["plan", "validate"]) == 0
    assert str(bare / "plan.yaml") in capsys.readouterr().out


def test_it_never_writes_over_a_file(repository, capsys):
    (repository / ".yokeflow.yaml").write_text("plan: plans/mine.yaml\n")
    assert main(["init"]) == 0
    assert capsys.readouterr().out.startswith("kept  .yokeflow.yaml (it exists)\nwrote plans/mine.yaml\n")
    (repository / "plans" / "mine.yaml").write_text("mine")
    assert main(["init"]) == 0
    assert "kept  plans/mine.yaml (it exists)\n\nWhat to type next:" in capsys.readouterr().out
    assert (repository / "plans" / "mine.yaml").read_text() == "mine"
    assert (repository / ".yokeflow.yaml").read_text() == "plan: plans/mine.yaml\n"


def test_it_does_not_follow_a_dangling_link(repository):
    (repository / "plan.yaml").symlink_to(repository.parent / "elsewhere")
    assert main(["init"]) == 0
    assert not (repository.parent / "elsewhere").exists()


def test_for_programs(repository, capsys):
    (repository / "plan.yaml").write_text("mine")
    assert main(["init", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        str(repository / ".yokeflow.yaml"): "written",
        str(repository / "plan.yaml"): "kept",
    }


def test_outside_of_a_repository(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == 2
    told = capsys.readouterr().err
    assert "error: this folder is in no git repository" in told
    assert "git init" in told
    assert not list(tmp_path.iterdir())


def test_a_plan_that_cannot_be_written(repository, capsys):
    (repository / "taken").write_text("")
    (repository / ".yokeflow.yaml").write_text("plan: taken/plan.yaml\n")
    assert main(["init"]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_every_key_stands_in_the_file_with_its_default(tmp_path):
    (tmp_path / ".yokeflow.yaml").write_text(re.sub(r"(?m)^( *)#(?=\S)", r"\1", config_text()))
    settings = load_config(tmp_path)
    told = settings.config.model_dump()
    assert told["agents"].pop("options") == {"my-agent": AgentOptions().model_dump()}
    assert told["agents"].pop("profiles") == {"my-profile": ProfileOptions().model_dump()}
    assert told["models"].pop("tiers") == {"claude": Tiers().model_dump()}
    assert told["cost"].pop("prices") == {"my-model": Price(input=0, output=0).model_dump()}
    plain = Config().model_dump()
    for section, key in (
        ("agents", "options"),
        ("agents", "profiles"),
        ("models", "tiers"),
        ("cost", "prices"),
    ):
        assert plain[section].pop(key) == {}
    assert told == plain
    assert set(settings.origins.values()) == {str(tmp_path / ".yokeflow.yaml")}


def test_every_key_is_explained():
    text = " ".join(line.strip().removeprefix("# ") for line in config_text().splitlines())
    for _, found in fields():
        assert found.description
        assert " ".join(found.description.split()) in text
