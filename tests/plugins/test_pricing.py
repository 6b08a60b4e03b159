"""What tokens cost, by the list and by the config; what nobody knows is unknown and not free."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest

import yoke_costs
from yoke_costs.catalogue import newest, rates
from yoke_costs.pricing import price
from yokeflow.config import Config
from yokeflow.model import Usage

#: A million tokens read, a tenth written, and what went out of the cache and into it.
MUCH = {"input": 1_000_000, "output": 100_000, "cache_read": 500_000, "cache_write": 200_000}


def priced(*usage: Usage, **cost: Any) -> float | None:
    return yoke_costs.price_usage(usage, Config.model_validate({"cost": cost}))


@pytest.mark.parametrize(
    ("model", "dollars"),
    [
        # 3 + 0.1 x 15 + 0.5 x 0.30 + 0.2 x 3.75; one request as long as this would cost twice that.
        ("claude-sonnet-4-5-20250929", 5.40),
        ("claude-sonnet-4-5", 5.40),
        ("claude-sonnet-4-5[1m]", 5.40),
        ("anthropic/claude-sonnet-4-5", 5.40),
        ("openrouter/anthropic/claude-sonnet-4.5", 5.40),
        # A tenth more in one region.
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", 5.94),
        # 15 + 0.1 x 75 + 0.5 x 1.50 + 0.2 x 18.75
        ("claude-opus-4-1-20250805", 27.00),
        # 1.25 + 0.1 x 10 + 0.5 x 0.125; writing to the cache costs as much as reading afresh.
        ("gpt-5-codex", 2.5625),
        ("GPT-5", 2.5625),
    ],
)
def test_models_cost_what_their_makers_list(model: str, dollars: float) -> None:
    assert priced(Usage(model, **MUCH)) == pytest.approx(dollars, abs=1e-9)


def test_cached_tokens_are_not_paid_twice() -> None:
    fresh, cached = Usage("claude-sonnet-4-5", input=1000), Usage("claude-sonnet-4-5", cache_read=1000)
    assert priced(fresh) == pytest.approx(0.003)
    assert priced(cached) == pytest.approx(0.0003)
    assert priced(fresh, cached) == pytest.approx(0.0033)


@pytest.mark.parametrize("model", ["mystery", "", "claude-sonnet-99", "<synthetic>", "moderation", "/", "m1"])
def test_an_unknown_model_makes_the_whole_sum_unknown(model: str) -> None:
    known = Usage("claude-sonnet-4-5", input=1000)
    assert priced(Usage(model, input=5)) is None
    assert priced(known, Usage(model, input=5)) is None
    assert priced(Usage(model)) is None
    assert priced(known, Usage(model)) == priced(known)


def test_no_usage_has_no_price() -> None:
    assert priced() is None
    assert priced(Usage("claude-sonnet-4-5", input=1), enabled=False) is None


def test_short_names_are_the_newest_of_their_family() -> None:
    names = newest()
    for family in ("sonnet", "opus", "haiku"):
        assert names[family].startswith(f"claude-{family}-")
        assert rates(family) == rates(f"{family}[1m]") == rates(names[family]) is not None
    found = rates("sonnet")
    assert found is not None
    assert found.cache_read < found.input < found.output


def test_the_config_comes_before_the_list() -> None:
    prices = {"gpt-5": {"input": 2, "output": 8, "cache_read": 0.5, "cache_write": 3}}
    assert priced(Usage("gpt-5", **MUCH), prices=prices) == pytest.approx(2 + 0.8 + 0.25 + 0.6)
    assert priced(Usage("gpt-5-2025-08-07", **MUCH), prices=prices) == pytest.approx(3.65)
    assert priced(Usage("gpt-5-codex", **MUCH), prices=prices) == pytest.approx(2.5625)


def test_the_config_knows_models_that_the_list_does_not() -> None:
    prices = {"in-house": {"input": 1, "output": 4}, "free": {"input": 0, "output": 0}}
    # The cache costs a tenth, and five quarters, of the input.
    assert priced(Usage("in-house", **MUCH), prices=prices) == pytest.approx(1 + 0.4 + 0.05 + 0.25)
    assert priced(Usage("free", **MUCH), prices=prices) == 0.0
    assert priced(Usage("free", 1), Usage("mystery", 1), prices=prices) is None


def test_prices_are_decimal_numbers_until_the_end() -> None:
    config = Config.model_validate({"cost": {"prices": {"m": {"input": 0.1, "output": 0.3}}}})
    usage = [Usage("m", input=1), Usage("m", output=1)]
    assert yoke_costs.pricing.exact_sum(usage, config) == Decimal("0.0000004")
    assert price(usage[0], config) == 1e-7


def test_counts_below_zero_give_nothing_back() -> None:
    assert priced(Usage("gpt-5", input=-5, output=100)) == pytest.approx(0.001)


def test_the_list_is_loaded_only_when_it_is_needed() -> None:
    script = (
        "import sys, yoke_costs\n"
        "from yokeflow.config import Config\n"
        "from yokeflow.model import Usage\n"
        "config = Config.model_validate({'cost': {'prices': {'m': {'input': 1, 'output': 1}}}})\n"
        "assert yoke_costs.price_usage([Usage('m', 10)], config) == 1e-5\n"
        "assert not {'genai_prices', 'sqlalchemy'} & sys.modules.keys()\n"
        "assert yoke_costs.price_usage([Usage('gpt-5', 10)], config) == 1.25e-5\n"
        "assert 'genai_prices' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
