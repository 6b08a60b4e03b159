"""Find secrets that only the name before them gives away: `password: …`, `--token …`, `Cookie: …`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from yokeflow.engine.secrets.harmless import (
    has_digit_and_letter,
    is_code,
    is_harmless,
    is_message,
    is_word,
    looks_random,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_Span: TypeAlias = tuple[int, int]
_Hit: TypeAlias = re.Match[bytes]

_QUOTE = rb"\\*[\"'`]"
#: A backslash is part of a value unless it begins an escape of a string that the text stands in.
_BARE = rb"[^\s\"'`\\]{0,2048}+(?:\\(?![nrtu\"'`\\])[^\s\"'`\\]{0,256}+){0,16}+"
#: What follows a word that names a secret: the rest of the name, what joins name and value, and the value.
_TAIL = (
    rb"(?:(?P<suffix>[a-z0-9_-]{0,40})(?P<end>" + _QUOTE + rb")?\]?"
    rb"(?P<join>\??[ \t]{0,20}(?:"
    rb":[ \t]*[a-z_.|\[\] ]{2,40}=[ \t]*(?=[rbuf]{0,2}[\"'])"
    rb"|(?::=|=>|:(?![:/])|=(?![=~>]))[ \t]{0,20}))(?![\d.,]+[\s,}\]])"
    rb"|(?P<listed>" + _QUOTE + rb",)?[ \t](?:is[ \t]|was[ \t])?)"
    rb"(?=(?:[rbuf]{0,2}(?P<quote>" + _QUOTE + rb")"
    rb"(?P<quoted>(?:(?!(?P=quote))(?:\\.|[^\r\n\\])){0,4096})(?P=quote))"
    rb"|[\"'`]?(?P<bare>" + _BARE + rb"))"
)
_PASSWORD, _TOKEN = "password", "token"
#: Names that often hold something else: only what looks random is taken.
_VAGUE = "vague"
#: Names, which begin with plain text as that is fast to look for, and what they are.
_NAMES: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(rb"(?P<word>" + names + rb")" + _TAIL), kind)
    for names, kind in (
        (rb"pass(?!ed|es|ing|age|iv)(?:[ _-]?(?:word|phrase|code)|wd|wort)?", _PASSWORD),
        (rb"pwd", _PASSWORD),
        (rb"secret", _TOKEN),
        (rb"token", _TOKEN),
        (rb"key", _TOKEN),
        (rb"credential", _VAGUE),
        (rb"auth", _VAGUE),
        (rb"cookie", _VAGUE),
        (rb"sig(?:nature)?", _VAGUE),
    )
)
_NAME_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
_SECRET_KEYS = re.compile(
    rb"(?:api|access|account|secret|private|sign(?:ing)?|encryption|master|storage|license|auth|shared|deploy"
    rb"|app|webhook|client|service|admin|root|jwt|consumer|subscription|ssh)[ _-]?$"
)
_SHORT_PASS = re.compile(rb"(?:^|[_-]|db|user|ssh|my|sql|pg|root|admin|smtp|ftp|mail)$")
#: Rests of names that are about a secret and do not hold it.
_ABOUT = re.compile(
    rb"^s?[_-]?(?:file|path|dir|sock|count|limit|type|name|urls?|uri|id|len|length|size|ttl|expir\w*|age|budget"
    rb"|usage|used|iz\w*|fields?|hash|digest|policy|env|manager|required|regex|pattern|prefix|suffix|index|idx"
    rb"|stdin|version|kind|at|status|error|class|model|view|form|reset|storage|scopes?|endpoint|provider|ring"
    rb"|arn|ref|ed|es|ing|ive|port|able|or|ors|enticat\w*|ority|source|method|mode|_per_\w*|in|out)$"
)
_DIRECT = re.compile(rb"^(?:[_-]?\d{0,2}|[_-]?(?:value|base|prod|dev|test|staging|b64|base64))$")
_NEXT_PAIR = re.compile(rb"[&;,](?=[\w.%-]+[=:])")
_PAIR = re.compile(rb"[\w.%-]+=[^\s=]")
_REST_OF_LINE = re.compile(rb"[^\r\n\\\"'`]{0,200}")
_SHORTEST = {_PASSWORD: 4, _TOKEN: 6, _VAGUE: 8}
_LONG_WORD = 32
#: Bytes of a value that tell what it is.
_TELLING = 256

_AUTHORIZATION = re.compile(
    rb"authorization(?:" + _QUOTE + rb")?\]?[ \t]*[:=,][ \t]*(?:[rbuf]{0,2}" + _QUOTE + rb")?"
    rb"(?P<scheme>[a-z][a-z0-9-]*[ \t]+)?(?P<value>[^\s\"'`\\][^\r\n\"'`\\]*)"
)
_SCHEMES = frozenset(
    b"basic bearer token digest negotiate ntlm apikey api-key hawk key ssws oauth aws4-hmac-sha256".split()
)
_COOKIE = re.compile(
    rb"cookie(?:" + _QUOTE + rb")?[ \t]*[:=, ][ \t]*(?:" + _QUOTE + rb")?"
    rb"(?P<pairs>[\w.%-]+=[^\s\"'`\\;]+(?:;[ \t]*[^;\"'`\\\r\n]*)*)"
)
_COOKIE_VALUE = re.compile(rb"=([^;\s]+)")
_SHORT_OPTION = re.compile(rb"-[ap]")
#: Commands that take a password without a name: how they begin, and what comes before the password. All but
#: the first have the short option.
_COMMANDS: tuple[re.Pattern[bytes], ...] = tuple(
    re.compile(rb"%b(?<!\w%b)%b[\"']?(?P<value>%b)" % (start, start, rest, _BARE))
    for start, rest in (
        (
            b"curl",
            rb"\b[^\r\n]{0,500}?[ \t\"',](?:-[A-Za-z]*u|--(?:proxy-)?user)[\"',= ]{0,4}[^\s:\"'`\\]*:",
        ),
        (b"http", rb"s? (?:[^\r\n]{0,200} )?(?:-a|--auth)[= ][\"']?[^\s:\"'/]*:"),
        (b"mysql", rb"\w*\b[^\r\n|;&]{0,300}?[ \t\"',]-p(?!ort\b)"),
        (b"mariadb", rb"\b[^\r\n|;&]{0,300}?[ \t\"',]-p(?!ort\b)"),
        (b"sshpass", rb" -p ?"),
        (b"docker", rb" login\b[^\r\n|;&]{0,200}? -p ?"),
        (b"redis-cli", rb"\b[^\r\n|;&]{0,200}? -a ?"),
    )
)


@dataclass(frozen=True, slots=True)
class _Named:
    """A value and how it is named."""

    kind: str
    #: As written, without quotes.
    name: bytes
    #: The name is all there is before the value: `token`, not `token_prefix`.
    direct: bool
    #: `=`, `:`, `flag`, or `prose` for a space alone
    join: str
    spaced: bool
    quoted: bool
    value: bytes
    #: The byte after it; empty at the end.
    after: bytes

    @property
    def of_environment(self) -> bool:
        """It is written as variables are: `DB_PASSWORD=…`."""
        tight = self.join == ":" or not self.spaced
        return tight and self.name.isupper() and (self.join == "=" or b"_" in self.name)


def named_secrets(data: bytes) -> Iterator[_Span]:
    """Where the values are, in no order; some may overlap."""
    low = data.lower()
    for names, kind in _NAMES:
        spans = (_judged(data, low, hit, kind) for hit in names.finditer(low))
        yield from (span for span in spans if span)
    yield from _authorizations(data, low)
    yield from _cookies(data, low)
    commands = _COMMANDS if _SHORT_OPTION.search(data) else _COMMANDS[:1]
    for command in commands:
        yield from (hit.span("value") for hit in command.finditer(data) if _is_password(hit["value"]))


def _is_password(value: bytes) -> bool:
    """What a command takes as a password, which may have been redacted before."""
    return not is_harmless(value) and b"[redacted" not in value


def _judged(data: bytes, low: bytes, hit: _Hit, kind: str) -> _Span | None:
    start, end = _extent(data, hit)
    if end - start < _SHORTEST[kind]:
        return None
    named = _named(data, low, hit, kind, (start, end))
    return (start, end) if named and _is_secret(named) else None


def _extent(data: bytes, hit: _Hit) -> _Span:
    """Where the value begins and ends."""
    if hit["quote"] is not None:
        return hit.span("quoted")
    start, end = hit.span("bare")
    if hit["word"].endswith(b"phrase") and hit["join"]:
        rest = _REST_OF_LINE.match(data, start)
        return start, rest.end() if rest else end
    value = data[start:end]
    if another := _NEXT_PAIR.search(value):
        value = value[: another.start()]
    return start, start + len(value.rstrip(b",;.:" if b"(" in value else b",;.:)]}>"))


def _named(data: bytes, low: bytes, hit: _Hit, kind: str, span: _Span) -> _Named | None:
    """None when it is not the name of a secret."""
    start, suffix = hit.start(), hit["suffix"] or b""
    before = data[max(0, start - 40) : start]
    prefix = before[len(before.rstrip(_NAME_BYTES)) :]
    if _ABOUT.match(suffix) or not _names_secret(hit["word"], prefix, suffix, data[start : hit.end("word")]):
        return None
    if hit["word"] == b"key" and not _SECRET_KEYS.search(low[max(0, start - 20) : start]):
        kind = _VAGUE
        if not data[start : start + 3].isupper() or not prefix:
            return None
    if hit["word"] == b"cookie" and _PAIR.match(data, span[0]):
        return None
    join = (hit["join"] or b"").strip()
    how = ("=" if join.endswith(b"=") else ":") if join else "prose"
    if prefix.startswith(b"-") and how != ":":
        how = "flag"
    elif how == "prose" and hit["listed"]:
        return None
    direct = bool(_DIRECT.match(suffix)) or (kind == _PASSWORD and suffix == b"s")
    spaced = hit["join"] != join
    name = prefix + data[start : hit.end("word")] + suffix
    value, after = data[span[0] : min(span[1], span[0] + _TELLING)], data[span[1] : span[1] + 1]
    return _Named(kind, name, direct, how, spaced, hit["quote"] is not None, value, after)


def _names_secret(word: bytes, prefix: bytes, suffix: bytes, written: bytes) -> bool:
    before = prefix.lower()
    # In `dbPass` and `userSig` a capital begins a word.
    whole = (
        not before or before.endswith((b"_", b"-")) or (written[:1].isupper() and not prefix[-1:].isupper())
    )
    match word:
        case b"pass":
            alone = written == b"PASS" and not prefix
            return not alone and not suffix and (whole or bool(_SHORT_PASS.search(before)))
        case b"sig" | b"signature" | b"auth":
            return whole and not suffix
        case b"token":
            return not suffix.startswith(b"s") and not before.endswith(b"max_")
    return True


def _is_secret(named: _Named) -> bool:
    value = named.value
    if is_harmless(value):
        return False
    if named.kind == _VAGUE or not named.direct:
        return looks_random(value) and (named.quoted or not is_code(value))
    if named.join == "prose":
        return _is_secret_in_prose(named)
    if b" " in value.strip():
        return not is_message(value)
    if named.quoted:
        return not value.isspace()
    return _is_bare_secret(named)


def _is_secret_in_prose(named: _Named) -> bool:
    """In `the password hunter2 is wrong` only what can be no word."""
    value = named.value
    if b" " in value or not named.name.islower() or named.name == b"pass" or is_code(value):
        return False
    if named.kind == _PASSWORD and named.name != b"pwd":
        return len(value) >= _SHORTEST[_TOKEN] and has_digit_and_letter(value) and value.isascii()
    return looks_random(value) and value.lower() != value


def _is_bare_secret(named: _Named) -> bool:
    """Without quotes, it may as well be code, or a word of prose."""
    value = named.value
    if is_code(value):
        return False
    in_code = named.after in (b",", b")", b";", b"]", b"}") or (named.join == "=" and named.spaced)
    if is_word(value):
        written = named.join == "flag" or named.of_environment or (named.join == "=" and not named.spaced)
        plain = b"_" not in value or named.of_environment
        return len(value) >= _LONG_WORD or (
            written and plain and not in_code and len(value) >= _SHORTEST[_TOKEN] and not value.isupper()
        )
    variable = value.islower() and value.rstrip(b"0123456789").replace(b"_", b"a").isalpha()
    return not (variable and in_code and named.kind != _PASSWORD)


def _authorizations(data: bytes, low: bytes) -> Iterator[_Span]:
    for hit in _AUTHORIZATION.finditer(low):
        start, end = hit.span("value")
        value = data[start:end].rstrip(b" \t,;)]}")
        first = value.split()[0].rstrip(b",;)]}") if value else b""
        if b"[redacted]" in value or is_harmless(first):
            continue
        known = (hit["scheme"] or b"").strip() in _SCHEMES
        if (known and len(first) >= _SHORTEST[_TOKEN] and not is_code(first)) or looks_random(first):
            # Several words are a secret where each of them is a pair, as with AWS; else there is one.
            yield start, start + len(value if b"=" in first.rstrip(b"=") else first)


def _cookies(data: bytes, low: bytes) -> Iterator[_Span]:
    for hit in _COOKIE.finditer(low):
        start, end = hit.span("pairs")
        for pair in _COOKIE_VALUE.finditer(data, start, end):
            if not is_harmless(pair[1]):
                yield pair.span(1)
            if low[max(0, hit.start() - 4) : hit.start()].endswith(b"set-"):
                # The others say how long and where it counts.
                break
