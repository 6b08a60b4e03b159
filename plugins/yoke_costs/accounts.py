"""What is spent and set aside, by task, epic, run and day.

The books of a run are loaded once and kept in memory from there on, by one thread: a check and what it sets
aside cannot be torn apart, and the database may be away. What is spent and what is set aside together never
pass a limit, except by what a session has used already when its agent tells. A session counts on the day it
starts on.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from yoke_costs.amounts import NOTHING, UNITS, Amount, Unit
from yoke_costs.estimates import Estimates, Trait
from yoke_costs.limits import Limit, Mark, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import date

    from yokeflow.model import Attempt

#: A scope and the id of the task or epic, empty for the run, or the day's date.
Key = tuple[Scope, str]
RUN: Final[Key] = ("run", "")


@dataclass
class Account:
    """One scope's sums."""

    spent: Amount = NOTHING
    #: All that running sessions may use.
    held: Amount = NOTHING
    #: The part of it that they probably will.
    likely: Amount = NOTHING

    def used(self, unit: Unit) -> int:
        """Spent and set aside."""
        return self.spent[unit] + self.held[unit]


@dataclass
class Holding:
    """What one running session has set aside, and where."""

    keys: tuple[Key, ...]
    trait: Trait
    amount: Amount = NOTHING
    #: The part of it that the session will probably use.
    likely: Amount = NOTHING


@dataclass(frozen=True, slots=True)
class Short:
    """A limit that does not reach."""

    limit: Limit
    name: str
    spent: int
    held: int
    #: What was asked for.
    wanted: int

    @property
    def passes(self) -> bool:
        """Whether it would not reach even if everything that is set aside became free."""
        return not _reaches(self.limit, self.spent, self.wanted)


def _reaches(limit: Limit, used: int, wanted: int) -> bool:
    """Whether so much more may be used. Where nothing is left no session starts."""
    empty = limit.unit != "sessions" and used >= limit.most
    return not empty and used + wanted <= limit.most


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Books:
    """The accounts that sessions of one run fall under."""

    clock: Callable[[], datetime] = _now
    accounts: dict[Key, Account] = field(default_factory=dict)
    #: By session.
    holdings: dict[str, Holding] = field(default_factory=dict)
    estimates: Estimates = field(default_factory=Estimates)
    _warned: set[tuple[object, ...]] = field(default_factory=set)

    def keys(self, attempt: Attempt) -> tuple[Key, ...]:
        """The accounts that an attempt falls under if it starts now."""
        task = attempt.task
        return (("task", task.id), ("epic", task.epic), RUN, self.day())

    def day(self, date: date | None = None) -> Key:
        """The account of a day; of today if none is given."""
        return ("day", (date or self.clock().astimezone(UTC).date()).isoformat())

    def account(self, key: Key) -> Account:
        """Its sums so far."""
        return self.accounts.setdefault(key, Account())

    def hold(self, attempt: Attempt, amount: Amount, limits: Sequence[Limit]) -> Short | None:
        """Set an amount aside in every account; where one does not reach, change nothing and say which.

        A limit that will not reach however the others end comes before one that may; a smaller scope before
        a larger one.
        """
        self.refund(attempt.session)
        keys = self.keys(attempt)
        short = [
            _short(limit, name, account, amount[limit.unit])
            for limit, name, account in self._falls_under(keys, limits)
            if not _reaches(limit, account.used(limit.unit), amount[limit.unit])
        ]
        if short:
            return next((each for each in short if each.passes), short[0])
        self.holdings[attempt.session] = Holding(keys, Trait.of(attempt))
        self._set(attempt.session, amount, amount)
        return None

    def promise(self, session: str, usd: int, limits: Sequence[Limit]) -> int:
        """Set so many dollars aside for a session, as far as every limit reaches; gives what it has then."""
        holding = self.holdings[session]
        most = self._possible(session, "usd", usd, limits)
        self._set(session, holding.amount.at_least(Amount(most)), holding.likely)
        return holding.amount.usd

    def grow(self, session: str, used: Amount, limits: Sequence[Limit]) -> Short | None:
        """Set aside what a running session has used, when that is more than before.

        Where a limit does not reach, all that is left is set aside, since it is spent; the answer says which.
        """
        holding = self.holdings[session]
        wanted = holding.amount.at_least(used)
        more = wanted - holding.amount
        short = [
            _short(limit, name, account, wanted[limit.unit], own=holding.amount[limit.unit])
            for limit, name, account in self._falls_under(holding.keys, limits)
            if account.used(limit.unit) + more[limit.unit] > limit.most and more[limit.unit]
        ]
        granted = Amount(*(self._possible(session, unit, wanted[unit], limits) for unit in UNITS))
        self._set(session, granted, granted.at_most(holding.likely.at_least(used)))
        return short[0] if short else None

    def reach(self, session: str, unit: Unit, limits: Sequence[Limit]) -> int | None:
        """The most that a session can have set aside now, its own included; None without a limit."""
        own = self.holdings[session].amount[unit]
        rooms = self.room(session, unit, limits)
        return min((max(limit.most - account.used(unit), 0) + own for limit, account in rooms), default=None)

    def room(self, session: str, unit: Unit, limits: Sequence[Limit]) -> Iterator[tuple[Limit, Account]]:
        """The limits in a unit that a session falls under, each with its account."""
        for limit, _, account in self._falls_under(self.holdings[session].keys, limits):
            if limit.unit == unit:
                yield limit, account

    def settle(
        self, session: str, usd: int | None, tokens: int | None, least: Amount = NOTHING
    ) -> Holding | None:
        """Count what a session used instead of what was set aside.

        Of what nobody knows, all counts that was set aside, and `least` where that is more. None for a
        session that has nothing set aside: it was settled before.
        """
        holding = self.holdings.get(session)
        if holding is None:
            return None
        unknown = holding.amount.at_least(least)
        used = replace(
            holding.amount,
            usd=unknown.usd if usd is None else usd,
            tokens=unknown.tokens if tokens is None else tokens,
        )
        self.refund(session)
        self.spend(holding.keys, used)
        return holding

    def refund(self, session: str) -> Holding | None:
        """Give back what was set aside for a session, as if it had never been."""
        if session not in self.holdings:
            return None
        self._set(session, NOTHING, NOTHING)
        return self.holdings.pop(session)

    def spend(self, keys: Sequence[Key], amount: Amount) -> None:
        """Count what is spent already."""
        for key in keys:
            self.account(key).spent += amount

    def tightest(self, attempt: Attempt, limits: Sequence[Limit]) -> tuple[Limit, int] | None:
        """The limit of which the smallest share is left, and what is and probably will be spent of it."""
        found = [
            (limit, account.spent[limit.unit] + account.likely[limit.unit])
            for limit, _, account in self._falls_under(self.keys(attempt), limits)
        ]
        return min(found, key=_share_left, default=None)

    def marks(self, keys: Sequence[Key], limits: Sequence[Limit], shares: Sequence[float]) -> list[Mark]:
        """The shares of limits that have been spent since the last call; what is set aside may come back."""
        reached = [
            Mark(limit, name, account.spent[limit.unit], share)
            for limit, name, account in self._falls_under(keys, limits)
            for share in sorted(shares)
            if limit.most and account.spent[limit.unit] >= Fraction(repr(share)) * limit.most
        ]
        fresh = [mark for mark in reached if mark.place not in self._warned]
        self._warned |= {mark.place for mark in fresh}
        return fresh

    def _falls_under(
        self, keys: Sequence[Key], limits: Sequence[Limit]
    ) -> Iterator[tuple[Limit, str, Account]]:
        names = dict(keys)
        for limit in limits:
            if limit.scope in names:
                name = names[limit.scope]
                yield limit, name, self.account((limit.scope, name))

    def _possible(self, session: str, unit: Unit, wanted: int, limits: Sequence[Limit]) -> int:
        most = self.reach(session, unit, limits)
        return wanted if most is None else min(wanted, most)

    def _set(self, session: str, amount: Amount, likely: Amount) -> None:
        """Set aside exactly so much for a session, of which it will probably use `likely`."""
        holding = self.holdings[session]
        for key in holding.keys:
            account = self.account(key)
            account.held = account.held - holding.amount + amount
            account.likely = account.likely - holding.likely + likely
        holding.amount, holding.likely = amount, likely


def _short(limit: Limit, name: str, account: Account, wanted: int, *, own: int = 0) -> Short:
    return Short(limit, name, account.spent[limit.unit], account.held[limit.unit] - own, wanted)


def _share_left(found: tuple[Limit, int]) -> Fraction:
    limit, used = found
    return Fraction(max(limit.most - used, 0), limit.most) if limit.most else Fraction(0)
