"""What hooks note is read in whole lines, whoever writes meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from yokeflow.git import hook_config, spool
from yokeflow.git.spool import Seen, Spool


def line(number: int) -> str:
    return f"1 post-commit {number:040x} refs/heads/main\n"


def seen(reader: Spool) -> list[int]:
    notes = [int(note.commit, 16) for note in reader.take({}) if isinstance(note, Seen)]
    reader.done({})
    return notes


def test_a_line_that_is_still_being_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    new, taken = tmp_path / "spool", tmp_path / "spool.read"
    new.write_text(line(1) + line(2)[:20])
    reader = Spool(tmp_path)
    assert seen(reader) == [1]
    # The hook has the file open that was renamed.
    with taken.open("a") as opened:
        opened.write(line(2)[20:])
    assert seen(Spool(tmp_path)) == [2]
    new.write_text(line(3))
    assert seen(Spool(tmp_path)) == [3]
    assert seen(Spool(tmp_path)) == []


def test_what_is_too_much_to_be_read_at_once_is_read_later_without_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_MOST", len(line(1)) * 2 + 10)
    (tmp_path / "spool").write_text("".join(line(number) for number in range(1, 6)))
    assert [seen(Spool(tmp_path)) for _ in range(4)] == [[1, 2], [3, 4], [5], []]


def test_a_lock_that_another_takes_once_ours_is_gone_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, lock = tmp_path / "config", tmp_path / "config.lock"
    file.write_text("old\n")
    replace = Path.replace

    def taken_at_once(self: Path, target: Path) -> Path:
        done = replace(self, target)
        lock.write_text("of another\n")
        return done

    monkeypatch.setattr(Path, "replace", taken_at_once)
    assert hook_config.swap(file, "old\n", "new\n")
    assert (file.read_text(), lock.read_text()) == ("new\n", "of another\n")
    lock.unlink()
    assert not hook_config.swap(file, "old\n", "newer\n")
    assert not lock.exists()
