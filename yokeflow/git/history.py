"""What git alone can tell of a project: landings in their order, what sessions did, and what was undone.

Everything comes from the trailers of commits and the names of refs, in a few processes however long it is.
Git does not know what changed nothing: an attempt without a commit, its cost, who was asked what.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from yokeflow.git.made import named_tasks, writer_of
from yokeflow.git.repo import KEEP, KEPT_SQUASHED
from yokeflow.git.reverts import undo_id
from yokeflow.git.squashed import landing_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from yokeflow.git.repo import Repo

#: Commits that say something: with a trailer of ours, or joining a lane into its epic. Git searches them,
#: which takes a fraction of what reading all of them here would.
_TELLING: Final = (
    *("--grep=^Yoke-Epic: ", "--grep=^Yoke-Undoes: ", "--grep=^Join "),
    # People write it by hand.
    "--grep=^[Yy][Oo][Kk][Ee]-[Tt][Aa][Ss][Kk]:",
)
_FIELDS: Final = (
    "%H%x00%T%x00%P%x00%ct%x00%an%x00%B%x00"
    "%(trailers:only=true,unfold=true,separator=%x1e,key_value_separator=%x1f)"
)
_COUNT: Final = 7
#: A line of a landing's message for each task that landed.
_LANDED_TASK: Final = re.compile(r"^- (.*) \(([A-Za-z0-9][A-Za-z0-9._-]*)\)$", re.MULTILINE)
#: A failed attempt.
_ATTEMPT: Final = re.compile(rf"{KEEP}([^/]+)/([0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})")
_OID: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_TICK: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Landing:
    """A commit that brought an epic onto the target."""

    commit: str
    tree: str
    #: Where the target was before.
    old_commit: str
    #: Tip of the epic's branch; empty for a squash whose history is not kept here.
    epic_commit: str
    epic: str
    title: str
    #: UUID of the run; empty where a person landed it.
    run: str
    #: Titles of the tasks that landed, by id.
    tasks: Mapping[str, str]
    #: The tasks that a person had left out.
    skipped: tuple[str, ...]
    squashed: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Work:
    """What one session committed."""

    task: str
    session: str
    #: Its last commit.
    head: str
    #: The commit by which the epic's branch has it: `head`, or the one that joined its lane.
    commit: str
    #: What it was built on; empty for a first commit.
    base: str
    at: datetime
    #: Whether the target or an epic's branch has it, or the kept history of an epic that landed as a squash.
    counts: bool
    #: Where it is kept, for an attempt that was taken back.
    kept_ref: str = ""


@dataclass(frozen=True, slots=True)
class Undo:
    """A commit that takes other ones back."""

    commit: str
    tree: str
    old_commit: str
    #: Landings, or earlier undos, which brings back what they took.
    undoes: tuple[str, ...]
    #: The id of the undo.
    operation: str
    author: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Claim:
    """A person's commit that names a task, which may complete it."""

    task: str
    commit: str
    parents: tuple[str, ...]
    subject: str
    author: str
    at: datetime
    #: Whether the target has it, or the kept history of an epic that landed as a squash.
    landed: bool


@dataclass(frozen=True, slots=True)
class History:
    """What git knows; everything in the order in which it came about."""

    target: str
    landings: tuple[Landing, ...] = ()
    work: tuple[Work, ...] = ()
    undos: tuple[Undo, ...] = ()
    claims: tuple[Claim, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.landings or self.work)


@dataclass(frozen=True, slots=True)
class _Ref:
    name: str
    oid: str
    at: datetime


@dataclass(frozen=True, slots=True)
class _Commit:
    oid: str
    tree: str
    parents: tuple[str, ...]
    author: str
    message: str
    trailers: Mapping[str, Sequence[str]]
    #: Grows from commit to commit, also where clocks did not.
    at: datetime

    def trailer(self, name: str) -> str:
        """The last value; empty where there is none."""
        return self.trailers.get(name, ("",))[-1].strip()


async def read_history(repo: Repo, target: str, prefix: str, *, since: str = "") -> History:
    """What is on `target` after the commit `since`, on epics' branches below `prefix`, and what is kept.

    A target that does not exist has no history.
    """
    if (tip := await repo.branch(target)) is None:
        return History(target)
    refs = await _refs(repo, tip, f"refs/heads/{prefix}", KEEP)
    epics = [ref.oid for ref in refs if not ref.name.startswith(KEEP)]
    squashed = [ref.oid for ref in refs if ref.name.startswith(KEPT_SQUASHED)]
    landed, beside, on_branches, in_squashed = await asyncio.gather(
        _log(repo, [tip, *([f"^{since}"] if since else [])]),
        _log(repo, [*(ref.oid for ref in refs), f"^{tip}"]) if refs else _nothing(),
        _beside(repo, epics, tip),
        _beside(repo, squashed, tip),
    )
    return _Reader(target, refs, landed, beside, on_branches, in_squashed).history()


async def newest_landing(repo: Repo, target: str, since: str = "") -> str | None:
    """The last commit on `target`, after `since`, that says it landed something."""
    if (tip := await repo.branch(target)) is None:
        return None
    revisions = [tip, *([f"^{since}"] if since else [])]
    out = await repo.git("rev-list", "-n1", "--grep=^Yoke-Epic: ", "--end-of-options", *revisions)
    return out.text or None


async def _refs(repo: Repo, tip: str, *prefixes: str) -> list[_Ref]:
    """The refs below some prefixes whose commits are not on the target."""
    flags = (
        f"--no-merged={tip}",
        "--sort=creatordate",
        "--format=%(refname)%00%(objectname)%00%(creatordate:unix)",
    )
    # Git takes a name that ends anywhere else for that of one ref.
    folders = {f"{prefix.rpartition('/')[0]}/" for prefix in prefixes}
    out = await repo.git("for-each-ref", *flags, "--", *sorted(folders))
    found = (line.split("\0") for line in out.text.splitlines())
    return [_Ref(name, oid, _time(seconds)) for name, oid, seconds in found if name.startswith(prefixes)]


async def _nothing() -> list[_Commit]:
    return []


async def _log(repo: Repo, revisions: Sequence[str]) -> list[_Commit]:
    """The commits that say something, oldest first."""
    flags = ("-z", "--topo-order", "--reverse", "--encoding=UTF-8", *_TELLING, f"--format=tformat:{_FIELDS}")
    out = await repo.git("log", *flags, "--stdin", stdin="".join(f"{oid}\n" for oid in revisions).encode())
    return list(_parsed(out.parts))


def _parsed(parts: Sequence[str]) -> Iterator[_Commit]:
    last = datetime.fromtimestamp(0, UTC)
    for at in range(0, len(parts) - _COUNT + 1, _COUNT):
        oid, tree, parents, seconds, author, message, lines = parts[at : at + _COUNT]
        # Clocks go wrong, and many commits share a second; what came later has to be later.
        last = max(_time(seconds), last + _TICK)
        yield _Commit(oid, tree, tuple(parents.split()), author, message, _trailers(lines), last)


def _time(seconds: str) -> datetime:
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


def _trailers(lines: str) -> dict[str, list[str]]:
    trailers: dict[str, list[str]] = {}
    for line in filter(None, lines.split("\x1e")):
        name, _, value = line.partition("\x1f")
        trailers.setdefault(name, []).append(value)
    return trailers


async def _beside(repo: Repo, tips: Sequence[str], tip: str) -> frozenset[str]:
    """What the tips have beside the target."""
    if not tips:
        return frozenset()
    revisions = "".join(f"{oid}\n" for oid in (*tips, f"^{tip}"))
    out = await repo.git("rev-list", "--stdin", stdin=revisions.encode())
    return frozenset(out.text.split())


@dataclass(frozen=True)
class _Reader:
    """Turns commits into facts."""

    target: str
    refs: Sequence[_Ref]
    #: On the target, and beside it.
    landed: Sequence[_Commit]
    beside: Sequence[_Commit]
    #: Those beside it that epics' branches have, and the history of epics that landed as a squash.
    on_branches: frozenset[str]
    in_squashed: frozenset[str]
    joins: dict[str, str] = field(default_factory=dict)
    taken_up: dict[str, str] = field(default_factory=dict)

    def history(self) -> History:
        for commit in (*self.landed, *self.beside):
            if len(commit.parents) == 2 and commit.message.startswith("Join "):
                self.joins.setdefault(commit.parents[1], commit.oid)
            if len(commit.parents) == 2 and commit.message.startswith("Take up "):
                self.taken_up.setdefault(commit.parents[1], commit.oid)
        proved = {commit.oid for commit in self.landed} | self.in_squashed
        work = self._work((*self.landed, *self.beside), proved | self.on_branches)
        kept = tuple(self._with_kept(list(work), proved))
        landings, undos = tuple(self._landings()), tuple(self._undos())
        return History(self.target, landings, kept, undos, tuple(self._claims(proved)))

    def _landings(self) -> Iterator[Landing]:
        kept = {landing_of(ref.name): ref.oid for ref in self.refs}
        for commit in self.landed:
            epic = commit.trailer("Yoke-Epic")
            other = commit.trailer("Yoke-Task") or commit.trailer("Yoke-Undoes")
            if epic and commit.parents and not other:
                squashed = len(commit.parents) == 1
                tip = kept.get(commit.oid, "") if squashed else commit.parents[1]
                yield _landing(commit, epic, tip, squashed=squashed)

    def _undos(self) -> Iterator[Undo]:
        for commit in self.landed:
            said = " ".join(commit.trailers.get("Yoke-Undoes", ()))
            if (found := tuple(_OID.findall(said))) and commit.parents:
                name = undo_id(commit.trailer("Yoke-Run"), commit.oid)
                yield Undo(commit.oid, commit.tree, commit.parents[0], found, name, commit.author, commit.at)

    def _claims(self, landed: Collection[str]) -> Iterator[Claim]:
        for commit in (*self.landed, *self.beside):
            there = commit.oid in landed
            if writer_of(commit.message) == "person" and (there or commit.oid in self.on_branches):
                subject = commit.message.partition("\n")[0]
                about = (commit.oid, commit.parents, subject, commit.author, commit.at, there)
                yield from (Claim(task, *about) for task in dict.fromkeys(named_tasks(commit.message)))

    def _work(self, commits: Iterable[_Commit], counting: Collection[str]) -> Iterator[Work]:
        """One for every session, in the order of their last commits."""
        first: dict[tuple[str, str], _Commit] = {}
        last: dict[tuple[str, str], _Commit] = {}
        for commit in commits:
            name = commit.trailer("Yoke-Task"), commit.trailer("Yoke-Session")
            # Whoever resolved a conflict did not do the task that paid for it.
            if all(name) and not commit.trailer("Yoke-Resolves"):
                if name in last and last[name].oid in counting and commit.oid not in counting:
                    # What a person has rebased since, and something else still has.
                    continue
                first.setdefault(name, commit)
                # Put behind what came before its end.
                last.pop(name, None)
                last[name] = commit
        for (task, session), commit in last.items():
            start = first[task, session]
            # What was kept aside for an approval was taken up into its lane first.
            lane = self.taken_up.get(commit.oid, commit.oid)
            yield Work(
                task=task,
                session=session,
                head=commit.oid,
                commit=self.joins.get(lane, lane),
                base=start.parents[0] if start.parents else "",
                at=commit.at,
                counts=commit.oid in counting,
            )

    def _with_kept(self, work: Sequence[Work], proved: Collection[str]) -> Iterator[Work]:
        """The same, where an attempt that was taken back says where it is kept.

        One whose lane was not put back before a crash is on an epic's branch too, and does not count there.
        """
        kept = {found[2]: (found[1], ref) for ref in self.refs if (found := _ATTEMPT.fullmatch(ref.name))}
        for each in work:
            _, ref = kept.pop(each.session, ("", None))
            if ref is not None and each.head not in proved:
                yield replace(each, counts=False, kept_ref=ref.name)
            else:
                yield each
        for session, (task, ref) in kept.items():
            # It was taken back before its commits got their trailers.
            yield Work(task, session, ref.oid, ref.oid, "", ref.at, counts=False, kept_ref=ref.name)


def _landing(commit: _Commit, epic: str, tip: str, *, squashed: bool) -> Landing:
    subject, _, body = commit.message.partition("\n")
    return Landing(
        commit=commit.oid,
        tree=commit.tree,
        old_commit=commit.parents[0],
        epic_commit=tip,
        epic=epic,
        title=subject.removeprefix(f"Land {epic}: ").strip(),
        run=commit.trailer("Yoke-Run"),
        tasks={task: title for title, task in _LANDED_TASK.findall(body)},
        skipped=tuple(commit.trailers.get("Yoke-Skipped", ())),
        squashed=squashed,
        at=commit.at,
    )
