"""How demanding a task looks: a number from 0 to 1, with what counted.

Four dimensions, each from 0 to 1, are weighed by `models.weights`:

- reasoning: words that ask for thought (`design`, `race`), less those of routine (`typo`, `rename`), and
  whether the task is critical
- code: the estimate, where there is one, else words that ask for code; and the files the task owns
- domain: words and kinds of files that need special knowledge (`auth`, `migration`, `.sql`)
- context: how much must be known before: dependencies, words such as `across`, the length of the prompt

Each word counts once, and each further one for less. The same task always gives the same number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yokeflow.config import Models
    from yokeflow.model import Task

SIZES: Final = ("small", "medium", "large")
#: Stems, so that `optimi` finds optimise, optimize and optimisation.
_DEMANDING: Final = (
    *("algorithm", "architect", "concurren", "consisten", "deadlock", "debug", "design", "diagnos"),
    *(
        "edge case",
        "heuristic",
        "investigat",
        "invariant",
        "optimi",
        "performan",
        "prove",
        "race",
        "redesign",
    ),
    *("refactor", "restructur", "root cause", "trade-off", "tradeoff", "why"),
)
_ROUTINE: Final = (
    *("boilerplate", "bump", "changelog", "comment", "copy", "docstring", "format", "link", "lint"),
    *("readme", "rename", "spelling", "trivial", "typo", "wording"),
)
_CODING: Final = (
    *("api", "cli", "client", "endpoint", "feature", "implement", "integrat", "interface", "module"),
    *("parser", "pipeline", "plugin", "rewrite", "service", "state machine", "test", "workflow"),
)
_SPECIAL: Final = (
    *("auth", "cache", "compiler", "crypt", "distributed", "encod", "gpu", "kernel", "locale", "lock"),
    *("migrat", "payment", "permission", "protocol", "schema", "secur", "sql", "thread", "time zone"),
    *("timezone", "token", "transaction", "unicode", "vulnerab"),
)
_FAR_REACHING: Final = (
    *("across", "all callers", "backward", "codebase", "compatib", "each ", "end-to-end", "entire", "every"),
    *("existing", "legacy", "throughout", "whole"),
)
_SPECIAL_KINDS: Final = frozenset((".c", ".cc", ".cpp", ".cu", ".h", ".proto", ".rs", ".sql", ".tf"))
#: What one more word leaves of the distance to 1.
_LESS: Final = 0.6
#: Seconds from which on a task is medium and large, where somebody estimated it.
_MEDIUM, _LARGE = 20 * 60.0, 90 * 60.0
#: Seconds at which an estimate makes half of what it can.
_HALF: Final = 45 * 60.0
#: Characters of a prompt at which its length makes half of what it can.
_HALF_PROMPT: Final = 1500


@dataclass(frozen=True, slots=True)
class Complexity:
    """What a task looks like before anybody has tried it."""

    score: float
    #: By dimension, unweighted.
    parts: Mapping[str, float]
    #: What counted in each dimension.
    because: Mapping[str, tuple[str, ...]]
    size: str

    def details(self) -> dict[str, Any]:
        """As JSON, short."""
        parts = {name: round(value, 3) for name, value in self.parts.items()}
        words = {name: list(found[:5]) for name, found in self.because.items() if found}
        return {"score": round(self.score, 3), "parts": parts, "because": words}


def complexity(task: Task, models: Models) -> Complexity:
    """How demanding a task looks."""
    text = f"{task.title}\n{task.prompt}".lower()
    found = {
        "reasoning": _reasoning(task, text),
        "code": _code(task, text),
        "domain": _domain(task, text),
        "context": _context(task, text),
    }
    parts = {name: min(max(value, 0.0), 1.0) for name, (value, _) in found.items()}
    score = sum(value * getattr(models.weights, name) for name, value in parts.items())
    because = {name: tuple(words) for name, (_, words) in found.items()}
    return Complexity(score, parts, because, _size(task, score, models))


def tier_by_score(score: float, models: Models) -> str:
    """The tier that the thresholds name."""
    medium, large = models.thresholds
    return "fast" if score < medium else "balanced" if score < large else "powerful"


def _size(task: Task, score: float, models: Models) -> str:
    """By the estimate, where there is one, else by the score and its thresholds."""
    value, (medium, large) = score, models.thresholds
    if task.estimate is not None:
        value, medium, large = task.estimate, _MEDIUM, _LARGE
    return SIZES[(value >= medium) + (value >= large)]


def _reasoning(task: Task, text: str) -> tuple[float, list[str]]:
    hard, easy = _words(text, _DEMANDING), _words(text, _ROUTINE)
    critical = ["critical"] if task.critical else []
    return 0.25 + 0.75 * _much(hard + critical) - 0.25 * len(easy), [
        *hard,
        *critical,
        *(f"-{word}" for word in easy),
    ]


def _code(task: Task, text: str) -> tuple[float, list[str]]:
    reach = _reach(task.files)
    told = [f"{len(task.files)} files"] if task.files else []
    if task.estimate is not None:
        work = task.estimate / (task.estimate + _HALF)
        return 0.7 * work + 0.3 * reach, [f"estimate {task.estimate / 60:.0f} min", *told]
    words = _words(text, _CODING)
    return 0.6 * _much(words) + 0.4 * reach, [*words, *told]


def _domain(task: Task, text: str) -> tuple[float, list[str]]:
    kinds = {PurePosixPath(glob).suffix for glob in task.files} & _SPECIAL_KINDS
    found = [*_words(text, _SPECIAL), *sorted(kinds)]
    return _much(found), found


def _context(task: Task, text: str) -> tuple[float, list[str]]:
    words, edges = _words(text, _FAR_REACHING), len(task.depends_on)
    length = len(task.prompt) / (len(task.prompt) + _HALF_PROMPT)
    told = [f"{edges} dependencies"] if edges else []
    return 0.5 * _much(words) + 0.25 * (1 - _LESS**edges) + 0.25 * length, [*words, *told]


def _reach(files: tuple[str, ...]) -> float:
    """How much of the repository a task owns: a folder counts as three files, another kind as one more."""
    folders = sum("**" in glob or glob.endswith("/") for glob in files)
    kinds = len({PurePosixPath(glob).suffix for glob in files})
    return float(1 - 0.85 ** (len(files) + 2 * folders + max(kinds - 1, 0)))


def _much(found: list[str]) -> float:
    return float(1 - _LESS ** len(found))


@cache
def _pattern(stems: tuple[str, ...]) -> re.Pattern[str]:
    # A word, or one that begins with the stem; the lookahead lets overlapping stems all be found.
    return re.compile(rf"\b(?=({'|'.join(map(re.escape, stems))}))")


def _words(text: str, stems: tuple[str, ...]) -> list[str]:
    """The stems that occur, each once, in the order in which they are met."""
    return list(dict.fromkeys(found.strip() for found in _pattern(stems).findall(text)))
