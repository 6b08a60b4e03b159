"""What one finished session teaches, without asking a model: pure functions from facts to lessons."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

from yoke_expertise.domains import domain_of
from yoke_expertise.memories import Draft
from yoke_expertise.signature import clean, short_hash, signature, telling_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_CHECK: Final = re.compile(r"^check `(.+)` failed \(", re.DOTALL)
_CONFLICT: Final = re.compile(r"^the work of (\S+) conflicts with that of (\S+) in (.+)$", re.DOTALL)
#: Files named in a lesson.
_NAMED: Final = 5
#: A session that changes more teaches nothing about what belongs together.
MOST_FILES: Final = 40
#: Sessions that changed both, share of those that changed the one, and how much more often than by chance.
SUPPORT: Final = 3
_TOGETHER: Final = 0.6
_LIFT: Final = 1.3
#: A lesson about a pair is refuted when this share is not reached over so many sessions.
_APART: Final = 0.3
_OFTEN: Final = 6
_MOST_COUNTED: Final = 100
#: Pairs that are told at most, the strongest first.
_MOST_PAIRS: Final = 20
#: Tasks in which a check must have failed alike before that is worth telling.
RECURRING: Final = 2
_LONGEST_SUBJECT: Final = 200


@dataclass(frozen=True, slots=True)
class Failed:
    """An earlier attempt at the same task that did not count."""

    reason: str
    output: str
    session: str = ""
    #: Paths that the attempt that counted changed, and changed otherwise than this one; None where unknown.
    fixed_by: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One finished session with what led to it."""

    session: str
    task: str
    state: str
    reason: str = ""
    output: str = ""
    title: str = ""
    prompt: str = ""
    category: str = ""
    #: Paths it changed.
    changed: tuple[str, ...] = ()
    #: Earlier attempts at the task, oldest first.
    earlier: tuple[Failed, ...] = ()
    #: Commands that build or test and did not fail, from its transcript.
    worked: tuple[str, ...] = ()


def lessons_of(case: Case, domains: Sequence[str]) -> list[Draft]:
    """Everything that the session itself teaches."""
    found = [_failure_fix(case, domains), _hand_over(case, domains)]
    found += _commands(case, domains)
    return [lesson for lesson in found if lesson is not None]


def check_of(reason: str) -> str:
    """The command of a failed check; empty when something else failed."""
    match = _CHECK.match(reason)
    return match[1] if match else ""


def _failure_fix(case: Case, domains: Sequence[str]) -> Draft | None:
    """The last failed check before the attempt that counted."""
    if case.state != "completed" or not case.earlier:
        return None
    failed = case.earlier[-1]
    command, said = check_of(failed.reason), telling_lines(failed.output)
    files = (case.changed if failed.fixed_by is None else failed.fixed_by)[:_NAMED]
    if not command or not said or not files:
        return None
    what = f"`{clean(command, 120)}` failing with “{said[0]}”"
    more = f" It also said: “{'” “'.join(said[1:])}”." if said[1:] else ""
    return Draft(
        kind="failure_fix",
        type="episodic",
        key=f"failure_fix:{short_hash((command, signature(failed.output)))}",
        subject=clean(f"{command}: {said[0]}", _LONGEST_SUBJECT),
        content=f"If you see {what}, look at {_named(files)}: changing that fixed it before.{more}",
        domain=domain_of(f"{case.title} {said[0]}", files, domains, case.category),
        files=files,
        categories=_categories(case),
        importance=6,
        confidence=0.5,
        evidence={"sessions": [case.session], "tasks": [case.task]},
    )


def _commands(case: Case, domains: Sequence[str]) -> list[Draft]:
    if case.state != "completed":
        return []
    return [
        Draft(
            kind="command",
            type="procedural",
            key=f"command:{short_hash((text,))}",
            subject=clean(text, _LONGEST_SUBJECT),
            content=f"Use `{text}`: it ran without an error in sessions whose work counted.",
            domain=domain_of(f"{text} {case.title}", case.changed, domains, case.category),
            categories=_categories(case),
            importance=4,
            # What ran once may have been chance: below what recall takes until it is met again.
            confidence=0.3,
            evidence={"sessions": [case.session], "tasks": [case.task]},
        )
        # The last ones are those with which it convinced itself.
        for text in case.worked[-_NAMED:]
    ]


def _hand_over(case: Case, domains: Sequence[str]) -> Draft | None:
    match = _CONFLICT.match(case.reason)
    if case.state == "completed" or not match:
        return None
    files = tuple(path.strip() for path in match[3].split(", ") if path.strip())
    when = f"the work of {match[2]} met that of {match[1]}"
    return conflict(files, when, domains, {"sessions": [case.session], "tasks": [case.task]})


def conflict(
    files: Sequence[str], when: str, domains: Sequence[str], evidence: Mapping[str, Any]
) -> Draft | None:
    """What to mind where the work of two epics did not fit together; `when` that was, as a clause."""
    listed = tuple(sorted(path for path in files if path != "unknown files"))[:_NAMED]
    if not listed:
        return None
    return Draft(
        kind="conflict",
        key=f"conflict:{short_hash(listed)}",
        subject=clean(f"conflicts in {', '.join(listed)}", _LONGEST_SUBJECT),
        content=f"Keep changes in {_named(listed)} small: they were in conflict when {clean(when)}.",
        domain=domain_of("", listed, domains),
        files=listed,
        importance=6,
        evidence=evidence,
    )


def recurring(failures: Iterable[tuple[str, str, str, str]], domains: Sequence[str]) -> list[Draft]:
    """Checks that failed alike in several tasks, from (session, task, reason, output) of failed sessions."""
    groups: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for session, task, reason, output in failures:
        command, sign = check_of(reason), signature(output)
        if command and sign:
            groups.setdefault((command, sign), []).append((session, task, output))
    return [
        _check(command, sign, seen, domains)
        for (command, sign), seen in groups.items()
        if len({task for _, task, _ in seen}) >= RECURRING
    ]


def _check(command: str, sign: str, seen: Sequence[tuple[str, str, str]], domains: Sequence[str]) -> Draft:
    said = telling_lines(seen[-1][2], 1)[0]
    return Draft(
        kind="check",
        key=f"check:{short_hash((command, sign))}",
        subject=clean(f"{command}: {said}", _LONGEST_SUBJECT),
        content=f"Run `{clean(command, 120)}` before you finish: it failed with “{said}” in several tasks.",
        domain=domain_of(f"{command} {said}", (), domains),
        importance=7,
        confidence=0.6,
        evidence={
            "sessions": sorted(session for session, _, _ in seen),
            "tasks": sorted({task for _, task, _ in seen}),
        },
    )


@dataclass(frozen=True, slots=True)
class Pairs:
    """What sessions say about files that change together."""

    lessons: tuple[Draft, ...]
    #: Keys of pairs that were often changed, but mostly not together.
    refuted: frozenset[str]


def together(sessions: Mapping[str, Iterable[str]], domains: Sequence[str]) -> Pairs:
    """Pairs of files that sessions change together more often than by chance; paths are by session."""
    baskets = {
        session: changed
        for session, each in sessions.items()
        if 1 <= len(changed := frozenset(each)) <= MOST_FILES
    }
    single = Counter(path for paths in baskets.values() for path in paths)
    seen: dict[tuple[str, str], list[str]] = defaultdict(list)
    for session, paths in baskets.items():
        # A pair cannot be more frequent than the rarer of its files.
        for pair in combinations(sorted(path for path in paths if single[path] >= SUPPORT), 2):
            seen[pair].append(session)
    strength = {pair: len(both) / min(single[pair[0]], single[pair[1]]) for pair, both in seen.items()}
    found = [
        pair
        for pair, both in seen.items()
        if len(both) >= SUPPORT
        and strength[pair] >= _TOGETHER
        and len(both) * len(baskets) >= _LIFT * single[pair[0]] * single[pair[1]]
    ]
    found.sort(key=lambda pair: (-strength[pair] * len(seen[pair]), pair))
    often = sorted(path for path, _ in single.most_common(_MOST_COUNTED) if single[path] >= _OFTEN)
    apart = (pair for pair in combinations(often, 2) if strength.get(pair, 0.0) < _APART)
    return Pairs(
        tuple(_pair(_rarer_first(pair, single), seen[pair], domains) for pair in found[:_MOST_PAIRS]),
        frozenset(map(_pair_key, apart)),
    )


def _rarer_first(pair: tuple[str, str], single: Mapping[str, int]) -> tuple[str, str]:
    return pair if single[pair[0]] <= single[pair[1]] else (pair[1], pair[0])


def _pair_key(pair: tuple[str, str]) -> str:
    return f"co_change:{short_hash(sorted(pair))}"


def _pair(pair: tuple[str, str], sessions: Sequence[str], domains: Sequence[str]) -> Draft:
    one, other = pair
    return Draft(
        kind="co_change",
        key=_pair_key(pair),
        subject=clean(f"{one} and {other}", _LONGEST_SUBJECT),
        content=f"When you change `{clean(one)}`, look at `{clean(other)}` too: mostly both change.",
        domain=domain_of("", pair, domains),
        files=tuple(sorted(pair)),
        evidence={"sessions": list(sessions)},
    )


def _categories(case: Case) -> tuple[str, ...]:
    return (case.category,) if case.category else ()


def _named(files: Sequence[str]) -> str:
    return ", ".join(f"`{clean(path)}`" for path in files)
