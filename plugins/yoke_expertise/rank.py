"""Which lessons are told: a score for each candidate, near-duplicates dropped, within a budget, as Markdown.

The score of a lesson is a weighted sum of parts from 0 to 1:

- `files` 0.30: it is about a file that the task may change.
- `text` 0.25: its rank among the candidates by the task's words, or its closeness in meaning if that is more.
- `category` 0.10: 1 for the task's category, 0.6 for the task's domain.
- `importance` 0.10, `confidence` 0.10: as they are stored.
- `effect` 0.10: the measured probability that it gains what is worth it; 0.5 where that is unknown.
- `recency` 0.05: falls by `exp(-0.01)` an hour from when it was learned.

A pinned lesson has at least 0.95; a disputed one half. A lesson that has nothing of the first three is left
out unless it is pinned, whatever the rest says.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from yokeflow.globs import overlaps

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

_FILES, _TEXT, _CATEGORY = 0.30, 0.25, 0.10
_IMPORTANCE, _CONFIDENCE, _EFFECT, _RECENCY = 0.10, 0.10, 0.10, 0.05
_DECAY: Final = 0.01
_SAME_DOMAIN: Final = 0.6
_PINNED: Final = 0.95
#: Share of words, and closeness of meaning, from which on two lessons say the same.
_ALIKE: Final = 0.7
_ALIKE_IN_MEANING: Final = 0.92
#: Weaker fits of words or meaning than this are chance.
_FAINT: Final = 0.05
CHARACTERS_A_TOKEN: Final = 3.5
_WORD: Final = re.compile(r"\w+")

#: Headings in the order of telling: kinds of lessons, and how many at most.
_GROUPS: Final[tuple[tuple[str, frozenset[str], int], ...]] = (
    ("Good practice here", frozenset({"note", "reflection"}), 5),
    ("What failed before", frozenset({"failure_fix", "check"}), 3),
    ("What belongs together", frozenset({"co_change", "conflict"}), 5),
    ("Commands that work", frozenset({"command"}), 3),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a task is about."""

    #: Globs of its files.
    files: tuple[str, ...] = ()
    category: str = ""
    domain: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A lesson that may be told."""

    id: UUID
    key: str
    kind: str
    content: str
    domain: str
    importance: int
    confidence: float
    created_at: datetime
    status: str = "active"
    pinned: bool = False
    files: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    #: Rank by words, 0 without any; only its order and proportion count.
    words: float = 0.0
    #: Cosine with the task's meaning; 0 where that is not known.
    meaning: float = 0.0
    #: Measured probability that it gains what is worth it; None where it was not measured.
    effect: float | None = None
    vector: tuple[float, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Scored:
    """A candidate with its score."""

    candidate: Candidate
    score: float


def choose(candidates: Sequence[Candidate], wanted: Wanted, tokens: int, now: datetime) -> list[Candidate]:
    """The lessons worth telling, the best first: no two alike, as many of a kind as its group takes."""
    most = max((each.words for each in candidates), default=0.0)
    scored = [found for each in candidates if (found := score(each, wanted, most, now)) is not None]
    scored.sort(key=lambda each: (-each.score, each.candidate.content, str(each.candidate.id)))
    chosen: list[Candidate] = []
    for each in scored:
        candidate = each.candidate
        if not _has_room(chosen, candidate) or any(_alike(candidate, other) for other in chosen):
            continue
        # The text itself is measured: headings come with the first lesson of a group.
        if len(_joined([*chosen, candidate])) <= tokens * CHARACTERS_A_TOKEN:
            chosen.append(candidate)
    return chosen


def score(candidate: Candidate, wanted: Wanted, most_words: float, now: datetime) -> Scored | None:
    """How well a lesson fits; None when it does not."""
    files = 1.0 if wanted.files and overlaps(candidate.files, wanted.files) else 0.0
    text = max(candidate.words / most_words if most_words else 0.0, candidate.meaning)
    text = text if text >= _FAINT else 0.0
    category = _category(candidate, wanted)
    if not (files or text or category or candidate.pinned):
        return None
    hours = max((now - candidate.created_at).total_seconds() / 3600, 0.0)
    total = (
        _FILES * files
        + _TEXT * text
        + _CATEGORY * category
        + _IMPORTANCE * candidate.importance / 10
        + _CONFIDENCE * candidate.confidence
        + _EFFECT * (0.5 if candidate.effect is None else candidate.effect)
        + _RECENCY * math.exp(-_DECAY * hours)
    )
    if candidate.status == "disputed":
        total /= 2
    return Scored(candidate, max(total, _PINNED) if candidate.pinned else total)


def render(lessons: Iterable[Candidate]) -> list[str]:
    """Markdown paragraphs: a heading and its lessons for each group that has some."""
    told = tuple(lessons)
    paragraphs = []
    for heading, kinds, _ in _GROUPS:
        if entries := [f"- {each.content}" for each in told if each.kind in kinds]:
            paragraphs.append(f"**{heading}**\n\n" + "\n".join(entries))
    return paragraphs


def _joined(lessons: Iterable[Candidate]) -> str:
    return "\n\n".join(render(lessons))


def _category(candidate: Candidate, wanted: Wanted) -> float:
    if wanted.category and wanted.category in candidate.categories:
        return 1.0
    return _SAME_DOMAIN if candidate.domain == wanted.domain else 0.0


def _has_room(chosen: Iterable[Candidate], candidate: Candidate) -> bool:
    """Whether its group takes another one; a pinned one always fits."""
    for _, kinds, most in _GROUPS:
        if candidate.kind in kinds:
            return candidate.pinned or sum(each.kind in kinds for each in chosen) < most
    return False


def _alike(one: Candidate, other: Candidate) -> bool:
    if one.vector and len(one.vector) == len(other.vector):
        lengths = math.hypot(*one.vector) * math.hypot(*other.vector)
        cosine = (
            sum(a * b for a, b in zip(one.vector, other.vector, strict=True)) / lengths if lengths else 0.0
        )
        if cosine >= _ALIKE_IN_MEANING:
            return True
    return similarity(one.content, other.content) >= _ALIKE


def similarity(one: str, other: str) -> float:
    """Share of words that two texts have in common (Jaccard)."""
    first, second = (frozenset(_WORD.findall(each.lower())) for each in (one, other))
    return len(first & second) / len(first | second) if first and second else 0.0
