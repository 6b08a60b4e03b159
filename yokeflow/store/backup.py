"""Copies of the whole database in one file, by PostgreSQL's own programs. Everything here blocks."""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from yokeflow.errors import DiskFullError, StoreError
from yokeflow.store.address import plain
from yokeflow.store.cluster import Cluster

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = b"PGDMP"
#: pg_restore writes it for every server; those before 17 do not know it.
_TOO_NEW = b"SET transaction_timeout"
#: Empties the schema, but for what belongs to extensions. Locks are taken here, so nobody waits for ever.
_EMPTY = b"""
SET lock_timeout = '10s';
DO $$
DECLARE
  command text;
  commands text[];
BEGIN
  SELECT array_agg(line ORDER BY place) INTO commands FROM (
    SELECT CASE relkind WHEN 'v' THEN 1 WHEN 'm' THEN 2 WHEN 'S' THEN 4 ELSE 3 END AS place, oid,
           format('DROP %s IF EXISTS public.%I CASCADE', CASE relkind WHEN 'v' THEN 'VIEW'
             WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, relname) AS line
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')
    UNION ALL SELECT 5, oid, format('DROP ROUTINE IF EXISTS %s CASCADE', oid::regprocedure)
    FROM pg_proc WHERE pronamespace = 'public'::regnamespace
  ) found WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = found.oid AND d.deptype = 'e');
  FOREACH command IN ARRAY coalesce(commands, '{}') LOOP
    EXECUTE command;
  END LOOP;
END $$;
"""


def backup(url: str, file: Path) -> int:
    """Write the database to `file`, readable by you alone; gives its size in bytes.

    A half-written file never gets that name. Raises StoreError, or DiskFullError when there is no room.
    """
    half = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        half.touch(mode=0o600)
        command = ("--format=custom", "--no-owner", "--no-privileges", "--no-comments", "--file", str(half))
        with tempfile.TemporaryFile() as said:
            address, environment = _connection(url)
            done = subprocess.run(
                (Cluster.client("pg_dump"), *command, address), env=environment, stderr=said, check=False
            )
            _check("pg_dump", done.returncode, said)
        half.rename(file)
    except OSError as error:
        raise StoreError(
            f"cannot write {file}: {error.strerror}", hint="name a file in a folder of yours"
        ) from error
    finally:
        with suppress(OSError):
            half.unlink(missing_ok=True)
    return file.stat().st_size


def restore(url: str, file: Path) -> None:
    """Replace what is in the database by what is in `file`: all of it, or nothing.

    Raises StoreError when the file is no backup or is damaged, or when somebody uses the tables meanwhile.
    """
    _refuse_other_files(file)
    address, environment = _connection(url)
    script = (Cluster.client("pg_restore"), "--no-owner", "--no-privileges", "--file=-", str(file))
    into = (
        Cluster.client("psql"),
        "--no-psqlrc",
        "--quiet",
        "--single-transaction",
        "--set=ON_ERROR_STOP=1",
        address,
    )
    with (
        tempfile.TemporaryFile() as reader_said,
        tempfile.TemporaryFile() as writer_said,
        subprocess.Popen(script, stdout=subprocess.PIPE, stderr=reader_said) as reader,
        subprocess.Popen(
            into, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=writer_said, env=environment
        ) as writer,
    ):
        _copy(reader, writer)
        writer.wait()
        _check("pg_restore", reader.returncode, reader_said)
        _check("psql", writer.returncode, writer_said)


def _copy(reader: subprocess.Popen[bytes], writer: subprocess.Popen[bytes]) -> None:
    """Hand the script over; a script that breaks off is never committed."""
    assert reader.stdout is not None
    assert writer.stdin is not None
    with suppress(BrokenPipeError):  # its exit code and words tell why
        writer.stdin.write(_EMPTY)
        for number, line in enumerate(reader.stdout):
            if number > 100 or not line.startswith(_TOO_NEW):
                writer.stdin.write(line)
        writer.stdin.flush()
    reader.stdout.close()
    if reader.wait():
        writer.kill()
    with suppress(BrokenPipeError):
        writer.stdin.close()


def _connection(url: str) -> tuple[str, dict[str, str]]:
    """The address without its password, and an environment with it: all users see command lines."""
    parts = urlsplit(plain(url))
    query = dict(parse_qsl(parts.query))
    password = query.pop("password", None) or (unquote(parts.password) if parts.password else None)
    if "ssl" in query:
        query.setdefault("sslmode", query.pop("ssl"))
    user, at, host = parts.netloc.rpartition("@")
    bare = urlunsplit(
        (
            parts.scheme,
            f"{user.partition(':')[0]}{at}{host}",
            parts.path,
            urlencode(query, quote_via=quote),
            "",
        )
    )
    return f"--dbname={bare}", {**os.environ, **({"PGPASSWORD": password} if password else {})}


def _check(program: str, code: int, said: BinaryIO) -> None:
    if code == 0:
        return
    said.seek(0)
    lines = [line for line in said.read().decode(errors="replace").splitlines() if line.strip()]
    if any("No space left" in line for line in lines):
        raise DiskFullError(f"{program}: {lines[0]}", hint="make room and try again")
    first = next(
        (line for line in lines if "error" in line.lower() or "fatal" in line.lower()), "".join(lines[:1])
    )
    raise StoreError(
        f"{program} failed: {first or f'exit code {code}'}",
        hint="nothing was changed; `yoke db status` shows whether the database can be reached",
    )


def _refuse_other_files(file: Path) -> None:
    try:
        with file.open("rb") as opened:
            start = opened.read(len(_MAGIC))
    except OSError as error:
        raise StoreError(
            f"cannot read {file}: {error.strerror}", hint="name a file of `yoke db backup`"
        ) from error
    if start != _MAGIC:
        raise StoreError(f"{file} is no backup", hint="name a file of `yoke db backup`")
