"""The only module that writes: results to stdout, everything about them to stderr."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import sys
import unicodedata
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

# Escape sequences, then every other control character but tab and newline.
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
# The same, but colour and weight stay.
_STEERING = re.compile(rf"(?!\x1b\[[0-9;]*m)(?:{_CONTROL.pattern})|[\n\t]")
_GAP = "  "
_STDOUT, _STDERR = 1, 2

#: Where results go while stdout is kept for them; None while it is not.
_kept: TextIO | None = None


@contextmanager
def kept() -> Iterator[None]:
    """Keep stdout for the results of this module: what anything else prints, plugins too, goes to stderr.

    That holds for the file descriptor as well, so for child processes and libraries. Where a result is JSON
    for another program, nothing may come between.
    """
    global _kept
    # Python leaves a stream None that was closed when it started.
    if _kept is not None or sys.stdout is None or sys.stderr is None:
        yield
        return
    outer = sys.stdout
    outer.flush()
    saved = os.dup(_STDOUT)
    results = _at(saved, outer)
    os.dup2(_STDERR, _STDOUT)
    _kept, sys.stdout = results, sys.stderr
    try:
        yield
    finally:
        # Somebody may have got hold of it before; what they wrote is not to come after the results.
        _flush(outer)
        _kept, sys.stdout = None, outer
        _flush(results)
        os.dup2(saved, _STDOUT)
        if results is outer:
            os.close(saved)
        else:
            results.close()


def results() -> TextIO:
    """The stream that results are written to."""
    return _kept or sys.stdout


def line(text: str = "") -> None:
    """Print one line of a result."""
    click.echo(text, file=_kept, color=coloured(results()))


def data(value: object) -> None:
    """Print a value as JSON, indented."""
    click.echo(json.dumps(value, default=_plain, indent=2, ensure_ascii=False), file=_kept)


def data_line(text: str) -> None:
    """Print one line that is JSON already, and hand it on at once."""
    click.echo(text, file=_kept)
    results().flush()


def repaint(lines: Sequence[str]) -> None:
    """Put lines where the last ones were, without flicker: from the top of the screen down."""
    rows = shutil.get_terminal_size((100, 24)).lines - 1
    shown = "".join(f"{text}\x1b[K\n" for text in lines[:rows])
    click.echo(f"\x1b[H{shown}\x1b[J", nl=False, color=coloured(sys.stdout) or None)
    sys.stdout.flush()


def note(text: str) -> None:
    """Say something about the result on stderr."""
    click.echo(text, err=True, color=coloured(sys.stderr))


def warn(text: str, hint: str = "") -> None:
    """Tell on stderr what is wrong without being an error."""
    note(f"{style('warning:', fg='yellow')} {clean(text)}")
    if hint:
        note(f"{style('hint:', fg='cyan')} {clean(hint)}")


def error(text: str, hint: str = "") -> None:
    """Tell on stderr why the command ends, and what to do."""
    note(f"{style('error:', fg='red', bold=True)} {clean(text)}")
    if hint:
        note(f"{style('hint:', fg='cyan')} {clean(hint)}")


def table(header: Sequence[str], rows: Iterable[Sequence[object]], *, right: Collection[int] = ()) -> None:
    """Print aligned columns; `right` names those aligned to the right. None is an empty cell.

    A header without a word is not printed. On a terminal the last column is cut where the line would wrap.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(width(row[i]) for row in (list(header), *cells)) for i in range(len(header))]
    if is_terminal(sys.stdout):
        room = columns() - sum(widths[:-1]) - len(_GAP) * (len(widths) - 1)
        widths[-1] = min(widths[-1], max(room, len(header[-1]), 8))
    if any(header):
        line(style(_row(header, widths, right), bold=True))
    for row in cells:
        line(_row(row, widths, right))


def style(text: str, **look: Any) -> str:
    """Text with colour or weight; `line` and its kind take it off where it is not wanted."""
    return click.style(text, **look)


def clean(text: str) -> str:
    """Text of others (titles, agent output) without what would steer the terminal."""
    # Most texts are innocent, which is quickly seen.
    return text if text.isprintable() else _CONTROL.sub("", text)


def is_terminal(stream: TextIO) -> bool:
    """Whether a person is looking and the terminal understands more than plain text."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def coloured(stream: TextIO) -> bool:
    """Whether colour is wanted: a terminal, and no NO_COLOR (https://no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def columns() -> int:
    """Width of the terminal."""
    return shutil.get_terminal_size((100, 24)).columns


def width(text: str) -> int:
    """Columns that a text takes on a terminal."""
    plain = click.unstyle(text) if "\x1b" in text else text
    if plain.isascii():
        return len(plain)
    return len(plain) + sum(_char_width(char) - 1 for char in plain if char > "\x7f")


def cut(text: str, room: int) -> str:
    """Text of at most `room` columns, with an ellipsis where something was left out."""
    if width(text) <= room:
        return text
    taken, used = "", 0
    for char in click.unstyle(text):
        used += _char_width(char)
        if used > room - 1:
            break
        taken += char
    return f"{taken}…"


def _at(descriptor: int, stream: TextIO) -> TextIO:
    """A stream like this one at another descriptor; the same where it does not write to stdout itself."""
    try:
        own = stream.fileno() == _STDOUT
    except OSError:
        own = False
    if not own:
        return stream
    return open(descriptor, "w", encoding=stream.encoding, errors=stream.errors)


def _flush(stream: TextIO) -> None:
    """Write what is buffered; where nobody reads it any more, that was told when it was printed."""
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _char_width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _cell(value: object) -> str:
    return "" if value is None else _STEERING.sub("", str(value))


def _row(cells: Sequence[str], widths: Sequence[int], right: Collection[int]) -> str:
    padded = []
    for i, (cell, size) in enumerate(zip(cells, widths, strict=True)):
        text = cut(cell, size)
        space = " " * (size - width(text))
        padded.append(space + text if i in right else text + space)
    return _GAP.join(padded).rstrip()


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return str(value)
