"""Take secrets out of what is kept: keys by their shape, and the values of variables with telling names."""

from __future__ import annotations

import json
import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What stands in a secret's place.
REDACTED = b"[redacted]"

#: A word to look for first, as that is fast, and the whole shape.
_SHAPES: tuple[tuple[bytes, re.Pattern[bytes]], ...] = tuple(
    (marker, re.compile(shape))
    for marker, shape in (
        (b"sk-", rb"\bsk-[A-Za-z0-9_-]{20,}"),
        (b"gh", rb"\bgh[pousr]_[A-Za-z0-9]{30,}"),
        (b"github_pat_", rb"\bgithub_pat_[A-Za-z0-9_]{40,}"),
        (b"glpat-", rb"\bglpat-[A-Za-z0-9_-]{20,}"),
        (b"xox", rb"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
        (b"AKIA", rb"\bAKIA[0-9A-Z]{16}\b"),
        (b"ASIA", rb"\bASIA[0-9A-Z]{16}\b"),
        (b"AIza", rb"\bAIza[0-9A-Za-z_-]{35}"),
        (b"npm_", rb"\bnpm_[A-Za-z0-9]{36}"),
        (b"pypi-", rb"\bpypi-[A-Za-z0-9_-]{40,}"),
        (b"hf_", rb"\bhf_[A-Za-z0-9]{30,}"),
        (b"eyJ", rb"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
        (b"earer ", rb"(?<=[Bb]earer )[A-Za-z0-9._~+/=-]{20,}"),
        (b"://", rb"(?<=://)[^\s/:@\"'\\]{0,100}:[^\s/@\"'\\]{1,200}(?=@)"),
        (
            b"PRIVATE KEY-----",
            rb"-----BEGIN [A-Z ]*PRIVATE KEY-----[\w+/=\s\\,:]*(?:-----END [A-Z ]*PRIVATE KEY-----)?",
        ),
    )
)
_TELLING = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL", re.IGNORECASE)
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
    """`data` without keys of known shapes and without `values` (see `secret_values`)."""
    for value in values:
        if value in data:
            data = data.replace(value, REDACTED)
    for marker, shape in _SHAPES:
        if marker in data:
            data = shape.sub(REDACTED, data)
    return data


def redact(text: str) -> str:
    """`text` without keys of known shapes and without the secrets in our own environment."""
    data = text.encode(errors="surrogatepass")
    return redact_bytes(data, _ours(tuple(os.environ.items()))).decode(errors="surrogatepass")


@lru_cache(maxsize=4)
def _ours(environment: tuple[tuple[str, str], ...]) -> tuple[bytes, ...]:
    return secret_values(dict(environment))
