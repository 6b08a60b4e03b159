"""Checks: commands that must exit 0, and the evidence they leave.

What passed once on a tree, by the same command in the same environment, need not run again. Evidence of a
lane does not count for a landing: files that git ignores may have helped there.
"""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yokeflow.engine.process import run_process, scrubbed_environment
from yokeflow.engine.redact import redact
from yokeflow.model import Launch

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from pathlib import Path

    from yokeflow.config import Config
    from yokeflow.engine.recorder import Recorder


#: Beginnings of variables that change from login to login and decide nothing.
_OF_THE_MOMENT = ("TERM", "COLORTERM", "XDG_", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Subject:
    """What is checked, for the record."""

    #: `task` or `landing`
    stage: str
    epic: str
    task: str = ""
    session: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checks said."""

    passed: bool
    #: The command that failed.
    command: str = ""
    #: Why, in a sentence.
    reason: str = ""
    #: What it printed last.
    output: str = ""


class Checker:
    """Runs checks, records every result, and remembers what passed."""

    def __init__(
        self, config: Config, recorder: Recorder, passed: Iterable[tuple[str, str, str, str]] = ()
    ) -> None:
        self._config = config
        self._recorder = recorder
        self._environment = scrubbed_environment(config.agents.pass_env)
        self.fingerprint = fingerprint(self._environment)
        self._passed = set(passed)

    async def run(
        self,
        commands: Iterable[str],
        tree: str,
        folder: Path,
        logs: Path,
        subject: Subject,
        mark: str,
        restore: Callable[[], Awaitable[object]],
        stop: asyncio.Event | None = None,
    ) -> Verdict:
        """Run the commands one after another in `folder`, which holds `tree`; stop at the first that fails.

        `restore` puts the folder back to `tree` before another command sees what the last one changed there.
        `mark` is the session that the started processes belong to. `logs` is a folder for their output.
        """
        ran = False
        for number, command in enumerate(dict.fromkeys(commands), 1):
            if (subject.stage, tree, command, self.fingerprint) in self._passed:
                self._record(
                    subject, command, tree, reused=True, passed=True, exit_code=0, seconds=0.0, log=""
                )
                continue
            if ran:
                await restore()
            ran = True
            log = logs / f"check-{number}.log"
            verdict = await self._run_one(command, tree, folder, log, subject, mark, stop)
            if not verdict.passed:
                return verdict
        return Verdict(passed=True)

    async def _run_one(
        self,
        command: str,
        tree: str,
        folder: Path,
        log: Path,
        subject: Subject,
        mark: str,
        stop: asyncio.Event | None,
    ) -> Verdict:
        checks, agents = self._config.checks, self._config.agents
        ended = await run_process(
            Launch(("sh", "-c", command)),
            cwd=folder,
            env={
                **self._environment,
                "YOKE_SESSION": mark,
                "YOKE_EPIC": subject.epic,
                "YOKE_TASK": subject.task,
            },
            transcript=log,
            limit=agents.transcript_limit,
            timeout=checks.timeout,
            silence=None,
            grace=agents.grace,
            mark=("YOKE_SESSION", mark),
            stop=stop,
        )
        passed = ended.why == "exited" and ended.code == 0
        self._record(
            subject,
            command,
            tree,
            passed=passed,
            exit_code=ended.code,
            seconds=ended.seconds,
            log=str(log),
            reused=False,
        )
        if passed:
            self._passed.add((subject.stage, tree, command, self.fingerprint))
            return Verdict(passed=True)
        how = f"exit code {ended.code}" if ended.why == "exited" else ended.why
        return Verdict(
            passed=False,
            command=command,
            reason=redact(f"check `{command}` failed ({how})"),
            output=ended.tail[-4000:],
        )

    def _record(self, subject: Subject, command: str, tree: str, **result: object) -> None:
        self._recorder.emit(
            "check.finished",
            epic=subject.epic,
            task=subject.task,
            session=subject.session,
            stage=subject.stage,
            command=command,
            tree=tree,
            environment=self.fingerprint,
            **result,
        )


def fingerprint(environment: Mapping[str, str]) -> str:
    """Sixteen hex digits for what decides a check beside the tree: the machine and the environment."""
    lasting = {name: value for name, value in environment.items() if not name.startswith(_OF_THE_MOMENT)}
    facts = [platform.platform(), *(f"{name}={value}" for name, value in sorted(lasting.items()))]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
