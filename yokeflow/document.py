"""Files written by people: YAML with line numbers, and every problem of a file told at once."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from yokeflow.errors import DocumentError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

#: Where a value is: mapping keys and list positions from the top of the file.
Key = tuple[str | int, ...]

#: Stands for a name without letters.
EMPTY = '""'

_DURATION_UNITS: dict[str, float] = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_COUNT = re.compile(r"(\d[\d_]*(?:\.\d+)?)\s*([kKmM]?)", re.ASCII)
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

_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# A subset of what YAML 1.1 takes for numbers, so that text which any YAML writer leaves unquoted stays text.
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?[0-9]+\.[0-9]*(?:[eE][-+][0-9]+)?", re.ASCII)
_LONGEST_NUMBER = 300
_DEEPEST = 60
#: Values that aliases may add to a file when written out; a few kilobytes can otherwise mean billions.
_MOST_ALIASED = 1_000_000
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def parse_duration(value: object) -> float:
    """Seconds of `30m`, `1h30m`, `45s`, `2d`, `500ms`; a plain number is seconds.

    Raises ValueError for anything else.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _finite(value, value)
    if isinstance(value, str):
        text = value.strip().lower()
        if _DURATION.fullmatch(text):
            parts = _DURATION_PART.findall(text)
            return _finite(sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts), value)
    raise ValueError(f"{shorten(value)} is no duration: write it like 45s, 30m, 1h30m or 2d")


def format_duration(seconds: float) -> str | float:
    """Seconds as people write them, 1h30m; the number itself where that would lose something."""
    if not 1 <= seconds == int(seconds):
        return seconds
    rest, text = seconds, ""
    for unit in ("d", "h", "m", "s"):
        amount, rest = divmod(rest, _DURATION_UNITS[unit])
        text += f"{amount:.0f}{unit}" if amount else ""
    return text


def parse_size(value: object) -> int:
    """Bytes of `20MB`, `512 KiB`; a plain number is bytes.

    Raises ValueError for anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    factor = _SIZE_UNITS.get(found[2].upper()) if found else None
    if found is None or factor is None:
        raise ValueError(f"{shorten(value)} is no size: write it like 500KB, 20MB or 1GiB")
    return int(_finite(float(found[1]) * factor, value))


def parse_count(value: object) -> int:
    """A number of things such as `200k`, `1.5M` or `20_000`; a plain number is itself.

    Raises ValueError for anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = _COUNT.fullmatch(value.strip()) if isinstance(value, str) else None
    factor = {"": 1, "k": 1_000, "m": 1_000_000}[found[2].lower()] if found else 1
    count = Fraction(found[1].replace("_", "")) * factor if found else None
    if count is None or count.denominator != 1:
        raise ValueError(f"{shorten(value)} is no whole number: write it like 20000, 200k or 1.5M")
    _finite(count.numerator, value)
    return count.numerator


def _finite(number: float, value: object) -> float:
    try:
        seconds = float(number)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise ValueError(f"{shorten(value)} is too large")
    return seconds


def shorten(value: object, limit: int = 60) -> str:
    """A value as it may stand in a message."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**limit:
        return "a very large number"
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def parse_scalar(text: str) -> object:
    """What an unquoted YAML value means: null, true or false, a number, else the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INT.fullmatch(text):
        return int(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def dotted(key: Key) -> str:
    """A key as people write it: `epics[0].tasks[2].depends_on`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part or EMPTY}" for part in key)
    return "".join(parts).removeprefix(".")


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file that remembers where each value stood."""

    path: Path
    data: Any
    #: Lines by the identity of the mapping or list, then by key or position.
    lines: Mapping[int, Mapping[str | int, int]] = field(repr=False)

    def line(self, key: Key) -> int:
        """Line of a key, or of the nearest thing around it that exists; 1-based."""
        value, line = self.data, 1
        for part in key:
            known = self.lines.get(id(value), {})
            if part not in known:
                break
            line, value = known[part], value[part]
        return line

    def problem(self, key: Key, message: str, hint: str = "") -> Problem:
        """Something that is wrong with a key."""
        return Problem(self.path, self.line(key), dotted(key), message, hint)


def load_document(path: Path) -> Document:
    """Read a YAML file.

    Raises DocumentError with what is wrong: no such file, bad UTF-8, a syntax error, keys given twice, an
    unknown tag, more than one document.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror
        problem = Problem(path, 0, "", f"cannot be read: {reason}", "check the path and its permissions")
        raise DocumentError([problem]) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problem = Problem(path, line, "", "is not UTF-8 text", "save the file with the encoding UTF-8")
        raise DocumentError([problem]) from error
    return parse_document(text, path)


def parse_document(text: str, path: Path) -> Document:
    """Read YAML that came from `path`. Raises DocumentError as `load_document` does."""
    reader = _Reader(text, path)
    try:
        data = reader.read()
    except yaml.YAMLError as error:
        raise DocumentError([*reader.problems, _syntax_problem(error, text, path)]) from error
    finally:
        reader.close()
    if reader.problems:
        raise DocumentError(reader.problems)
    return Document(path, data, reader.lines)


def _syntax_problem(error: yaml.YAMLError, text: str, path: Path) -> Problem:
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return Problem(path, line, "", "holds a character that YAML does not allow", "remove it")
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or "cannot be understood"
    context = getattr(error, "context", None)
    message = f"is no valid YAML: {said}" + (f" {context}" if context else "")
    hint = "check indentation, quotes and colons around this line"
    return Problem(path, mark.line + 1 if mark else 0, "", message, hint)


class _Reader:
    """One pass over the parser's events, which keeps a hostile file from costing more than its length."""

    def __init__(self, text: str, path: Path) -> None:
        # The parser written in C is ten times faster, and not everywhere.
        self._loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        self._path = path
        self._key: list[str | int] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._values = 0
        self._aliased = 0
        self.lines: dict[int, dict[str | int, int]] = {}
        self.problems: list[Problem] = []

    def close(self) -> None:
        """Free what the parser holds."""
        self._loader.dispose()

    def read(self) -> Any:
        """The file's one document; None when it is empty."""
        self._next()
        if not self._loader.check_event(yaml.DocumentStartEvent):
            return None
        self._next()
        data = self._value(self._next())
        self._next()
        if self._loader.check_event(yaml.DocumentStartEvent):
            self._stop(self._next(), "holds more than one document", "remove the line `---`")
        return data

    def _next(self) -> Any:
        return self._loader.get_event()

    def _report(self, event: Any, message: str, hint: str) -> None:
        line = event.start_mark.line + 1
        self.problems.append(Problem(self._path, line, dotted(tuple(self._key)), message, hint))

    def _stop(self, event: Any, message: str, hint: str) -> NoReturn:
        self._report(event, message, hint)
        raise DocumentError(self.problems)

    def _value(self, event: Any) -> Any:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        before = self._values
        self._values += 1
        if isinstance(event, yaml.ScalarEvent):
            value: Any = self._scalar(event)
        elif len(self._key) >= _DEEPEST:
            self._stop(event, "is nested too deeply", f"nest at most {_DEEPEST} levels")
        else:
            self._check_tag(event, ("seq", "map"))
            value = self._mapping() if isinstance(event, yaml.MappingStartEvent) else self._sequence()
        if event.anchor:
            self._anchors[event.anchor] = value, self._values - before
        return value

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            self._report(event, f"there is no finished anchor &{event.anchor} above", "define it first")
            return None
        value, values = self._anchors[event.anchor]
        self._values += values
        self._aliased += values
        if self._aliased > _MOST_ALIASED:
            self._stop(event, "is too large once its aliases are written out", "use fewer aliases")
        return value

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if _NO_TEXT.search(text):
            self._report(event, "holds a character that text cannot have", "remove the escape sequence")
        self._check_tag(event, ("str",))
        plain = event.implicit[0] and event.tag is None
        return parse_scalar(text) if plain else text

    def _check_tag(self, event: Any, names: Sequence[str]) -> None:
        if event.tag not in {None, "!", *(f"tag:yaml.org,2002:{name}" for name in names)}:
            self._report(event, f"the tag {shorten(event.tag)} means nothing here", "remove the tag")

    def _sequence(self) -> list[Any]:
        items: list[Any] = []
        lines = self.lines[id(items)] = {}
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            lines[len(items)] = event.start_mark.line + 1
            self._key.append(len(items))
            items.append(self._value(event))
            self._key.pop()
        return items

    def _mapping(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        lines = self.lines[id(found)] = {}
        merged: list[dict[str, Any]] = []
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            name = self._name(event)
            self._key.append(name)
            if name in found:
                self._report(event, f"is given twice, first on line {lines[name]}", "keep one of the two")
            value = self._value(self._next())
            if name == "<<" and event.implicit[0]:
                merged += self._merged(event, value)
            elif name not in found:
                found[name], lines[name] = value, event.start_mark.line + 1
            self._key.pop()
        for other in merged:
            for name in other.keys() - found.keys():
                found[name], lines[name] = other[name], self.lines[id(other)][name]
        return found

    def _name(self, event: Any) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            self._stop(event, "only text can be a key", "write the key as one word")
        return str(event.value)

    def _merged(self, event: Any, value: Any) -> list[dict[str, Any]]:
        mappings = value if isinstance(value, list) else [value]
        if all(isinstance(each, dict) for each in mappings):
            return mappings
        self._report(event, "`<<` takes an alias of a mapping", "write `<<: *name`")
        return []
