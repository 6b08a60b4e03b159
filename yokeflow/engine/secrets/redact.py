"""Take secrets out of what is kept: keys by their shape, what names give away, and our variables' values."""

from __future__ import annotations

import json
import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from yokeflow.engine.secrets.harmless import is_harmless, looks_random
from yokeflow.engine.secrets.named import named_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What stands in a secret's place.
REDACTED = b"[redacted]"

#: What often stands beside the id of an AWS key.
_AWS_SECRET = rb"(?:[ \t:,;|\"'=]{1,5}[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=]))?"
#: How a secret begins, and the rest. A shape that starts with plain text is found fast, and each costs a pass
#: over everything that agents print.
_SHAPES: tuple[re.Pattern[bytes], ...] = tuple(
    re.compile(rb"%b(?<!\w%b)%b" % (start, start, rest))
    for start, rest in (
        (b"sk-", rb"(?:[A-Za-z0-9_-]{20,}|(?=\w*\d)(?=\w*[A-Z])(?=\w*[a-z])[A-Za-z0-9]{10,})"),
        (b"sk_", rb"(?:live|test)_[A-Za-z0-9]{10,}"),
        (b"rk_", rb"(?:live|test)_[A-Za-z0-9]{10,}"),
        (b"do", rb"[opr]_v1_[A-Za-z0-9]{16,}"),
        (b"SG", rb"\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
        (b"gh", rb"[pousr]_[A-Za-z0-9]{30,}"),
        (b"github_pat_", rb"[A-Za-z0-9_]{40,}"),
        (b"glpat-", rb"[A-Za-z0-9_-]{20,}"),
        (b"xox", rb"[abeoprs]-[A-Za-z0-9-]{10,}"),
        (b"A", rb"(?:[KS]IA[0-9A-Z]{16}\b" + _AWS_SECRET + rb"|Iza[0-9A-Za-z_-]{30,})"),
        (b"npm_", rb"[A-Za-z0-9]{36}"),
        (b"pypi-", rb"[A-Za-z0-9_-]{40,}"),
        (b"hf_", rb"[A-Za-z0-9]{30,}"),
        (b"eyJ", rb"[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
        (
            b"-----BEGIN ",
            rb"[A-Z ]*PRIVATE KEY-----[\w+/=\s\\,:]*(?:-----END [A-Z ]*PRIVATE KEY-----)?",
        ),
    )
)
_BEARER = re.compile(rb"earer [A-Za-z0-9._~+/=-]{20,}")
_WEBHOOK = re.compile(
    rb"(hooks\.slack\.com/)(?:services|workflows|triggers)/[A-Za-z0-9_/-]{8,}|(/api/webhooks/)\d{5,}/[\w-]{20,}"
)
#: What comes before the host of an address. A password may have `/` and `@` in it: the last `@` counts; but a
#: port is no password.
_IN_ADDRESS = re.compile(
    rb"://(?:"
    rb"[^\s/:@\"'\\`<>?#]{0,100}:(?!\d{1,5}(?:[/?#\s]|$))(?:(?!://)[^\s\"'\\`<>?]){1,300}"
    rb"|[^\s/:@\"'\\`<>?#]{0,100}:[^\s/@\"'\\`<>]{1,200}"
    rb"|(?P<user>[^\s/:@\"'\\`<>?#]{12,300})"
    rb")(?=@)"
)
#: A key alone in the place of a user.
_LONG_USER = 20
_TELLING = re.compile(
    r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|(?:^|_)PASS$|_PWD$", re.IGNORECASE
)
_HARMLESS = re.compile(r"^GIT_CONFIG_KEY_|_(FILE|PATH|DIR|SOCK)$", re.IGNORECASE)
#: Shorter values would blank ordinary words.
_SHORTEST = 8


def secret_values(environment: Mapping[str, str]) -> tuple[bytes, ...]:
    """The values of variables whose names look secret, longest first, also as JSON would write them."""
    values: set[str] = set()
    for name, value in environment.items():
        if _TELLING.search(name) and not _HARMLESS.search(name) and _worth_hiding(value):
            values |= {value, json.dumps(value)[1:-1]}
    return tuple(sorted((os.fsencode(value) for value in values), key=len, reverse=True))


def _worth_hiding(value: str) -> bool:
    return len(value) >= _SHORTEST and not value.isdigit()


def redact_bytes(data: bytes, values: tuple[bytes, ...] = ()) -> bytes:
    """`data` without keys of known shapes, what names give away, and `values` (see `secret_values`)."""
    for value in values:
        if value in data:
            data = data.replace(value, REDACTED)
    for shape in _SHAPES:
        data = shape.sub(REDACTED, data)
    data = _BEARER.sub(b"earer " + REDACTED, data)
    if b"://" in data:
        data = _IN_ADDRESS.sub(_in_address, data)
        data = _WEBHOOK.sub(rb"\1\2" + REDACTED, data) if b"hooks" in data else data
    return _without(data, sorted(named_secrets(data)))


def _in_address(found: re.Match[bytes]) -> bytes:
    """What stands for `://`, user and password of an address."""
    user, whole = found["user"], found[0]
    if user is not None:
        secret = (len(user) >= _LONG_USER or looks_random(user)) and not is_harmless(user)
        return b"://" + REDACTED if secret else whole
    password = whole[3:].partition(b":")[2]
    return whole if password.startswith((b"$", b"{", b"*")) and is_harmless(password) else b"://" + REDACTED


def _without(data: bytes, spans: list[tuple[int, int]]) -> bytes:
    """`data` without the parts at `spans`, which are sorted and may overlap."""
    parts, done = [], 0
    for start, end in spans:
        if start >= done:
            parts += [data[done:start], REDACTED]
        done = max(done, end)
    return b"".join((*parts, data[done:])) if parts else data


def redact(text: str) -> str:
    """`text` without keys of known shapes, what names give away, and the secrets in our own environment."""
    data = text.encode(errors="surrogatepass")
    return redact_bytes(data, _ours(tuple(os.environ.items()))).decode(errors="surrogatepass")


@lru_cache(maxsize=4)
def _ours(environment: tuple[tuple[str, str], ...]) -> tuple[bytes, ...]:
    return secret_values(dict(environment))
