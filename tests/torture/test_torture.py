"""A few rounds of torture, with seeds that together have every kind of fault; `make torture` does many."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.torture.batch import Batch
from tests.torture.extras import EXTRA_KINDS
from tests.torture.kills import KILL_KINDS
from tests.torture.plans import BAD, GOOD
from tests.torture.scenario import CLASHES, DEEDS, scenario

#: Chosen so that `test_the_seeds_have_every_kind_of_fault` holds, and so that none of them takes long.
SEEDS = (2069, 13243, 1544, 98785, 17328, 61761, 87851, 77820, 14131, 68704)


@pytest.fixture(scope="module")
def batch(server_url: str) -> Iterator[Batch]:
    """A folder for all rounds; with a short name, since sockets are in there."""
    folder = Path(tempfile.mkdtemp(prefix="yoke-torture-", dir="/tmp"))
    made = Batch(folder, server_url, "template_yoke")
    with made.opened():
        yield made
    if not list(folder.glob("round-*")):
        shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_round_breaks_no_promise(batch: Batch, seed: int) -> None:
    plan, outcome = batch.round(seed)
    again = f"python -m tests.torture --seed {seed} --rounds 1"
    assert not outcome.broken, f"{plan}\n{outcome.codes}\n{again}\n" + "\n".join(outcome.broken)


def test_the_seeds_have_every_kind_of_fault() -> None:
    kinds = {kind for seed in SEEDS for kind in scenario(seed).kinds}
    assert {*KILL_KINDS, *DEEDS, *CLASHES, *BAD, *GOOD, *EXTRA_KINDS, "budget"} <= kinds


def test_a_seed_says_all_about_its_round() -> None:
    assert [scenario(seed) for seed in range(50)] == [scenario(seed) for seed in range(50)]
