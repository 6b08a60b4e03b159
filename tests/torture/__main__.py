"""`make torture`: rounds of consecutive seeds, until the time or the number of rounds is up.

python -m tests.torture [--seed N] [--rounds N | --seconds N] [--folder FOLDER] [--keep-going]
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.torture.batch import Batch

if TYPE_CHECKING:
    from tests.torture.scenario import Scenario


def main() -> int:
    """Torture, tell what is broken, and how to see it again."""
    options = _options()
    for each in (signal.SIGTERM, signal.SIGINT):
        # Also where a shell started it in the background: what is mounted and what runs must not stay.
        signal.signal(each, signal.default_int_handler)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="yoke-torture-", dir="/tmp"))
    batch = Batch(folder)
    begin, done, broken, kinds = time.monotonic(), 0, 0, Counter[str]()
    with suppress(KeyboardInterrupt), batch.opened():
        for seed in range(options.seed, options.seed + options.rounds):
            if options.seconds and time.monotonic() - begin > options.seconds:
                break
            plan, good = _round(batch, seed)
            done += 1
            broken += not good
            kinds.update(plan.kinds)
            if not good and not options.keep_going:
                break
    _summary(batch, done, broken, kinds, time.monotonic() - begin)
    if not broken and options.folder is None:
        shutil.rmtree(folder)
    return 1 if broken else 0


def _round(batch: Batch, seed: int) -> tuple[Scenario, bool]:
    """Do a round and tell how it went; whether it broke nothing."""
    begin = time.monotonic()
    plan, outcome = batch.round(seed)
    took = time.monotonic() - begin
    say(f"{'BROKEN' if outcome.broken else 'ok':6} {seed:6} {took:5.1f} s  {plan} -> {outcome.codes}")
    if outcome.broken:
        for found in outcome.broken:
            say(f"    {found}")
        say(f"    folder: {batch.folder / f'round-{seed}'}")
        say(f"    again:  {sys.executable} -m tests.torture --seed {seed} --rounds 1")
    return plan, not outcome.broken


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.torture")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--rounds", type=int, default=100_000, help="at most so many rounds")
    parser.add_argument("--seconds", type=float, default=0, help="start no round after so many seconds")
    parser.add_argument("--folder", type=Path, help="where to work; a new folder below /tmp if not given")
    parser.add_argument("--keep-going", action="store_true", help="go on after a broken promise")
    return parser.parse_args()


def _summary(batch: Batch, done: int, broken: int, kinds: Counter[str], seconds: float) -> None:
    say(f"{done} rounds in {seconds:.0f} s, {broken} broken")
    say("faults: " + ", ".join(f"{name} {count}" for name, count in sorted(kinds.items())))
    for name, why in batch.skipped.items():
        say(f"left out: {name}: {why}")


def say(line: str) -> None:
    """Print at once, so that a log shows where it is."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
