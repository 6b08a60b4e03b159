"""What tokens cost: by the prices of the config, else by the list that comes with `genai-prices`.

A model that neither knows has no price, and no sum that it is part of has one: unknown is not free. A budget
counts what is known of such a sum all the same.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yokeflow.config import Config, Price
    from yokeflow.model import Usage

_MILLION: Final = Decimal(1_000_000)
_CACHE_READ: Final = Decimal("0.1")
_CACHE_WRITE: Final = Decimal("1.25")
#: What agents add to a model's name: its date, and the size of its context window.
_SUFFIX: Final = re.compile(r"(?:-20\d{6}|-20\d\d-\d\d-\d\d)?(?:\[\w+\])?$")


def price(used: Usage, config: Config) -> float | None:
    """Dollars for the tokens of one model; None for an unknown model."""
    found = exact_price(used, config)
    return None if found is None else float(found)


def price_all(usage: Sequence[Usage], config: Config) -> float | None:
    """Dollars for all of it; None where one of the models is unknown, and for no usage at all."""
    found = exact_sum(usage, config)
    return None if found is None else float(found)


def least(usage: Sequence[Usage], config: Config) -> Decimal:
    """What is known of the sum: more where one of the models has no price, and never less."""
    prices = (exact_price(used, config) for used in usage)
    return sum((each for each in prices if each is not None), Decimal())


def exact_sum(usage: Sequence[Usage], config: Config) -> Decimal | None:
    """`price_all` as a decimal number. An entry without a single token adds nothing to the others."""
    prices = [(used, exact_price(used, config)) for used in usage]
    known = [each for _, each in prices if each is not None]
    unknown = any(each is None and any(_counts(used)) for used, each in prices)
    return sum(known, Decimal()) if known and not unknown else None


def exact_price(used: Usage, config: Config) -> Decimal | None:
    """`price` as a decimal number."""
    rates = _own(used.model, config) or _listed(used.model)
    if rates is None:
        return None
    return sum((count * rate for count, rate in zip(_counts(used), rates, strict=True)), Decimal())


def tokens(usage: Sequence[Usage]) -> int:
    """Tokens of all kinds together."""
    return sum(sum(_counts(used)) for used in usage)


def _counts(used: Usage) -> tuple[int, int, int, int]:
    """In the order of rates. No agent has used less than nothing."""
    input_, output = max(used.input, 0), max(used.output, 0)
    return input_, output, max(used.cache_read, 0), max(used.cache_write, 0)


def _own(model: str, config: Config) -> tuple[Decimal, ...] | None:
    """Rates of the config: by the name as it is, else without its date and the size of its window."""
    prices = config.cost.prices
    found = prices.get(model) or prices.get(_SUFFIX.sub("", model))
    return None if found is None else _rates(found)


def _rates(given: Price) -> tuple[Decimal, ...]:
    fresh = _decimal(given.input)
    read = fresh * _CACHE_READ if given.cache_read is None else _decimal(given.cache_read)
    write = fresh * _CACHE_WRITE if given.cache_write is None else _decimal(given.cache_write)
    return tuple(each / _MILLION for each in (fresh, _decimal(given.output), read, write))


def _decimal(value: float) -> Decimal:
    """The number as somebody wrote it."""
    return Decimal(repr(value))


def _listed(model: str) -> tuple[Decimal, ...] | None:
    if not model:
        return None
    found: tuple[Decimal, ...] | None = _catalogue().rates(model)
    return found


@lru_cache(maxsize=1)
def _catalogue() -> Any:
    """The list of prices, whose import takes long: a run without such agents does without it."""
    return import_module("yoke_costs.catalogue")
