"""Expertise is revised at its interval, and shown in the checkout when a run starts."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from yoke_expertise import begin_run
from yoke_expertise.memories import Draft, find, save
from yoke_expertise.revision import after_session, at_start, when_due
from yokeflow.asking import HungError
from yokeflow.config import Config
from yokeflow.errors import GitError
from yokeflow.testing.host import host

DAILY = Config()
NEVER = Config.model_validate({"learning": {"self_improve_interval": "never"}})
OFF = Config.model_validate({"learning": {"enabled": False}})
NOTE = Draft("testing", "note", "Run the tests with -x first.", files=["gone.py"])


async def test_a_run_starts_with_files_that_show_what_was_learned(database_url: str, tmp_path: Path) -> None:
    async with host(database_url) as lent:
        lent.root, lent.tracked = tmp_path, ["a.py"]
        (tmp_path / ".git").mkdir()
        path = tmp_path / ".expertise" / "testing.yaml"
        await begin_run(DAILY, lent)
        assert not path.parent.exists(), "nothing is known yet"
        async with lent.begin() as conn:
            await save(conn, lent.project_id, NOTE, actor="extraction")
        for config in (NEVER, OFF):
            await begin_run(config, lent)
            assert not path.parent.exists()
        await begin_run(DAILY, lent)
        first = path.read_text()
        assert "with -x" in first
        assert [event.type for event in lent.events] == ["expertise.revised"]
        assert lent.events[0].data["versions"] == {"testing": 1}
        async with lent.begin() as conn:
            await save(conn, lent.project_id, Draft("testing", "note", "Second."), actor="extraction")
        await begin_run(DAILY, lent)
        assert path.read_text() == first, "the day is not over"
        async with lent.begin() as conn:
            await conn.execute(
                text("UPDATE expertise_files SET validated_at = now() - CAST(:age AS interval)"),
                {"age": timedelta(days=1)},
            )
        session = str(uuid4())
        await after_session(DAILY, lent, session)
        assert len(lent.events) == 1, "this run knows that it cannot be time"
        lent.run = str(uuid4())
        await after_session(DAILY, lent, session)
        assert [event.type for event in lent.events] == ["expertise.revised"] * 2
        assert path.read_text() == first, "nothing is written while a run goes on"
        assert not await when_due(DAILY, lent, session)
        await begin_run(DAILY, lent)
        assert "Second." in path.read_text()
        async with lent.begin() as conn:
            known = await conn.execute(
                text("SELECT session_id::text FROM expertise_updates ORDER BY version")
            )
            assert [row[0] for row in known] == [None, session]
            assert len(await find(conn, lent.project_id)) == 2


async def test_a_run_starts_although_nothing_can_be_written(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with host() as lent:
        await at_start(DAILY, lent)
        await after_session(DAILY, lent, str(uuid4()))
    async with host(database_url) as lent:
        lent.root = tmp_path
        (tmp_path / ".git").mkdir()
        (tmp_path / ".expertise").write_text("a file where the folder should be")
        async with lent.begin() as conn:
            await save(conn, lent.project_id, NOTE, actor="extraction")
        await at_start(DAILY, lent)
        (tmp_path / ".expertise").unlink()
        await at_start(DAILY, lent)
        path = tmp_path / ".expertise" / "testing.yaml"
        path.write_text("edited: by hand\n")
        await at_start(DAILY, lent)
        assert path.read_text() == "edited: by hand\n"
    said = [record.message for record in caplog.records]
    assert ["revised another time" in each for each in said] == [True, True, False, False]
    assert "were not written" in said[2]
    assert "yoke expertise import" in said[3]


async def test_a_run_starts_whatever_goes_wrong(
    database_url: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def cannot() -> list[str]:
        raise GitError(["ls-tree", "main"], 128, "the target branch is gone")

    def odd(*_: object) -> object:
        raise TypeError("no such value")

    async with host(database_url) as lent:
        lent.root = tmp_path
        (tmp_path / ".git").mkdir()
        lent.tracked_files = cannot  # type: ignore[method-assign] # what git may say at any time
        monkeypatch.setattr("yoke_expertise.learning.look", odd)
        async with lent.begin() as conn:
            await save(conn, lent.project_id, NOTE, actor="extraction")
        await begin_run(DAILY, lent)
        assert "catch_up failed: TypeError" in caplog.text
        assert "the target branch is gone" in caplog.text
        # An interruption by the core is no fault to be overlooked.
        monkeypatch.setattr("yoke_expertise.learning.look", hung)
        with pytest.raises(HungError):
            await begin_run(DAILY, lent)


def hung(*_: object) -> object:
    """Takes longer than the core waits."""
    raise HungError
