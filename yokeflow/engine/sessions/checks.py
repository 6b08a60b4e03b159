"""Checks: commands that must exit 0, and the evidence they leave.

What passed once on a tree, by the same command in the same environment, need not run again. Evidence of a
lane does not count for a landing: files that git ignores may have helped there.

A red check is tried again as often as `checks.retries` says. One that fails and passes on the same tree is
flaky: work goes on when it passed in the end, but it proves nothing, and runs again the next time. One that
fails where it passed before is flaky too; it stays red, and what it proved before is withdrawn. Red first and
green at a later time is neither: somebody may have mended what the command needs beside the tree.

One that something else killed, as the machine does when memory runs out, has said nothing: it is run once
more before it counts.
"""

from __future__ import annotations

import asyncio
import hashlib
import platform
import signal
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from yokeflow.engine.processes.process import run_process, scrubbed_environment
from yokeflow.engine.secrets.redact import redact
from yokeflow.git.evidence import Proof
from yokeflow.model import Launch
from yokeflow.store.evidence import Known

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from pathlib import Path

    from yokeflow.config import Config
    from yokeflow.engine.processes.process import Exit
    from yokeflow.engine.recorder import Recorder
    from yokeflow.store.evidence import Key


#: Beginnings of variables that change from login to login and decide nothing.
_OF_THE_MOMENT = ("TERM", "COLORTERM", "XDG_", "TMPDIR")
#: Characters of a command that a proof keeps.
_LONGEST_COMMAND = 200
_TAIL = 4000
#: What a person can do where a check was killed.
_REMEDIES = {
    "SIGKILL": "the machine may be out of memory: lower parallel.max_concurrency or"
    " landing.max_parallel_checks, then try again",
    "SIGTERM": "find out what ends it, then try again",
}
#: Exit codes of what was killed or told to end, itself or below a shell.
_KILLED = frozenset(code for number in (signal.SIGKILL, signal.SIGTERM) for code in (-number, 128 + number))


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
    #: Why, in a sentence.
    reason: str = ""
    #: What it printed last.
    output: str = ""
    #: How each command went that passed: what `git.evidence.attach` keeps of a landing.
    proofs: tuple[Proof, ...] = ()


@dataclass(frozen=True, slots=True)
class _Result:
    """How one command went."""

    passed: bool
    flaky: bool = False
    tries: int = 0
    exit_code: int = 0
    seconds: float = 0.0
    #: Of the last try that failed, else of the only one.
    log: str = ""
    #: Why it failed, in a few words, and what it printed last.
    how: str = ""
    output: str = ""
    #: Id of the event that told it first; empty until it is told.
    source: str = ""


class _Place:
    """A folder that holds a tree, and every command finds it as the tree has it."""

    def __init__(self, folder: Path, restore: Callable[[], Awaitable[object]]) -> None:
        self._folder = folder
        self._restore = restore
        self._used = False

    async def clean(self) -> Path:
        if self._used:
            await self._restore()
        self._used = True
        return self._folder


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be checked where."""

    tree: str
    place: _Place
    logs: Path
    subject: Subject
    mark: str
    stop: asyncio.Event | None

    @property
    def stopped(self) -> bool:
        return self.stop is not None and self.stop.is_set()


class Checker:
    """Runs checks, records every result, and remembers what they proved."""

    def __init__(self, config: Config, recorder: Recorder, known: Mapping[Key, Known] | None = None) -> None:
        """`known` is what earlier runs found out."""
        self._config = config
        self._recorder = recorder
        self._environment = scrubbed_environment(config.agents.pass_env)
        self.fingerprint = fingerprint(self._environment)
        self._known = dict(known or {})
        #: What runs right now; whoever needs the same waits for it. None when it was stopped.
        self._flights: dict[Key, asyncio.Future[_Result | None]] = {}
        #: Flaky commands of which a person was told.
        self._told: set[str] = set()

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
        Several may be under way in folders of their own; a command that two of them need on one tree runs
        once.
        """
        asked = _Asked(tree, _Place(folder, restore), logs, subject, mark, stop)
        proofs: list[Proof] = []
        for number, command in enumerate(dict.fromkeys(commands), 1):
            result = await self._result(asked, command, f"check-{number}")
            if not result.passed:
                reason = redact(f"check `{command}` failed ({result.how})")
                return Verdict(
                    passed=False,
                    reason=reason,
                    output=result.output,
                    proofs=tuple(proofs),
                )
            proof = proof_of(command, self.fingerprint, flaky=result.flaky, seconds=result.seconds)
            proofs.append(proof)
        return Verdict(passed=True, proofs=tuple(proofs))

    async def _result(self, asked: _Asked, command: str, name: str) -> _Result:
        """What is known of a command on a tree, what somebody finds out right now, or what it says now."""
        key = (asked.subject.stage, asked.tree, command, self.fingerprint)
        while True:
            known = self._known.get(key)
            if known is not None and known.evidence:
                result = _Result(passed=True, seconds=known.seconds, source=known.evidence)
                return self._reuse(asked, command, result)
            flight = self._flights.get(key)
            if flight is None:
                return await self._fly(key, asked, command, name)
            arrived = await _arrival(flight, asked.stop)
            if arrived is not None:
                return self._reuse(asked, command, arrived)
            if asked.stopped:
                return _Result(passed=False, how="stopped")

    async def _fly(self, key: Key, asked: _Asked, command: str, name: str) -> _Result:
        """Find out, for everybody who comes to need it meanwhile."""
        flight = self._flights[key] = asyncio.get_running_loop().create_future()
        try:
            result = await self._try(asked, command, name)
            if result.how == "stopped":
                # That says nothing about the tree.
                return result
            result = self._learn(key, asked, command, result)
            flight.set_result(result)
            return result
        finally:
            del self._flights[key]
            if not flight.done():
                flight.set_result(None)

    async def _try(self, asked: _Asked, command: str, name: str) -> _Result:
        """Run a command until it passes or no try is left."""
        failed: Exit | None = None
        log, seconds, number = asked.logs / f"{name}.log", 0.0, 0
        left, spared = self._config.checks.retries + 1, False
        while left:
            number += 1
            here = asked.logs / (f"{name}.log" if number == 1 else f"{name}.{number}.log")
            ended = await self._run_one(asked, command, here)
            if ended.why == "stopped" or (not ended.ok and asked.stopped):
                return _Result(passed=False, how="stopped")
            seconds += ended.seconds
            if ended.ok:
                return _Result(True, failed is not None, number, 0, seconds, str(log if failed else here))
            if not spared and ended.why == "exited" and ended.code in _KILLED:
                spared = True
                continue
            failed, log, left = ended, here, left - 1
        assert failed is not None
        how = _how(failed) if failed.why == "exited" else failed.why
        return _Result(False, False, number, failed.code, seconds, str(log), how, failed.tail[-_TAIL:])

    async def _run_one(self, asked: _Asked, command: str, log: Path) -> Exit:
        checks, agents, subject = self._config.checks, self._config.agents, asked.subject
        whose = {"YOKE_SESSION": asked.mark, "YOKE_EPIC": subject.epic, "YOKE_TASK": subject.task}
        return await run_process(
            Launch(("sh", "-c", command)),
            cwd=await asked.place.clean(),
            env={**self._environment, **whose},
            transcript=log,
            limit=agents.transcript_limit,
            timeout=checks.timeout,
            silence=None,
            grace=agents.grace,
            mark=("YOKE_SESSION", asked.mark),
            stop=asked.stop,
        )

    def _learn(self, key: Key, asked: _Asked, command: str, result: _Result) -> _Result:
        """Compare a new result with what was known, record it and remember what it proves."""
        before = self._known.get(key)
        if not result.passed and before is not None and before.passed:
            result = replace(result, flaky=True, how=f"{result.how}; it passed before on the same tree")
        result = replace(result, source=self._record(asked, command, result))
        reliable = result.passed and not result.flaky
        self._known[key] = Known(
            result.source if reliable else "",
            result.passed or (before is not None and before.passed),
            result.seconds,
        )
        if result.flaky:
            self._tell(asked, command)
        return result

    def _reuse(self, asked: _Asked, command: str, result: _Result) -> _Result:
        """Take over what was found out elsewhere; it took no time here."""
        self._record(asked, command, replace(result, tries=0, seconds=0.0, log=""), source=result.source)
        return result

    def _record(self, asked: _Asked, command: str, result: _Result, source: str = "") -> str:
        """Record a result; gives its id."""
        subject = asked.subject
        told = self._recorder.emit(
            "check.finished",
            epic=subject.epic,
            task=subject.task,
            session=subject.session,
            stage=subject.stage,
            command=command,
            tree=asked.tree,
            environment=self.fingerprint,
            passed=result.passed,
            flaky=result.flaky,
            tries=result.tries,
            exit_code=result.exit_code,
            seconds=result.seconds,
            log=result.log,
            reused=bool(source),
            source=source,
        )
        return told.id

    def _tell(self, asked: _Asked, command: str) -> None:
        """Tell a person of a flaky command, once."""
        if command in self._told:
            return
        self._told.add(command)
        subject, tree = asked.subject, asked.tree[:12]
        self._recorder.emit(
            "warning.raised",
            epic=subject.epic,
            task=subject.task,
            reason=redact(f"check `{command}` is flaky: it failed and passed on the same tree {tree}"),
            hint=f"`yoke show {subject.task or subject.epic}` names the log of the try that failed",
        )


def _how(failed: Exit) -> str:
    if failed.code not in _KILLED:
        return f"exit code {failed.code}"
    name = signal.Signals(-failed.code if failed.code < 0 else failed.code - 128).name
    return (
        f"it was killed by {name}, also when run once more, which says nothing of the work: {_REMEDIES[name]}"
    )


def proof_of(command: str, environment: str, *, flaky: bool, seconds: float) -> Proof:
    """What git is told of a command that passed: one line, without secrets."""
    line = " ".join(redact(command).split())
    if len(line) > _LONGEST_COMMAND:
        line = f"{line[: _LONGEST_COMMAND - 1]}…"
    return Proof("flaky" if flaky else "passed", environment, round(seconds, 3), line)


async def _arrival(flight: asyncio.Future[_Result | None], stop: asyncio.Event | None) -> _Result | None:
    """What somebody else finds out; None when they, or we, are stopped before."""
    halt = asyncio.ensure_future((stop or asyncio.Event()).wait())
    both: set[asyncio.Future[Any]] = {flight, halt}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        halt.cancel()
    return flight.result() if flight.done() else None


def fingerprint(environment: Mapping[str, str]) -> str:
    """Sixteen hex digits for what decides a check beside the tree: the machine and the environment."""
    lasting = {name: value for name, value in environment.items() if not name.startswith(_OF_THE_MOMENT)}
    facts = [platform.platform(), *(f"{name}={value}" for name, value in sorted(lasting.items()))]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
