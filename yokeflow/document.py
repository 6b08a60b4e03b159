"""Files written by people: YAML with line numbers, and every problem of a file told at once."""

from __future__ import annotations

import math
import re

_DURATION_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SIZE_UNITS = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d|w)\s*)+", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", re.ASCII)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)


def parse_duration(value: object) -> float:
    """Seconds of `30m`, `1h30m`, `45s`, `2d`, `500ms`; a plain number is seconds.

    Raises ValueError for anything else.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _finite(float(value), value)
    if isinstance(value, str):
        text = value.strip().lower()
        if _DURATION.fullmatch(text):
            parts = _DURATION_PART.findall(text)
            return _finite(sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts), value)
    raise ValueError(f"{value!r} is no duration: write it like 45s, 30m, 1h30m or 2d")


def parse_size(value: object) -> int:
    """Bytes of `20MB`, `512 KiB`; a plain number is bytes.

    Raises ValueError for anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    factor = _SIZE_UNITS.get(found[2].upper()) if found else None
    if found is None or factor is None:
        raise ValueError(f"{value!r} is no size: write it like 500KB, 20MB or 1GiB")
    return int(_finite(float(found[1]) * factor, value))


def _finite(number: float, value: object) -> float:
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is too large")
    return number
