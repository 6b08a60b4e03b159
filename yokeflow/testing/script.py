"""An agent that follows a script, whatever the task."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import SimpleNamespace
from typing import TYPE_CHECKING, Self

from yokeflow.hookspecs import hookimpl
from yokeflow.model import AgentOutput, AgentReport, AgentRequest, Launch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from yokeflow.config import AgentOptions
    from yokeflow.hookspecs import Agent, AgentReader


@dataclass(frozen=True, slots=True)
class Script:
    """What an agent of a test does, step by step, as a shell script; every method gives a longer one."""

    #: The script so far.
    text: str = ""

    def run(self, command: str) -> Self:
        """Any shell command."""
        return type(self)(f"{self.text}{command}\n")

    def say(self, words: str) -> Self:
        """Print a line."""
        return self.run(f"printf '%s\\n' {shlex.quote(words)}")

    def write(self, path: str, content: str) -> Self:
        """Write a file, with the folders it needs."""
        folder = shlex.quote(str(PurePath(path).parent))
        return self.run(f"mkdir -p {folder} && printf %s {shlex.quote(content)} > {shlex.quote(path)}")

    def commit(self, message: str) -> Self:
        """Commit everything that is there."""
        return self.run(f"git add -A && {_COMMIT} -m {shlex.quote(message)}")

    def commit_elsewhere(self, branch: str, message: str) -> Self:
        """Switch to a branch of its own and commit there, as agents do who know better."""
        return self.run(f"git switch -q -c {shlex.quote(branch)} && git add -A").run(
            f"{_COMMIT} --allow-empty -m {shlex.quote(message)}"
        )

    def sleep(self, seconds: float) -> Self:
        """Wait."""
        return self.run(f"sleep {seconds}")

    def hang(self, *, stubborn: bool = False) -> Self:
        """Never end; a stubborn one ignores all polite signals."""
        ignore = "trap '' TERM INT HUP; " if stubborn else ""
        return self.run(f"{ignore}while :; do sleep 1; done")

    def flood(self, size: int) -> Self:
        """Print about `size` bytes in short lines."""
        return self.run(f"yes 'flood of words' | head -c {size}; echo")

    def binary(self) -> Self:
        """Print bytes that are no text, with a line break between."""
        return self.run(r"printf '\377\376\000\001\n\200binary\033[31m\n'")

    def daemon(self, pid_file: Path) -> Self:
        """Leave a process behind: in a session of its own, without environment, with another parent."""
        inner = f"echo $$ > {shlex.quote(str(pid_file))}; exec sleep 600"
        outer = f"env -i setsid sh -c {shlex.quote(inner)} >/dev/null 2>&1 </dev/null &"
        wait = f"until [ -s {shlex.quote(str(pid_file))} ]; do sleep 0.01; done"
        return self.run(f"setsid sh -c {shlex.quote(outer)}").run(wait)

    def delete_worktree(self) -> Self:
        """Remove the folder it works in."""
        return self.run('rm -rf -- "$PWD"')

    def exit(self, code: int) -> Self:
        """End."""
        return self.run(f"exit {code}")

    def save(self, path: Path) -> Path:
        """Write the script as a program."""
        path.write_text(f"#!/bin/sh\n{self.text}", encoding="utf-8")
        path.chmod(0o755)
        return path


_COMMIT = "git -c user.name=Script -c user.email=script@localhost commit -q"


class ScriptedReader:
    """Shows every line; exit code 0 is success."""

    def feed(self, line: bytes) -> Iterable[AgentOutput]:
        """Show the line."""
        return (AgentOutput("text", line.decode(errors="replace")),)

    def finish(self, exit_code: int) -> AgentReport:
        """Success is exit code 0."""
        return AgentReport(ok=exit_code == 0, error=f"exit code {exit_code}" if exit_code else "")


class ScriptedAgent:
    """Follows a script, whatever the task."""

    def __init__(self, script: Script, name: str = "scripted") -> None:
        self.name = name
        self._script = script

    def missing(self, options: AgentOptions) -> str:
        """Nothing, unless the options name another shell that is not there."""
        there = options.program is None or Path(options.program).exists()
        return "" if there else f"`{options.program}` is not there: unset `program`"

    def launch(self, request: AgentRequest, options: AgentOptions) -> Launch:
        """Run the script; the prompt is on standard input."""
        argv = (options.program or "sh", "-c", self._script.text)
        return Launch(argv, env=options.env, stdin=request.prompt.encode())

    def reader(self, request: AgentRequest, options: AgentOptions) -> AgentReader:  # noqa: ARG002 - the protocol's
        """Read plain text."""
        return ScriptedReader()


def scripted(script: Script, name: str = "scripted") -> object:
    """Make a plugin to register that brings one agent, which follows `script`."""

    @hookimpl
    def register_agents() -> Sequence[Agent]:
        return (ScriptedAgent(script, name),)

    return SimpleNamespace(register_agents=register_agents)
