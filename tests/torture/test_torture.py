"""A few rounds of torture, with seeds that together have every kind of fault; `make torture` does many."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.torture.batch import Batch
from tests.torture.plans import BAD, GOOD
from tests.torture.scenario import CLASHES, DEEDS, KILL_KINDS, scenario

#: Chosen so that `test_the_seeds_have_every_kind_of_fault` holds, and so that none of them takes long.
SEEDS = (1,)


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Batch]:
    """One server for all rounds."""
    made = Batch(Path("/tmp") / tmp_path_factory.mktemp("torture").parent.name / "torture")
    with made.opened():
        yield made


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_round_breaks_no_promise(batch: Batch, seed: int) -> None:
    plan, outcome = batch.round(seed)
    again = f"python -m tests.torture --seed {seed} --rounds 1"
    assert not outcome.broken, f"{plan}\n{outcome.codes}\n{again}\n" + "\n".join(outcome.broken)


def test_the_seeds_have_every_kind_of_fault() -> None:
    kinds = {kind for seed in SEEDS for kind in scenario(seed).kinds}
    assert {*KILL_KINDS, *DEEDS, *CLASHES, *BAD, *GOOD, "budget"} <= kinds


def test_a_seed_says_all_about_its_round() -> None:
    assert [scenario(seed) for seed in range(50)] == [scenario(seed) for seed in range(50)]
