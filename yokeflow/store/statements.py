"""Scripts of SQL, one statement at a time, since the driver prepares what it sends."""

from __future__ import annotations

import re

_COMMENT = re.compile(r"^--.*\n", re.MULTILINE)
_END = re.compile(r";[ \t]*\n(?:[ \t]*\n|\Z)")


def statements(script: str) -> list[str]:
    """Split a script whose statements end with a semicolon and an empty line.

    A semicolon inside a function's body is left alone as long as no empty line follows it.
    """
    parts = _END.split(_COMMENT.sub("", script))
    return [part.strip() for part in parts if part.strip()]
