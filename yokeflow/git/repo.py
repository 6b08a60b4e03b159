"""A repository: where it is, its refs and its commits."""

from __future__ import annotations

import os
import re
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from yokeflow.errors import GitError, RefMovedError, RepositoryError
from yokeflow.git import commits, save
from yokeflow.git.objects import ObjectReader, TreeDiffer
from yokeflow.git.runner import KILLED, GitOutput, run_git

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

    from yokeflow.git.commits import Commit

__all__ = ["KEEP", "KEPT_SQUASHED", "GitOutput", "RefMovedError", "Repo"]

#: Whatever is removed stays reachable below this.
KEEP = "refs/yoke/keep/"
#: The history of epics that landed as one commit. This part alone proves that a branch may go: a failed
#: attempt, kept elsewhere, reaches the finished work that it was built on.
KEPT_SQUASHED = f"{KEEP}squashed/"

_OLDEST = (2, 38)
_FSYNC = ("-c", "core.fsync=committed,reference")
#: Refs with a log of where they were. Of one that leads to a tag, `git gc` would say that it is no commit.
_LOGGED = ("refs/heads/", KEEP)


class Repo:
    """One git repository with all its worktrees. Holds nothing open but in `reading`."""

    def __init__(self, root: Path, common_dir: Path, *, bare: bool) -> None:
        #: Top folder of the main checkout; of a bare repository, the worktree it was found from or its git
        #: folder.
        self.root = root
        #: The git folder that all worktrees share.
        self.common_dir = common_dir
        self.bare = bare
        self._identity: dict[str, str] | None = None
        self._reader: ObjectReader | None = None
        self._differ: TreeDiffer | None = None

    @property
    def state_dir(self) -> Path:
        """Where YokeFlow keeps what belongs to this repository but not into it."""
        return self.common_dir / "yoke"

    def worktree_folder(self, name: str) -> Path:
        """Where worktrees go: `name` is `parallel.worktree_dir`."""
        return (self.common_dir if self.bare else self.root) / name

    @classmethod
    async def discover(cls, start: Path) -> Self:
        """Find the repository that `start` is in.

        Raises RepositoryError when there is none, git is older than 2.38, or nothing was committed yet.
        """
        await _check_version(start)
        git_dir, common, bare, top = await _locate(start)
        repo = cls(await _root(top, git_dir, common, bare=bare), common, bare=bare)
        if not await repo.resolve("HEAD") and not await repo.refs("refs/heads/"):
            raise RepositoryError(
                f"{repo.root} has no commit yet", hint='make one: git commit --allow-empty -m "Start"'
            )
        return repo

    async def git(
        self,
        *args: str,
        cwd: Path | None = None,
        stdin: bytes = b"",
        ok: tuple[int, ...] = (0,),
        env: Mapping[str, str] | None = None,
    ) -> GitOutput:
        """Run git in `cwd`, else in the root; see `run_git`."""
        return await run_git(*args, cwd=cwd or self.root, stdin=stdin, ok=ok, env=env)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """While the block runs, names are resolved and trees compared by two processes that stay open."""
        self._reader, self._differ = ObjectReader(self.common_dir), TreeDiffer(self.common_dir)
        try:
            yield
        finally:
            reader, self._reader = self._reader, None
            differ, self._differ = self._differ, None
            await reader.close()
            await differ.close()

    async def resolve(self, rev: str) -> str | None:
        """The commit that `rev` means; None when it means none."""
        if self._reader is not None:
            return await self._reader.resolve(f"{rev}^{{commit}}")
        out = await self.git(
            "rev-parse", "-q", "--verify", "--end-of-options", f"{rev}^{{commit}}", ok=(0, 1, 128)
        )
        return out.text if out.returncode == 0 else None

    async def object(self, name: str) -> str | None:
        """The id of the object of that name, such as `main:.gitmodules`; None when there is none."""
        if self._reader is not None:
            return await self._reader.resolve(name)
        out = await self.git("rev-parse", "-q", "--verify", "--end-of-options", name, ok=(0, 1, 128))
        return out.text if out.returncode == 0 else None

    async def branch(self, name: str) -> str | None:
        """The commit at the tip of a branch; None when there is no such branch."""
        return await self.resolve(f"refs/heads/{name}")

    async def target_branch(self, configured: str | None) -> str:
        """Name of the branch on which work lands: the configured one, else the one that is checked out.

        Raises RepositoryError when that is no branch with a commit.
        """
        if configured is None:
            head = await self.git("symbolic-ref", "-q", "HEAD", ok=(0, 1))
            if head.returncode:
                raise RepositoryError("no branch is checked out", hint="check one out, or set project.target")
            configured = head.text.removeprefix("refs/heads/")
        if await self.branch(configured) is None:
            await self._must_lead_somewhere(configured)
            raise RepositoryError(
                f"there is no branch {configured} with a commit", hint="create it, or set project.target"
            )
        return configured

    async def _must_lead_somewhere(self, branch: str) -> None:
        """Raises RepositoryError for a branch that is there, and whose commit is not."""
        if oid := await self.held(f"refs/heads/{branch}"):
            raise RepositoryError(
                f"{branch} leads to {oid[:12]}, which this repository does not have",
                hint=f"`git reflog {branch}` tells where it was: `git update-ref refs/heads/{branch} COMMIT`",
            )

    async def held(self, ref: str) -> str | None:
        """The id that a full ref holds, also when its object is gone; None when there is no such ref."""
        out = await self.git("rev-parse", "-q", "--verify", "--end-of-options", ref, ok=(0, 1, 128))
        return out.text if out.returncode == 0 else None

    async def is_ancestor(self, a: str, b: str) -> bool:
        """Whether everything in `a` is in `b` too. A commit is its own ancestor."""
        if a == b or await self._is_parent(a, b):
            return True
        out = await self.git("merge-base", "--is-ancestor", a, b, ok=(0, 1))
        return out.returncode == 0

    async def _is_parent(self, a: str, b: str) -> bool:
        """Whether that can be told without a process, and is so: the usual case of a merge."""
        if self._reader is None:
            return False
        return a in {await self._reader.resolve(f"{b}^{number}") for number in (1, 2)}

    async def independent(self, commits: Sequence[str]) -> list[str]:
        """Those of the commits that no other of them contains, in the order given."""
        if len(set(commits)) < 2:
            return list(dict.fromkeys(commits))
        out = await self.git("merge-base", "--independent", *commits)
        found = set(out.text.split())
        return [commit for commit in dict.fromkeys(commits) if commit in found]

    async def refs(self, prefix: str) -> dict[str, str]:
        """Full name -> commit (or tag object) of every ref below `prefix`."""
        if not self._may_have(prefix):
            return {}
        out = await self.git("for-each-ref", "--format=%(refname)%00%(objectname)", "--", prefix)
        pairs = (line.split("\0") for line in out.text.splitlines())
        return {name: oid for name, oid in pairs if name.startswith(prefix)}

    def _may_have(self, prefix: str) -> bool:
        """Whether there may be refs below a prefix; needs no process where refs are files."""
        folder = self.common_dir / prefix.rpartition("/")[0]
        packed = self.common_dir / "packed-refs"
        if (self.common_dir / "reftable").exists() or folder.exists():
            return True
        return packed.exists() and os.fsencode(f" {prefix}") in packed.read_bytes()

    async def branches(self) -> set[str]:
        """Short names of all branches; needs no process where refs are files."""
        if (self.common_dir / "reftable").exists():
            return {ref.removeprefix("refs/heads/") for ref in await self.refs("refs/heads/")}
        loose = self.common_dir / "refs" / "heads"
        names = {file.relative_to(loose).as_posix() for file in loose.rglob("*") if file.is_file()}
        packed = self.common_dir / "packed-refs"
        lines = packed.read_text(encoding="utf-8", errors="surrogateescape") if packed.exists() else ""
        return names | set(re.findall(r"^[0-9a-f]+ refs/heads/(.+)$", lines, re.MULTILINE))

    async def update_ref(self, ref: str, new: str, old: str | None, message: str) -> None:
        """Move a full ref from `old` to `new` at once; `old` None means it must not exist yet.

        Raises RefMovedError when it is somewhere else.
        """
        expected = old or "0" * len(new)
        log = ("--create-reflog",) if ref.startswith(_LOGGED) else ()
        try:
            await self._change_ref("update-ref", "-m", message, *log, ref, new, expected, ref=ref)
        except GitError as error:
            if error.returncode in KILLED:
                self._free(ref, new)
            raise

    async def delete_ref(self, ref: str, old: str) -> None:
        """Remove a full ref that is at `old`. Raises RefMovedError when it is somewhere else."""
        await self._change_ref("update-ref", "-d", ref, old, ref=ref)

    async def _change_ref(self, *args: str, ref: str) -> None:
        try:
            await self.git(*_FSYNC, *args)
        except GitError as error:
            if "cannot lock ref" not in error.stderr:
                raise
            actual = await self.resolve(ref)
            raise RefMovedError(args, error.returncode, error.stderr, actual=actual) from error

    def _free(self, ref: str, new: str) -> None:
        """Remove the lock of a git that was killed as it wrote `new`; git is over by now."""
        lock = self.common_dir / f"{ref}.lock"
        with suppress(OSError):
            if lock.read_bytes().strip() == new.encode():
                lock.unlink()

    async def keep(self, name: str, commit: str) -> str:
        """Make `commit` reachable below `refs/yoke/keep/` for good; gives the full ref, free of clashes."""
        base = KEEP + _ref_name(name if "/" in name else f"{name}/{commit[:12]}")
        for ref in (base, f"{base}-{commit[:12]}", f"{base}-{commit}"):
            try:
                await self.update_ref(ref, commit, None, "yoke: keep")
            except RefMovedError as error:
                if error.actual == commit:
                    return ref
            else:
                return ref
        raise GitError(("update-ref", base, commit), 1, "cannot keep the commit: the name is taken")

    async def is_kept(self, commit: str, *, below: str = KEEP) -> bool:
        """Whether a ref below `below` reaches `commit`."""
        out = await self.git("for-each-ref", "--count=1", f"--contains={commit}", "--format=x", "--", below)
        return bool(out.stdout)

    async def commits(self, old: str, new: str) -> list[Commit]:
        """What `new` has and `old` has not, oldest first."""
        return await commits.between(self, old, new)

    async def tree_of(self, commit: str) -> str:
        """The tree of a commit."""
        if self._reader is not None and (tree := await self._reader.resolve(f"{commit}^{{tree}}")):
            return tree
        return (await self.git("rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}")).text

    async def changed_files(self, base: str, head: str) -> list[str]:
        """Paths that differ between two commits."""
        if self._differ is not None:
            old, new = await self.tree_of(base), await self.tree_of(head)
            if (paths := await self._differ.changed(old, new)) is not None:
                return paths
        out = await self.git("diff-tree", "-r", "-z", "--name-only", "--no-renames", base, head)
        return list(out.parts)

    async def tracked_files(self, rev: str) -> list[str]:
        """Paths in a commit."""
        return list((await self.git("ls-tree", "-r", "-z", "--name-only", rev)).parts)

    async def stamp(
        self, base: str, head: str, trailers: Mapping[str, str], *, own: Collection[str] = ()
    ) -> str:
        """Rewrite the commits from `base` to `head` that lack a trailer; gives the new head.

        Authors, committers, dates, trees and merges stay. Commits that another branch, a tag or a remote
        branch reaches are somebody else's and stay as they are, unless the branch is named in `own`. Moves no
        ref; `head` itself comes back when there is nothing to do.
        """
        return await commits.stamp(self, base, head, trailers, own=own)

    async def commit_all(
        self, worktree: Path, message: str, trailers: Mapping[str, str], *, base: str | None = None
    ) -> str | None:
        """Commit everything in a lane's worktree that git does not ignore; None when nothing changed.

        `base` is a commit without nested repositories: with HEAD still there, only changes are searched.

        Runs no hooks and signs nothing. A repository nested in the worktree becomes plain files; its own
        history is kept, and so are commits made in its submodules. A merge in progress without conflicts is
        concluded.
        """
        return await save.commit_all(self, worktree, message, trailers, base=base)

    async def identity(self) -> Mapping[str, str]:
        """Environment that names YokeFlow as author where the user has set no identity."""
        if self._identity is None:
            out = await self.git("-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT", ok=(0, 128))
            ours = {"NAME": "YokeFlow", "EMAIL": "yoke@localhost"} if out.returncode else {}
            self._identity = {f"GIT_{who}_{k}": v for who in ("AUTHOR", "COMMITTER") for k, v in ours.items()}
        return self._identity


async def _check_version(start: Path) -> None:
    text = (await run_git("version", cwd=start)).text
    found = re.search(r"(\d+)\.(\d+)", text)
    if not found or (int(found[1]), int(found[2])) < _OLDEST:
        raise RepositoryError(
            f"{text} is too old", hint="install git 2.38 or newer: https://git-scm.com/downloads"
        )


async def _locate(start: Path) -> tuple[Path, Path, bool, Path | None]:
    """Git folder, the one that all worktrees share, whether that is bare, and the top of the worktree."""
    # A path may hold a newline, so that what is no path goes between them.
    asked = ("--git-dir", "--is-bare-repository", "--git-common-dir", "--is-bare-repository")
    # Outside of any worktree the last question fails after the others were answered.
    where = ("rev-parse", "--path-format=absolute", *asked, "--show-toplevel")
    said = await run_git(*where, cwd=start, ok=(0, 128))
    found = re.split(r"\n(true|false)(?:\n|$)", said.text)
    if len(found) < 5:
        raise _no_repository(start, said.stderr)
    git_dir, common, bare, top = Path(found[0]), Path(found[2]), found[1] == "true", found[4]
    if git_dir != common:
        # A linked worktree is never bare itself.
        bare = (await run_git("rev-parse", "--is-bare-repository", cwd=common)).text == "true"
    return git_dir, common, bare, Path(top) if top else None


def _no_repository(start: Path, stderr: str) -> RepositoryError:
    if "dubious ownership" in stderr:
        return RepositoryError(
            f"git does not trust the owner of {start}",
            hint="git config --global --add safe.directory <that folder>",
        )
    return RepositoryError(f"{start} is in no git repository", hint="start it in one, or make one: git init")


async def _root(top: Path | None, git_dir: Path, common: Path, *, bare: bool) -> Path:
    if bare:
        return top or common
    if top and git_dir == common:
        return top
    configured = await run_git("config", "--type=path", "core.worktree", cwd=common, ok=(0, 1))
    if configured.text:
        return (common / configured.text).resolve()
    return common.parent if common.name == ".git" or top is None else top


def _ref_name(name: str) -> str:
    """A name that git takes as part of a ref, whatever was in it."""
    parts = (re.sub(r"[^A-Za-z0-9._+=-]|^\.|\.(?=\.|$|lock$)", "-", part) or "-" for part in name.split("/"))
    return "/".join(parts)
