"""Sessions that end at the same time are learned from together, and none is lost by another."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from sqlalchemy import text

from yoke_expertise import begin_run, learn, turns
from yoke_expertise.memories import find
from yoke_expertise.runs import remembered
from yokeflow.config import Config
from yokeflow.errors import StoreError
from yokeflow.model import Task

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugins.lab import Lab
    from yoke_expertise.memories import Memory
    from yokeflow.model import SessionResult

CONFIG = Config()
_REFUSE = """
CREATE FUNCTION refuse_one() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'not this one'; END $$
"""


async def _done(lab: Lab, number: int) -> tuple[SessionResult, Path]:
    """A session that ran a command of its own; the first four changed two files together."""
    task = f"t{number}"
    base = await lab.head()
    names = ("api.py", "schema.json") if number < 4 else (f"other{number}.py",)
    head = await lab.commit(base, dict.fromkeys(names, f"{number}\n"))
    attempt = lab.attempt(task)
    lab.start(attempt, base)
    transcript = lab.transcript(attempt, f"make test-{number}")
    return lab.finish(attempt, base_commit=base, head_commit=head), transcript


async def _six(lab: Lab) -> list[tuple[SessionResult, Path]]:
    await lab.plan(*(Task(f"t{number}", "e", "Work") for number in range(6)))
    done = [await _done(lab, number) for number in range(6)]
    await lab.drain()
    return done


async def _learn(lab: Lab, *done: tuple[SessionResult, Path]) -> list[BaseException | None]:
    return await asyncio.gather(
        *(learn(result, transcript, CONFIG, lab.host(result.attempt)) for result, transcript in done),
        return_exceptions=True,
    )


async def _refuse(lab: Lab, session: str) -> None:
    """Let nobody store that this session was learned from."""
    async with lab.store.begin() as conn:
        await conn.execute(text(_REFUSE))
        await conn.execute(
            text(f"""CREATE TRIGGER refuse_one BEFORE INSERT ON expertise_sessions FOR EACH ROW
                     WHEN (NEW.session_id = '{UUID(session)}') EXECUTE FUNCTION refuse_one()""")
        )


async def _allow(lab: Lab) -> None:
    async with lab.store.begin() as conn:
        await conn.execute(text("DROP TRIGGER refuse_one ON expertise_sessions"))


async def _learned(lab: Lab) -> set[str]:
    async with lab.store.begin() as conn:
        return {str(each) for each in await conn.scalars(text("SELECT session_id FROM expertise_sessions"))}


async def _lessons(lab: Lab, kind: str) -> list[Memory]:
    async with lab.store.begin() as conn:
        return await find(conn, lab.project, kind=kind, status=())


async def test_sessions_that_end_together_teach_together(lab: Lab) -> None:
    done = await _six(lab)
    assert await _learn(lab, *done) == [None] * 6
    assert await _learned(lab) == {result.attempt.session for result, _ in done}
    assert len(await _lessons(lab, "command")) == 6
    (pair,) = await _lessons(lab, "co_change")
    assert pair.files == ("api.py", "schema.json")
    assert len(pair.evidence["sessions"]) == 4
    await lab.drain()
    async with lab.store.begin() as conn:
        goes = await conn.scalar(text("SELECT count(DISTINCT learned_at) FROM expertise_sessions"))
        told = await conn.scalars(text("SELECT session FROM events WHERE type = 'expertise.learned'"))
        assert set(told) == await _learned(lab), "each is told of its own session"
    assert goes
    assert goes < 6


async def test_one_that_cannot_be_stored_fails_alone(lab: Lab) -> None:
    done = await _six(lab)
    bad = done[3][0].attempt.session
    await _refuse(lab, bad)
    failed = await _learn(lab, *done)
    assert [isinstance(each, StoreError) for each in failed] == [number == 3 for number in range(6)]
    everyone = {result.attempt.session for result, _ in done}
    assert await _learned(lab) == everyone - {bad}
    assert len(await _lessons(lab, "command")) == 5
    await _allow(lab)
    await begin_run(CONFIG, lab.host())
    assert await _learned(lab) == everyone
    assert len(await _lessons(lab, "command")) == 6


async def test_one_that_is_missed_and_cannot_be_stored_keeps_no_other_from_it(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    done = await _six(lab)
    bad = done[0][0].attempt.session
    await _refuse(lab, bad)
    await begin_run(CONFIG, lab.host())
    assert await _learned(lab) == {result.attempt.session for result, _ in done} - {bad}
    assert f"session {bad} teaches nothing: the database refused: not this one" in caplog.text


async def test_one_that_is_cancelled_keeps_no_other_from_it(lab: Lab) -> None:
    done = await _six(lab)
    learning = [
        asyncio.create_task(learn(result, transcript, CONFIG, lab.host(result.attempt)))
        for result, transcript in done
    ]
    while not remembered(lab.host()).turns.busy:
        await asyncio.sleep(0)
    first = next(each for each in learning if not each.done())
    first.cancel()
    assert len(await asyncio.gather(*learning, return_exceptions=True)) == 6
    assert [each for each in learning if each.cancelled()] == [first]
    others = zip(done, learning, strict=True)
    assert {result.attempt.session for (result, _), each in others if each is not first} <= await _learned(
        lab
    )


async def test_nobody_waits_for_others_when_none_is_left(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_PAUSE", 600.0)
    done = await _six(lab)
    known = remembered(lab.host()).turns
    for result, _ in done:
        known.began(result.attempt.session)
    async with asyncio.timeout(20):
        assert await _learn(lab, done[0]) == [None]
        second = asyncio.create_task(_learn(lab, done[1]))
        while not known.busy:
            await asyncio.sleep(0)
        assert await _learned(lab) == {done[0][0].attempt.session}, "others may join"
        await _learn(lab, *done[2:])
        assert await second == [None]
    assert len(await _learned(lab)) == 6


async def test_what_nobody_could_store_is_learned_from_in_the_next_run(lab: Lab) -> None:
    done = await _six(lab)
    async with lab.store.begin() as conn:
        await conn.execute(text("ALTER TABLE expertise_sessions RENAME TO away"))
    failed = await _learn(lab, *done)
    assert all(isinstance(each, StoreError) for each in failed)
    async with lab.store.begin() as conn:
        await conn.execute(text("ALTER TABLE away RENAME TO expertise_sessions"))
    await begin_run(CONFIG, lab.host())
    assert len(await _learned(lab)) == 6
