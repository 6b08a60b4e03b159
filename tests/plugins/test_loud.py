"""A plugin that prints wherever it can: where JSON is asked for, stdout carries that alone."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from yokeflow.__main__ import main
from yokeflow.cli import output, yoke

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = """
import os
import sys
from sys import stdout

import click

from yokeflow.cli import options, output
from yokeflow.hookspecs import hookimpl

print("LOUD import")


@click.command("shout")
@options.as_json
def shout(as_json):
    '''Shout.'''
    print("LOUD command")
    output.data("quiet")


@hookimpl
def register_commands():
    print("LOUD register")
    return [shout]


@hookimpl
def begin_run():
    stdout.write("LOUD begin\\n")
    os.write(1, b"LOUD write\\n")


@hookimpl
async def recall():
    os.system("echo LOUD child")
    return []


@hookimpl
def on_event():
    print("LOUD event")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a plan of one task, and the plugin beside it."""
    (tmp_path / "loud.py").write_text(PLUGIN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("YOKE_PLUGINS", "loud")
    root = tmp_path / "root"
    root.mkdir()
    (root / ".yokeflow.yaml").write_text("agents: {default: shell}\n")
    (root / "plan.yaml").write_text("epics: [{id: e, tasks: [{id: e.one, title: One, run: echo 1 > one}]}]\n")
    for args in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "Start"]):
        subprocess.run(["git", *args], cwd=root, check=True)
    return root


def yoke_json(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "yokeflow", *words, "--json"]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)


def test_what_it_prints_in_a_run_goes_to_stderr(project, monkeypatch, database_url):
    monkeypatch.setenv("YOKE_DATABASE_URL", database_url)
    done = yoke_json(project, "run")
    events = [json.loads(line)["type"] for line in done.stdout.splitlines()]
    assert (events[0], events[-1]) == ("run.started", "run.finished")
    loud = {line.split()[1] for line in done.stderr.splitlines() if line.startswith("LOUD")}
    assert loud == {"import", "register", "begin", "write", "child", "event"}
    assert json.loads(yoke_json(project, "status").stdout)["items"]
    told = yoke_json(project, "log").stdout.splitlines()
    assert json.loads(told[0])["type"]


def test_what_it_prints_at_start_goes_to_stderr(project):
    assert json.loads(yoke_json(project, "plugins").stdout)["loaded"][0]["name"] == "loud"
    assert json.loads(yoke_json(project, "config", "show").stdout)["plan"]
    assert json.loads(yoke_json(project, "plan", "graph").stdout)


def test_its_own_command_keeps_the_promise_too(project):
    done = yoke_json(project, "shout")
    assert json.loads(done.stdout) == "quiet"
    assert "LOUD import" in done.stderr
    assert "LOUD command" in done.stderr


def test_without_json_it_may_print(project):
    command = [sys.executable, "-m", "yokeflow", "shout"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    assert "LOUD command" in done.stdout


def test_whoever_reads_a_part_only_is_no_defect(project):
    command = f"{sys.executable} -m yokeflow config show --json | head -1"
    done = subprocess.run(command, shell=True, cwd=project, capture_output=True, text=True, check=True)
    assert done.stdout == "{\n"
    assert "defect" not in done.stderr
    assert "Exception" not in done.stderr


def test_stdout_is_as_before_afterwards(project, monkeypatch, capfd):
    monkeypatch.chdir(project)
    monkeypatch.setenv("YOKE_PLUGINS", "")
    stream = sys.stdout
    assert main(["config", "show", "--json"]) == 0
    assert sys.stdout is stream
    sys.stdout.write("after\n")
    said = capfd.readouterr()
    assert said.out.endswith("}\nafter\n")
    assert CliRunner().invoke(yoke, ["config", "show", "--json"]).output.startswith("{")
    with output.kept():
        sys.stdout.write("aside\n")
        output.line("a result")
    assert capfd.readouterr() == ("a result\n", "aside\n")
