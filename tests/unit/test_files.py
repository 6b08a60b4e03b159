"""Small files that are written whole."""

from __future__ import annotations

import fcntl
import os
import stat

import pytest

from yokeflow.files import remove_left, write_whole


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    file = tmp_path / "file"
    write_whole(file, "one")
    write_whole(file, b"t\xffo", durable=True)
    assert file.read_bytes() == b"t\xffo"
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_durable_is_so_by_its_name_too(tmp_path, monkeypatch):
    synced = []
    sync = os.fsync

    def note(file):
        kind = "folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "file"
        synced.append((kind, (tmp_path / "file").exists()))
        sync(file)

    monkeypatch.setattr("yokeflow.files.os.fsync", note)
    write_whole(tmp_path / "file", "text", durable=True)
    assert synced == [("file", False), ("folder", True)]


def test_what_no_utf8_can_say_is_written_as_it_was_read(tmp_path):
    write_whole(tmp_path / "file", os.fsdecode(b"\xe9"))
    assert (tmp_path / "file").read_bytes() == b"\xe9"


def test_the_mode_holds_whatever_the_umask_is(tmp_path):
    before = os.umask(0o077)
    try:
        write_whole(tmp_path / "program", "", mode=0o755)
        write_whole(tmp_path / "text", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "program").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "text").stat().st_mode) == 0o600


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "other").write_text("other")
    (tmp_path / "file").symlink_to(tmp_path / "other")
    write_whole(tmp_path / "file", "new")
    assert (tmp_path / "other").read_text() == "other"
    assert not (tmp_path / "file").is_symlink()


def test_a_failure_leaves_nothing_behind(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "folder", "text")
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path):
    for name in ("file.0123abcd", "file.0123abcx", "file.0123abc", "at-work.89abcdef", "file"):
        (tmp_path / name).touch()
    with (tmp_path / "at-work.89abcdef").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        remove_left(tmp_path)
    left = {"file.0123abcx", "file.0123abc", "at-work.89abcdef", "file"}
    assert {path.name for path in tmp_path.iterdir()} == left


def test_of_a_shared_folder_only_files_of_the_names_are_removed(tmp_path):
    for name in ("mine.md.0123abcd", "others.md.0123abcd"):
        (tmp_path / name).touch()
    remove_left(tmp_path, {"mine.md"})
    remove_left(tmp_path / "missing", {"mine.md"})
    assert [path.name for path in tmp_path.iterdir()] == ["others.md.0123abcd"]


def test_a_writer_whose_file_was_taken_for_one_that_was_left_writes_it_again(tmp_path, monkeypatch):
    lock = fcntl.flock
    calls: list[int] = []

    def late(file, how):
        if not calls:
            calls.append(how)
            remove_left(tmp_path)
        lock(file, how)

    monkeypatch.setattr("yokeflow.files.fcntl.flock", late)
    write_whole(tmp_path / "file", "text")
    assert (tmp_path / "file").read_text() == "text"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
