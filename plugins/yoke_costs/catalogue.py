"""List prices of models, from the data that `genai-prices` brings along; nothing is fetched.

Importing this takes some tenths of a second: `pricing` does it when the first price is wanted.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date
    from decimal import Decimal

#: Models of Anthropic with their version, such as `claude-sonnet-4-5`.
_FAMILY: Final = re.compile(r"claude-([a-z]+)-(\d+)(?:-(\d+))?")
#: How Claude Code marks the long context window.
_WINDOW: Final = re.compile(r"\[\w+\]$")
#: Amazon Bedrock, with or without the region.
_BEDROCK: Final = re.compile(r"(?:\w+\.)?(?:anthropic|amazon|meta|mistral|openai|deepseek)\.")


class Rates(NamedTuple):
    """Dollars for one token."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal


def rates(model: str) -> Rates | None:
    """Today's rates of a model by the name that an agent gives it; None for one that is not in the list."""
    return _rates(model, datetime.now(UTC).date())


@lru_cache(maxsize=1024)
def _rates(model: str, _today: date) -> Rates | None:
    name = _WINDOW.sub("", model.strip().lower())
    name = newest().get(name, name)
    return next((found for each, provider in _spellings(name) if (found := _ask(each, provider))), None)


def _spellings(name: str) -> Iterator[tuple[str, str | None]]:
    """How the list may know the model: as it is, at Bedrock, or at the provider before the slash."""
    if _BEDROCK.match(name):
        yield name, "aws"
    yield name, None
    provider, slash, rest = name.partition("/")
    if slash:
        yield rest, provider
        yield from _spellings(rest)


def _ask(name: str, provider: str | None) -> Rates | None:
    """Rates of single tokens: those of long requests do not fit a session's sums over many requests."""
    try:
        given = [
            calc_price(Usage(**counts), name, provider_id=provider)
            for counts in (
                {"input_tokens": 1},
                {"output_tokens": 1},
                # What the list calls input includes what came out of the cache or went into it.
                {"input_tokens": 1, "cache_read_tokens": 1},
                {"input_tokens": 1, "cache_write_tokens": 1},
            )
        ]
    except LookupError:
        return None
    if given[0].model_price.input_mtok is None or given[0].model_price.output_mtok is None:
        return None
    return Rates(*(each.total_price for each in given))


@lru_cache(maxsize=1)
def newest() -> dict[str, str]:
    """The newest model of each family of Anthropic: what Claude Code means by `sonnet` and the like."""
    versions: dict[str, tuple[tuple[int, int], str]] = {}
    anthropic = next(each for each in get_snapshot().providers if each.id == "anthropic")
    for model in anthropic.models:
        if found := _FAMILY.fullmatch(model.id):
            version = (int(found[2]), int(found[3] or 0))
            versions[found[1]] = max(versions.get(found[1], ((0, 0), "")), (version, model.id))
    return {family: name for family, (_, name) in versions.items()}
