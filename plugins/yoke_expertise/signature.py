"""The few lines of a check's output that say what is wrong, and what makes two failures the same."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from yokeflow.engine.secrets.redact import redact

if TYPE_CHECKING:
    from collections.abc import Iterable

_ESCAPES: Final = re.compile(
    r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f]"
)
#: Lines that name an error, most telling first.
_TELLING: Final = (
    re.compile(r"^(E\s{2,}\S|\s*(assert\b|AssertionError))"),
    re.compile(r"\b([A-Z]\w*(Error|Exception|Warning)|error(\[\w+\])?|fatal|panic(ked)?)\b\s*[:(]|: error\b"),
    re.compile(
        r"\b(error|failed|failure|fail|cannot|not found|undefined|unexpected|missing|denied)\b", re.IGNORECASE
    ),
)
#: What says that something failed, but not what.
_EMPTY: Final = re.compile(
    r"^[\s=_\-*#.~>|]*$|^[=_\-\s]*\d+ (failed|passed|errors?)\b.*$|^make(\[\d+\])?: \*\*\*"
)
_VOLATILE: Final = (
    (re.compile(r"0x[0-9a-fA-F]+|\b[0-9a-f]{7,40}\b|\b[0-9a-f]{8}-[0-9a-f-]{27}\b"), "#"),
    (re.compile(r"(/[\w.@+-]+)+/"), "/"),
    (re.compile(r"\d+(\.\d+)?"), "#"),
    (re.compile(r"\s+"), " "),
)
_LONGEST: Final = 200
#: Characters of output that are looked at, from its end.
_LOOKED_AT: Final = 20_000


def clean(text: str, longest: int = _LONGEST) -> str:
    """One line without escape sequences and secrets, not longer than `longest`."""
    # Redacted before it is cut: half a secret has no shape to be known by.
    whole = " ".join(redact(_ESCAPES.sub("", text)).split())
    return whole if len(whole) <= longest else whole[: longest - 1].rstrip() + "…"


def telling_lines(output: str, most: int = 3) -> tuple[str, ...]:
    """The first lines that name what is wrong, redacted; the last lines where none does."""
    lines = _lines(redact(output)[-_LOOKED_AT:])
    for shape in _TELLING:
        if found := list(dict.fromkeys(clean(line) for line in lines if shape.search(line))):
            return tuple(found[:most])
    return tuple(clean(line) for line in lines[-most:])


def signature(output: str) -> str:
    """The same for failures that differ in numbers, folders and object ids only; empty without a line."""
    first = next(iter(telling_lines(output, 1)), "")
    for shape, mark in _VOLATILE:
        first = shape.sub(mark, first)
    return first.strip().lower()


def short_hash(parts: Iterable[str]) -> str:
    """Twelve hex digits that name a lesson's subject."""
    return hashlib.sha256("\n".join(parts).encode(errors="replace")).hexdigest()[:12]


def _lines(output: str) -> list[str]:
    lines = (_ESCAPES.sub("", line).rstrip() for line in output.splitlines())
    return [line for line in lines if line and not _EMPTY.match(line)]
