"""What came of the sessions that lessons were chosen for, and the end of lessons that do not help."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from yoke_expertise.memories import StaleMemoryError, change, get, retire
from yoke_expertise.verdict import Arm, Arms, Effect, effect_of, spread_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yoke_expertise.memories import Memory

#: Sums of each lesson's settled uses, by arm. What completed and has not landed yet is not settled.
_ARMS = text("""
SELECT memory_id, held_out, count(*) AS uses, count(*) FILTER (WHERE landed) AS landed,
       count(cost_usd) AS priced, count(cost_usd) FILTER (WHERE landed) AS priced_landed,
       coalesce(sum(cost_usd), 0)::double precision AS cost,
       coalesce(sum(cost_usd * cost_usd), 0)::double precision AS cost_squared,
       coalesce(sum(cost_usd) FILTER (WHERE landed), 0)::double precision AS cost_of_landed
FROM memory_uses
WHERE project_id = CAST(:project AS uuid) AND landed IS NOT NULL
GROUP BY memory_id, held_out
""")

#: What is stored of lessons that are told.
_TOLD = text("""
SELECT id, pinned, evidence -> 'effect' AS effect FROM memories
WHERE project_id = CAST(:project AS uuid) AND status IN ('active', 'disputed')
""")

#: The stored effect is renewed when the verdict changes, or the probability or the uses by as much.
_NEWS: Final = 0.05
_MORE_USES: Final = 1.1
_ACTOR: Final = "evidence"


@dataclass(frozen=True, slots=True)
class Retired:
    """A lesson that was found not to help."""

    memory: Memory
    effect: Effect


async def arms_of(conn: AsyncConnection, project_id: UUID) -> dict[UUID, Arms]:
    """Every measured lesson's uses, the retired ones' too."""
    sums: dict[UUID, dict[bool, Arm]] = defaultdict(dict)
    for row in await conn.execute(_ARMS, {"project": str(project_id)}):
        memory, held_out, *totals = row
        sums[memory][held_out] = Arm(*totals)
    return {id_: Arms(arms.get(False, Arm()), arms.get(True, Arm())) for id_, arms in sums.items()}


async def effects(conn: AsyncConnection, project_id: UUID) -> dict[UUID, Effect]:
    """What is measured of every lesson that was ever chosen for a session."""
    arms = await arms_of(conn, project_id)
    # Retired lessons tell as much about how far effects scatter as those that are left.
    spread = spread_of(arms.values())
    return {id_: effect_of(each, spread) for id_, each in arms.items()}


async def effect(conn: AsyncConnection, memory: Memory) -> Effect:
    """What is measured of one lesson; `Effect()` of no uses where it never fitted a session."""
    return (await effects(conn, memory.project_id)).get(memory.id) or effect_of(Arms())


async def revise(conn: AsyncConnection, project_id: UUID, session: str = "") -> list[Retired]:
    """Retire lessons that harm or do not help, and store what is measured where it is news.

    A pinned lesson is never retired; what is measured of it is stored like any other's.
    """
    measured = await effects(conn, project_id)
    retired = []
    for row in (await conn.execute(_TOLD, {"project": str(project_id)})).all():
        found = measured.get(row.id)
        if found is None:
            continue
        useless = found.verdict in {"harms", "useless"} and not row.pinned
        if useless or _is_news(row.effect or {}, found):
            # Who changed it just now did not see this; the next session looks again.
            with suppress(StaleMemoryError):
                memory = await _note(conn, project_id, row.id, found, session)
                if useless:
                    retired.append(await _retire(conn, memory, found, session))
    return retired


async def _note(conn: AsyncConnection, project_id: UUID, id_: UUID, found: Effect, session: str) -> Memory:
    memory = await get(conn, project_id, str(id_))
    evidence = {**memory.evidence, "effect": _shown(found)}
    return await change(
        conn, id_, memory.version, actor=_ACTOR, reason=numbers(found), session=session, evidence=evidence
    )


async def _retire(conn: AsyncConnection, memory: Memory, found: Effect, session: str) -> Retired:
    reason = f"{found.verdict}: {numbers(found)}"
    return Retired(await retire(conn, memory.id, reason, actor=_ACTOR, session=session), found)


def numbers(effect: Effect) -> str:
    """An effect in words, such as `landed 12 of 20 with it, 5 of 6 without it (-23 points, -52 to +14)`."""
    rates = (
        f"landed {effect.landed_given} of {effect.given} with it, "
        f"{effect.landed_held_out} of {effect.held_out} without it"
    )
    if effect.rate_difference is None or effect.low is None or effect.high is None:
        return rates
    told = (
        f"{rates} ({_points(effect.rate_difference)} points, {_points(effect.low)} to {_points(effect.high)}"
    )
    if effect.cost_difference is None or effect.cost_low is None or effect.cost_high is None:
        return f"{told})"
    cost, low, high = (
        f"{'-' if each < 0 else '+'}${abs(each):.2f}"
        for each in (effect.cost_difference, effect.cost_low, effect.cost_high)
    )
    return f"{told}; {cost} per landed session, {low} to {high})"


def _points(share: float) -> str:
    return f"{round(100 * share):+d}"


def _shown(effect: Effect) -> dict[str, Any]:
    """As JSON, rounded to what can be told apart."""
    return {
        name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(effect).items()
    }


def _is_news(stored: Mapping[str, Any], found: Effect) -> bool:
    """Every change is a line in the log; one for every session would say nothing."""
    uses = found.given + found.held_out
    before = stored.get("given", 0) + stored.get("held_out", 0)
    return bool(
        stored.get("verdict", "open") != found.verdict
        or abs(stored.get("probability", 0.5) - found.probability) >= _NEWS
        or uses >= max(_MORE_USES * before, before + 10)
    )
