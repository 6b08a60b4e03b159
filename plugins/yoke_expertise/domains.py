"""Which field a task or a lesson belongs to, by the words it uses and the paths it touches."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Where nothing else fits.
GENERAL: Final = "general"
#: A path that fits counts as much as two words.
_PATH_POINTS: Final = 2

_VOCABULARY: Final = """
database: database sql query queries migration migrations schema table tables index postgres
  postgresql mysql sqlite orm transaction column columns alembic
api: api endpoint endpoints rest graphql route routes router request requests response http json rpc
  webhook openapi client server
frontend: frontend ui component components react vue svelte css html page pages button form browser
  layout render style accessibility
testing: test tests testing pytest unittest jest vitest mock fixture fixtures coverage assert
  assertion flaky snapshot
security: security auth authentication authorization login password token tokens permission
  permissions encrypt encryption csrf xss oauth secret secrets
deployment: deploy deployment docker container kubernetes helm ci pipeline release build terraform
  ansible infrastructure environment
"""
_WORDS: Final = {
    domain: frozenset(words.split())
    for domain, _, words in (entry.partition(":") for entry in re.split(r"\n(?! )", _VOCABULARY.strip()))
}
_PATHS: Final[dict[str, re.Pattern[str]]] = {
    domain: re.compile(pattern, re.IGNORECASE)
    for domain, pattern in {
        "database": r"(^|/)(db|database|migrations?|models?|schema)(/|\.|$)|\.sql$",
        "api": r"(^|/)(api|routes?|routers?|endpoints?|controllers?|handlers?)(/|\.|$)",
        "frontend": r"(^|/)(frontend|components?|pages|views|ui|static|styles?)(/|$)"
        r"|\.(css|scss|html|tsx|jsx|vue|svelte)$",
        "testing": r"(^|/)(tests?|specs?|__tests__|e2e)(/|$)|(^|/)test_[^/]*$|[._](test|spec)\.\w+$",
        "security": r"(^|/)(auth|security|permissions?|crypto)(/|\.|$)",
        "deployment": r"(^|/)(deploy(ment)?|docker|k8s|helm|infra|terraform|\.github)(/|$)"
        r"|(^|/)dockerfile|docker-compose",
    }.items()
}
_WORD: Final = re.compile(r"[a-z][a-z0-9]+")


def domain_of(text: str, paths: Iterable[str], allowed: Sequence[str], category: str = "") -> str:
    """The main domain among `allowed`; the first of equals in their order.

    A domain that is not one of the well-known ones is found by its own name. Where nothing fits: `general`,
    or the last one allowed where that is not among them.
    """
    fallback = GENERAL if GENERAL in allowed or not allowed else allowed[-1]
    if category in allowed:
        return category
    counted = Counter(_WORD.findall(text.lower()))
    listed = tuple(paths)
    points = {
        domain: sum(counted[word] for word in _WORDS.get(domain, frozenset({domain.lower()})))
        + _PATH_POINTS * sum(_fits(domain, path) for path in listed)
        for domain in allowed
        if domain != fallback
    }
    best = max(points, key=points.__getitem__, default=fallback)
    return best if points.get(best) else fallback


def _fits(domain: str, path: str) -> bool:
    known = _PATHS.get(domain)
    if known is not None:
        return known.search(path) is not None
    return domain.lower() in path.lower().replace(".", "/").split("/")
