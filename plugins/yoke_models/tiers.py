"""Tiers, the strengths by which the plugin thinks, and the models they stand for with each kind of agent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from yokeflow.config import Tiers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yokeflow.config import Config

#: The weakest and cheapest first.
ORDER: Final = ("fast", "balanced", "powerful")
_CLAUDE: Final = Tiers(fast="haiku", balanced="sonnet", powerful="opus")
#: Dollars for a million tokens read and a million written, by the list prices of the tiers of `claude`: what
#: counts where `cost.prices` does not know a model is how they compare.
_PRICES: Final = {"fast": 6.0, "balanced": 18.0, "powerful": 30.0}


@dataclass(frozen=True, slots=True)
class Known:
    """The models of one kind of agent by tier, the weakest first. An agent may know some tiers only."""

    kind: str
    models: Mapping[str, str]

    def nearest(self, tier: str) -> str:
        """The tier itself, else the next stronger one that is known, else the strongest; needs a model."""
        return self.clamp(tier, (tier, ORDER[-1])) or list(self.models)[-1]

    def clamp(self, tier: str, bounds: tuple[str, str]) -> str:
        """The known tier within bounds that is nearest to `tier`, the stronger of two; empty for none."""
        lowest, highest = ORDER.index(bounds[0] or ORDER[0]), ORDER.index(bounds[1] or ORDER[-1])
        place = ORDER.index(tier)
        inside = [each for each in self.models if lowest <= ORDER.index(each) <= highest]
        return min(inside, key=lambda each: (abs(ORDER.index(each) - place), -ORDER.index(each)), default="")

    def above(self, tier: str) -> str:
        """The next stronger known tier; the strongest has only itself."""
        place = ORDER.index(tier)
        return next((each for each in self.models if ORDER.index(each) > place), list(self.models)[-1])

    def below(self, tier: str) -> tuple[str, ...]:
        """The weaker known tiers, the weakest first."""
        return tuple(each for each in self.models if ORDER.index(each) < ORDER.index(tier))

    def tier_of(self, model: str) -> str:
        """The tier of a model, `claude-sonnet-4-5` being a `sonnet`; empty when it belongs to none."""
        exact = {name: tier for tier, name in self.models.items()}
        if model in exact or not model:
            return exact.get(model, "")
        spelt = model.lower()
        return next((tier for name, tier in exact.items() if name.lower() in spelt), "")


def kind_of(agent: str, config: Config) -> str:
    """The name under which an agent has tiers and experience: its own where that has tiers, else its kind."""
    return agent if agent in config.models.tiers else config.agent_options(agent).kind or agent


def known(kind: str, config: Config) -> Known:
    """The tiers of a kind of agent, or of an agent that has its own, by the config."""
    tiers = config.models.tiers.get(kind, _CLAUDE if kind == "claude" else Tiers())
    named = {tier: getattr(tiers, tier) for tier in ORDER}
    return Known(kind, {tier: model for tier, model in named.items() if model})


def tier_of_session(agent: str, model: str, stored: str, config: Config) -> str:
    """The tier that a session's model has by now; the stored one counts only where no model is known."""
    tiers = known(kind_of(agent, config), config)
    return tiers.tier_of(model) if model else (stored if stored in tiers.models else "")


def price(tier: str, model: str, config: Config) -> float:
    """What a million tokens read and a million written cost, in dollars; of use to compare tiers."""
    own = config.cost.prices.get(model)
    return own.input + own.output if own and own.input + own.output > 0 else _PRICES[tier]


def tier_elsewhere(model: str, config: Config) -> str:
    """The tier of what is the name of a model of another kind of agent; empty when it is none."""
    for kind in ("claude", *config.models.tiers):
        for tier, name in known(kind, config).models.items():
            if name == model:
                return tier
    # Of the tiers of `claude` alone it is known that they name families.
    return known("claude", config).tier_of(model)
