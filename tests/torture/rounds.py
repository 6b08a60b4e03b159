"""One round: runs that are killed one after the other, then one that ends by itself, then the checker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.torture.acts import Acts
from tests.torture.deeds import BETWEEN, Deeds
from tests.torture.look import belongings, tip
from tests.torture.running import PAUSE, TortureError, bound, run

if TYPE_CHECKING:
    from tests.torture.kills import Kill
    from tests.torture.scenario import Phase
    from tests.torture.world import World

#: Runs at the end until nothing is left to do.
_LAST_RUNS = 8
#: Exit codes after which another run is of no use: a defect, and a budget.
_HOPELESS = (3, 4)
#: Seconds for processes to go once the last run has ended.
_GOING = 5.0


@dataclass(frozen=True)
class Outcome:
    """How a round went."""

    broken: list[str]
    #: Exit codes of all runs, negative for signals.
    codes: list[int]


def torture(world: World, database: str, spare: str = "") -> Outcome:
    """Do the round in its folder, which is new; `database` is where the checker looks.

    With the address of a `spare` database, the store is lost at the end, and must be the same again from git.
    """
    world.build()
    before = belongings(world.shop)
    world.describe(before=before, database=database)
    acts = Acts(world)
    deeds = Deeds(world, acts)
    codes: list[int] = []
    try:
        acts.begin()
        for phase in world.scenario.phases:
            codes.append(_phase(world, phase, deeds))
            if world.scenario.extras.prompt and world.scenario.extras.answers:
                acts.answer()
            acts.undo(len(codes))
        ended = _to_the_end(world, acts, codes)
        if acts.undo():
            ended = _to_the_end(world, acts, codes)
        acts.end()
    except TortureError as error:
        return Outcome([str(error)], codes)
    finally:
        _end_processes(world)
    world.describe(before=before, database=database, exit_codes=codes, ended=ended)
    broken = [*_surprises(world), *_verdict(world)]
    if ended and spare and not broken:
        broken += _second_copy(world, spare)
    return Outcome(broken, codes)


def _phase(world: World, phase: Phase, deeds: Deeds) -> int:
    """One run with what happens meanwhile; its exit code."""
    to_do = [deed for deed in phase.deeds if deed.what not in BETWEEN]
    base, begin = world.records(), time.monotonic()
    started = world.start("run", kill=phase.kill)
    while started.poll() is None:
        elapsed = time.monotonic() - begin
        if phase.kill.how == "time" and elapsed > phase.kill.at:
            started.send_signal(signal.SIGKILL)
        if to_do and world.records() - base >= to_do[0].after:
            deeds.do(to_do.pop(0), started)
        bound(world, started, elapsed)
        time.sleep(PAUSE)
    deeds.undo()
    _settled(world, phase.kill)
    for deed in (*to_do, *(deed for deed in phase.deeds if deed.what in BETWEEN)):
        deeds.do(deed, None)
    deeds.undo()
    return started.returncode or 0


def _settled(world: World, kill: Kill) -> None:
    """Let a git that outlives its orchestrator be at work while the next run starts, unless it would not."""
    if kill.how == "git" and kill.mode in {"meanwhile", "late"}:
        return
    time.sleep(0.02)


def _to_the_end(world: World, acts: Acts, codes: list[int]) -> bool:
    """Run until all is done, as a person would, who answers what is asked. False when that is no use."""
    for _ in range(_LAST_RUNS + world.scenario.extras.answers):
        codes.append(run(world, "run"))
        if codes[-1] == 0:
            return True
        if codes[-1] in _HOPELESS or not acts.answer():
            return False
    return False


def _second_copy(world: World, spare: str) -> list[str]:
    """Lose the store and everything it was made from but git, and bring it back; nothing is done again."""
    before = tip(world.shop)
    world.lose_the_store(spare)
    codes = [run(world, "db", "rebuild", "--yes"), run(world, "run")]
    broken = _verdict(world, spare)
    if codes != [0, 0] or tip(world.shop) != before:
        broken.append(f"after a rebuild: exit codes {codes}, main was {before} and is {tip(world.shop)}")
    return [*broken, *_surprises(world)]


def _surprises(world: World) -> list[str]:
    """Errors that nobody expected, in any run."""
    said = {log.name: log.read_text(errors="replace") for log in sorted((world.folder / "log").iterdir())}
    return [
        f"{name}: an unexpected error:\n{text[-1500:]}"
        for name, text in said.items()
        if "Traceback" in text or "unexpected error" in text
    ]


def _verdict(world: World, *more: str) -> list[str]:
    """What the checker says, which is a program of its own."""
    done = subprocess.run(
        (sys.executable, "-m", "tests.torture.checker", str(world.folder), *more),
        cwd=Path(__file__).parents[2],
        env={name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "YOKE_"))},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    try:
        found: list[str] = json.loads(done.stdout)
    except ValueError:
        return [f"the checker failed:\n{done.stdout}{done.stderr}"]
    return found


def _end_processes(world: World) -> None:
    """Note what is left for the checker, then end it. Who was killed may need a moment to go."""
    until = time.monotonic() + _GOING
    while (left := world.processes()) and time.monotonic() < until:
        time.sleep(0.05)
    for process in left:
        try:
            line = " ".join(process.cmdline())
            world.note("processes.log", process.pid, line)
            process.kill()
        except Exception as error:  # noqa: BLE001 - it ended meanwhile
            world.note("processes-gone.log", error)
