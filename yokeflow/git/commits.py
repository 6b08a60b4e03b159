"""Read commits and their trailers, make commits, and rewrite private ones so that they carry ours."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from yokeflow.git.repo import Repo

_FIELDS = "%H%x00%T%x00%P%x00%s%x00%(trailers:only=true,unfold=true,separator=%x1e,key_value_separator=%x1f)"


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit as far as we read it."""

    oid: str
    tree: str
    parents: tuple[str, ...]
    subject: str
    #: Values by name, in order.
    trailers: dict[str, list[str]]

    def carries(self, trailers: Mapping[str, str]) -> bool:
        """Whether every one of `trailers` is on the commit."""
        return all(value in self.trailers.get(name, []) for name, value in trailers.items())


async def between(repo: Repo, old: str, new: str, without: Collection[str] = ()) -> list[Commit]:
    """What `new` has and neither `old` nor any of `without` has, oldest first."""
    revisions = "\n".join([new, f"^{old}", *(f"^{oid}" for oid in without)]) + "\n"
    flags = ("-z", "--topo-order", "--reverse", "--encoding=UTF-8", f"--format=tformat:{_FIELDS}")
    out = await repo.git("log", *flags, "--stdin", stdin=revisions.encode())
    parts = out.parts
    return [_commit(parts[at : at + 5]) for at in range(0, len(parts), 5)]


def _commit(fields: Sequence[str]) -> Commit:
    oid, tree, parents, subject, lines = fields
    trailers: dict[str, list[str]] = {}
    for line in filter(None, lines.split("\x1e")):
        name, _, value = line.partition("\x1f")
        trailers.setdefault(name, []).append(value)
    return Commit(oid, tree, tuple(parents.split()), subject, trailers)


async def commit_tree(
    repo: Repo,
    tree: str,
    parents: Sequence[str],
    message: bytes,
    *,
    env: Mapping[str, str] | None = None,
) -> str:
    """Write a commit, unsigned; move no ref. `env` may name others than the user, and another time."""
    flags = [flag for parent in parents for flag in ("-p", parent)]
    env = env or await repo.identity()
    return (await repo.git("commit-tree", tree, *flags, "-F", "-", stdin=message, env=env)).text


async def with_trailers(repo: Repo, message: bytes, trailers: Mapping[str, str]) -> bytes:
    """The message with those trailers that it lacks."""
    if not trailers:
        return message
    if b"\n\n" not in message.strip():
        # A subject alone has no trailers yet.
        lines = "".join(f"{name}: {value}\n" for name, value in trailers.items())
        return message.strip() + b"\n\n" + lines.encode()
    flags = [flag for name, value in trailers.items() for flag in ("--trailer", f"{name}: {value}")]
    out = await repo.git(
        "interpret-trailers", "--no-divider", "--where=end", "--if-exists=addIfDifferent", "--if-missing=add",
        *flags, stdin=message.rstrip(b"\n") + b"\n",
    )  # fmt: skip
    return out.stdout


async def stamp(
    repo: Repo, base: str, head: str, trailers: Mapping[str, str], *, own: Collection[str] = ()
) -> str:
    """See `Repo.stamp`."""
    commits = await between(repo, base, head, await _others(repo, head, own))
    new: dict[str, str] = {}
    raw: dict[str, bytes] = {}
    for commit in commits:
        if commit.carries(trailers) and not any(parent in new for parent in commit.parents):
            continue
        raw = raw or await _raw(repo, [each.oid for each in commits])
        new[commit.oid] = await _rewrite(repo, raw[commit.oid], new, trailers)
    return new.get(head, head)


async def _others(repo: Repo, head: str, own: Collection[str]) -> list[str]:
    """Tips whose history is not ours to rewrite."""
    names = {f"refs/heads/{name}" for name in own}
    out = await repo.git(
        "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads/", "refs/remotes/", "refs/tags/"
    )
    refs = (line.split(" ", 1) for line in out.text.splitlines())
    # With no name given, the branch at the head is taken for the lane's own.
    return sorted({oid for oid, ref in refs if (ref not in names if own else oid != head)})


async def _raw(repo: Repo, oids: Sequence[str]) -> dict[str, bytes]:
    out = await repo.git("cat-file", "--batch", stdin="".join(f"{oid}\n" for oid in oids).encode())
    found: dict[str, bytes] = {}
    rest = out.stdout
    for oid in oids:
        header, _, rest = rest.partition(b"\n")
        size = int(header.split()[2])
        found[oid], rest = rest[:size], rest[size + 1 :]
    return found


async def _rewrite(repo: Repo, raw: bytes, new: Mapping[str, str], trailers: Mapping[str, str]) -> str:
    header, _, message = raw.partition(b"\n\n")
    lines: list[bytes] = []
    signature = False
    for line in header.split(b"\n"):
        # A signature of the old commit would be wrong on the new one; its further lines start with a space.
        signature = line.startswith((b"gpgsig ", b"gpgsig-sha256 ")) or (signature and line.startswith(b" "))
        if not signature:
            lines.append(_parent(line, new))
    body = await with_trailers(repo, message, trailers)
    out = await repo.git(
        "hash-object", "-t", "commit", "-w", "--stdin", stdin=b"\n".join(lines) + b"\n\n" + body
    )
    return out.text


def _parent(line: bytes, new: Mapping[str, str]) -> bytes:
    if not line.startswith(b"parent "):
        return line
    old = line.removeprefix(b"parent ").decode()
    return b"parent " + os.fsencode(new.get(old, old))
