"""What proved a landing, kept by git itself.

The commit that lands is the one that was tested, so it cannot say how its checks went. An annotated tag of
that commit does, at `refs/yoke/evidence/<commit>`, outside of the user's tags; `git show` on it shows both.
One ref a landing: parallel writers never meet, as they would in notes.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yokeflow.errors import GitError, RefMovedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from yokeflow.git.repo import Repo

__all__ = ["EVIDENCE", "Evidence", "Proof", "attach", "outcome", "read"]

#: Below this, every landing commit has a ref of its own name.
EVIDENCE = "refs/yoke/evidence/"
#: How often a tag is written again that vanished before a ref led to it.
_TRIES = 3

_LINE = re.compile(r"(passed|flaky) (\S+) ([0-9.]+)s (.+)")
_FORMAT = "--format=%(refname)%00%(trailers:only=true,unfold=true,separator=%x1e,key_value_separator=%x1f)%00"


@dataclass(frozen=True, slots=True)
class Proof:
    """How one command went on a tree."""

    #: `passed`, or `flaky`: it passed only when it was tried again.
    outcome: str
    #: Fingerprint of the environment it ran in.
    environment: str
    seconds: float
    #: On one line, without secrets; a long one is cut.
    command: str

    def __str__(self) -> str:
        return f"{self.outcome} {self.environment} {self.seconds:.3f}s {self.command}"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What proved one landing."""

    tree: str
    proofs: tuple[Proof, ...]


async def attach(repo: Repo, commit: str, tree: str, proofs: Sequence[Proof]) -> None:
    """Keep what proved that `tree`, which `commit` has, may land; what is known of it already stays."""
    ref, old, tries = f"{EVIDENCE}{commit}", None, _TRIES
    while proofs:
        known = (await read(repo, commit))[commit].proofs if old else ()
        tag = ""
        try:
            tag = await _tag(repo, commit, tree, list(dict.fromkeys((*known, *proofs))))
            await repo.update_ref(ref, tag, old, "yoke: evidence")
        except RefMovedError:
            there = await repo.refs(ref)
            if there.get(ref) == old:
                raise
            old = there.get(ref)
        except GitError:
            # Somebody's `git gc --prune=now` may take what no ref reaches yet, and git may be killed.
            if (tag and await repo.object(f"{tag}^{{tag}}")) or (tries := tries - 1) < 0:
                raise
        else:
            return


async def _tag(repo: Repo, commit: str, tree: str, proofs: Sequence[Proof]) -> str:
    """Write the tag object. YokeFlow itself is who says it, whoever the user is."""
    outcome = "flaky" if any(proof.outcome == "flaky" for proof in proofs) else "passed"
    lines = "".join(f"Yoke-Check: {proof}\n" for proof in proofs)
    head = f"object {commit}\ntype commit\ntag yoke-evidence\n"
    tagger = f"tagger YokeFlow <yoke@localhost> {int(time.time())} +0000\n"
    text = f"{head}{tagger}\nChecks of {commit[:12]}\n\nYoke-Checks: {tree}={outcome}\n{lines}"
    return (await repo.git("mktag", stdin=text.encode(errors="surrogateescape"))).text


async def outcome(repo: Repo, commit: str) -> str:
    """What a landing or an undo says itself of its checks, such as `passed`; empty for nothing."""
    form = "--format=%(trailers:key=Yoke-Checks,valueonly)"
    said = await repo.git("log", "-1", form, "--end-of-options", commit)
    return said.text.strip().rpartition("=")[2]


async def read(repo: Repo, commit: str = "") -> Mapping[str, Evidence]:
    """The evidence of every landing commit, or of one; empty for those that have none."""
    out = await repo.git("for-each-ref", _FORMAT, "--", f"{EVIDENCE}{commit}")
    found = {}
    for name, trailers in zip(out.parts[::2], out.parts[1::2], strict=False):
        found[name.strip().removeprefix(EVIDENCE)] = _evidence(trailers)
    return found


def _evidence(trailers: str) -> Evidence:
    tree, proofs = "", []
    for trailer in trailers.split("\x1e"):
        name, _, value = trailer.partition("\x1f")
        if name == "Yoke-Checks":
            tree = value.partition("=")[0]
        elif name == "Yoke-Check" and (line := _LINE.fullmatch(value.strip())):
            proofs.append(Proof(line[1], line[2], float(line[3]), line[4]))
    return Evidence(tree, tuple(proofs))
