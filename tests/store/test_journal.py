from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from yokeflow.errors import DiskFullError
from yokeflow.events import Event

if TYPE_CHECKING:
    from yokeflow.store.journal import Journal


def everything(journal: Journal) -> list[Event]:
    events: list[Event] = []
    chunk = journal.read("", 0)
    while chunk.events:
        events += chunk.events
        chunk = journal.read(chunk.generation, chunk.offset)
    return events


def test_what_is_appended_is_read_in_order_and_whole(journal):
    events = [
        Event("task.ready", task=f"t{n}", data={"text": "Zeile\nzwei\r \u2028 ü", "n": n})
        for n in range(1200)
    ]
    journal.append(*events[:700])
    journal.append(*events[700:])
    assert everything(journal) == events


def test_no_file_is_an_empty_journal(journal):
    assert journal.read("gone", 99).events == ()
    assert not journal.compact("", 10)
    assert not journal.path.exists()


def test_read_goes_on_where_it_stopped(journal):
    journal.append(*(Event("task.ready", task=str(n)) for n in range(5)))
    first = journal.read("", 0, limit=2)
    second = journal.read(first.generation, first.offset, limit=2)
    third = journal.read(second.generation, second.offset, limit=2)
    assert [[e.task for e in chunk.events] for chunk in (first, second, third)] == [
        ["0", "1"],
        ["2", "3"],
        ["4"],
    ]
    assert journal.read(third.generation, third.offset).events == ()


def test_a_torn_last_line_waits_and_a_later_one_passes_it_by(journal):
    journal.append(Event("task.ready", task="a"))
    with journal.path.open("ab") as file:
        file.write(b'{"id":"half')
    chunk = journal.read("", 0)
    assert [event.task for event in chunk.events] == ["a"]
    assert chunk.offset < journal.path.stat().st_size
    journal.append(Event("task.ready", task="b"))
    after = journal.read(chunk.generation, chunk.offset)
    assert [event.task for event in after.events] == ["b"]
    assert after.skipped == 1


def test_what_was_appended_together_counts_only_when_all_of_it_is_there(journal):
    journal.append(Event("task.ready", task="before"))
    start = journal.path.stat().st_size
    journal.append(*(Event("task.ready", task=str(number)) for number in range(3)))
    whole = journal.path.read_bytes()
    for size in range(start, len(whole) + 1):
        journal.path.write_bytes(whole[:size])
        torn = journal.read("", 0)
        # Only the newline may be missing: the next append brings it.
        complete = size >= len(whole) - 1
        assert [event.task for event in torn.events] == ["before", *("012" if size == len(whole) else "")]
        journal.append(Event("task.ready", task="later"))
        journal.append(Event("task.ready", task="x"), Event("task.ready", task="y"))
        tasks = ["before", *("012" if complete else ""), "later", "x", "y"]
        assert [event.task for event in journal.read("", 0).events] == tasks
        rest = journal.read(torn.generation, torn.offset).events
        assert [event.task for event in (*torn.events, *rest)] == tasks


@pytest.mark.parametrize(
    "line",
    [
        b"5",
        b"[]",
        b"null",
        b'"text"',
        b"\x00\x00\x00",
        b"\xff\xfe",
        b'{"id":"no-uuid","at":"2026-01-01T00:00:00+00:00","type":"x"}',
        b'{"id":5,"at":"2026-01-01T00:00:00+00:00","type":"x"}',
        b'{"id":"6f8f1d1e-6f0e-4a8e-8a57-1f0d1f2c3b4a","at":"yesterday","type":"x"}',
        b'{"id":"6f8f1d1e-6f0e-4a8e-8a57-1f0d1f2c3b4a","at":"2026-01-01T00:00:00+00:00","type":[]}',
    ],
)
def test_foreign_lines_are_skipped(journal, line):
    journal.append(Event("task.ready", task="a"))
    with journal.path.open("ab") as file:
        file.write(line + b"\n")
    journal.append(Event("task.ready", task="b"))
    chunk = journal.read("", 0)
    assert [event.task for event in chunk.events] == ["a", "b"]
    assert chunk.skipped == 1


def test_a_torn_header_does_not_hide_events(journal):
    journal.path.parent.mkdir()
    journal.path.write_bytes(b'{"journal":"ab')
    journal.append(Event("task.ready", task="a"))
    assert [event.task for event in everything(journal)] == ["a"]


def test_a_shell_may_append_without_a_header(journal):
    event = Event("task.ready", task="from-sh")
    journal.path.parent.mkdir()
    script = r"""
        { printf '\n%s\n' "$2" >&9
          [ "$1" -ef /dev/fd/9 ] || printf '\n%s\n' "$2" >>"$1"; } 9>>"$1"
    """
    subprocess.run(["sh", "-c", script, "sh", str(journal.path), event.to_json()], check=True)
    journal.append(Event("task.ready", task="ours"))
    assert [seen.task for seen in everything(journal)] == ["from-sh", "ours"]
    assert everything(journal)[0] == event


def test_compaction_keeps_what_was_not_read(journal):
    journal.append(*(Event("task.ready", task=str(n)) for n in range(4)))
    chunk = journal.read("", 0, limit=3)
    assert journal.compact(chunk.generation, chunk.offset)
    rest = journal.read(chunk.generation, chunk.offset)
    assert [event.task for event in rest.events] == ["3"]
    assert rest.generation != chunk.generation
    assert not journal.compact(chunk.generation, chunk.offset), "the generation has passed"
    assert [path.name for path in journal.path.parent.iterdir()] == [journal.path.name]


def test_compaction_copies_what_a_shell_added_to_the_old_file(journal, monkeypatch):
    """A shell takes no lock: its line may reach the old file between the copy and the rename."""
    journal.append(Event("task.ready", task="a"))
    chunk = journal.read("", 0)
    late = Event("task.ready", task="late")
    rename = type(journal.path).rename

    def rename_late(path, target):
        with target.open("ab") as file:
            file.write(b"\n" + late.to_json().encode() + b"\n")
        return rename(path, target)

    monkeypatch.setattr(type(journal.path), "rename", rename_late)
    assert journal.compact(chunk.generation, chunk.offset)
    assert everything(journal) == [late]


def test_compacting_while_others_append_loses_nothing(journal):
    def write(name: int) -> None:
        for n in range(150):
            journal.append(Event("task.ready", task=f"{name}/{n}"))

    seen: list[str] = []
    position = ("", 0)
    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, name) for name in range(4)]
        while len(seen) < 600:
            chunk = journal.read(*position, limit=7)
            seen += [event.task for event in chunk.events]
            position = (chunk.generation, chunk.offset)
            journal.compact(*position)
        for writer in writers:
            writer.result()
    assert sorted(seen) == sorted(f"{name}/{n}" for name in range(4) for n in range(150))


def test_processes_do_not_tear_each_others_lines(journal):
    script = (
        "import sys; from pathlib import Path; from yokeflow.events import Event\n"
        "from yokeflow.store.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "for n in range(100):\n"
        "    journal.append(Event('x', data={'n': n, 'who': sys.argv[2], 'pad': 'y' * 5000}))\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", script, str(journal.path), str(w)]) for w in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    events = everything(journal)
    for who in range(3):
        assert [e.data["n"] for e in events if e.data["who"] == str(who)] == list(range(100))


def test_a_killed_writer_leaves_every_earlier_event(journal):
    """The writer tells how far it came; everything it had told must be there after kill -9."""
    script = (
        "import sys; from pathlib import Path; from yokeflow.events import Event\n"
        "from yokeflow.store.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1])); start = int(sys.argv[2])\n"
        "for n in range(start, 1000000):\n"
        "    journal.append(Event('x', data={'n': n, 'pad': 'y' * 300000}))\n"
        "    sys.stdout.write(f'{n}\\n'); sys.stdout.flush()\n"
    )
    told: list[int] = []
    for round_number in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", script, str(journal.path), str(round_number * 1000)],
            stdout=subprocess.PIPE,
        )
        with writer:
            assert writer.stdout is not None
            told.append(int(writer.stdout.readline()))
            time.sleep(random.random() * 0.05)
            writer.send_signal(signal.SIGKILL)
            told += [int(line) for line in writer.stdout.read().splitlines()]
    seen = [event.data["n"] for event in everything(journal)]
    assert set(told) <= set(seen)
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen)


def test_a_full_disk_leaves_the_file_as_it_was(journal, monkeypatch):
    journal.append(Event("task.ready", task="a"))
    before = journal.path.read_bytes()
    write = os.write
    calls = []

    def fill(file: int, data: bytes) -> int:
        calls.append(data)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return write(file, data[:10])

    monkeypatch.setattr("yokeflow.store.journal.os.write", fill)
    with pytest.raises(DiskFullError) as caught:
        journal.append(Event("task.ready", task="b"))
    assert caught.value.hint
    assert journal.path.read_bytes() == before


def test_text_that_is_no_unicode_is_still_recorded(journal):
    journal.append(Event("session.output", data={"text": "half \ud83d pair"}))
    [event] = everything(journal)
    assert event.data["text"] == "half ? pair"
    assert json.loads(event.to_json())["text"] == "half ? pair"
