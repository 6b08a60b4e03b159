"""The embedded server: private, shared, and back after every kind of crash."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from yokeflow.config import Database
from yokeflow.errors import StoreError
from yokeflow.store import cluster as cluster_module
from yokeflow.store.cluster import SERVANT, Cluster
from yokeflow.store.driver import check_version, connection
from yokeflow.store.server import ensure_server, server_status, stop_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DATABASE = Database()


@pytest.fixture
def url(home: Path) -> str:
    return ensure_server(DATABASE)


def ask(url: str, statement: str = "SELECT 1") -> object:
    async def work() -> object:
        async with connection(url) as opened:
            return await opened.fetchval(statement)

    return asyncio.run(work())


def pid_of_server() -> int:
    pid = server_status(DATABASE).pid
    assert pid is not None
    return pid


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_server_is_made_started_shared_and_stopped(home: Path) -> None:
    url = ensure_server(DATABASE)
    assert ask(url, "SELECT current_database()") == "yokeflow"
    assert ensure_server(DATABASE) == url
    status = server_status(DATABASE)
    assert (status.kind, status.running, status.folder) == ("embedded", True, str(home / "postgres"))
    assert status.version is not None
    assert stop_server()
    assert not stop_server()
    assert not server_status(DATABASE).running
    assert ask(ensure_server(DATABASE)) == 1


def test_only_its_user_can_reach_the_server(url: str, home: Path) -> None:
    owner = pwd.getpwnam(SERVANT).pw_uid if os.geteuid() == 0 else os.geteuid()
    for folder in (home / "postgres" / "socket", home / "postgres" / "data"):
        found = folder.stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o700, owner)
    assert ask(url, "SHOW listen_addresses") == ""
    assert ask(url, "SHOW unix_socket_permissions") == "0700"
    process = psutil.Process(pid_of_server())
    assert [link for link in process.net_connections("inet") if link.status == psutil.CONN_LISTEN] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try it as somebody else")
def test_another_user_is_kept_out(url: str, home: Path) -> None:
    path = home / "postgres" / "socket" / ".s.PGSQL.5432"
    script = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
    nobody = pwd.getpwnam("nobody")
    done = subprocess.run(
        ["/usr/bin/env", "python3", "-c", script], user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=(),
        cwd="/", capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    if "No such file" in done.stderr and "python3" in done.stderr:
        pytest.skip("no Python that everybody may run")
    assert "PermissionError" in done.stderr


def test_a_long_path_gets_a_short_private_socket(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOKE_HOME", str(home / "päth with space's" / ("x" * 100)))
    url = ensure_server(DATABASE)
    try:
        assert ask(url) == 1
        folder = Path(str(ask(url, "SHOW unix_socket_directories")).strip('"'))
        assert len(str(folder)) < 90
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    finally:
        stop_server()
        shutil.rmtree(folder)


def test_a_socket_folder_that_somebody_else_made_is_refused(home: Path) -> None:
    home.mkdir()
    base = Cluster(home / ("x" * 90))
    folder = base.socket_folder()
    folder.chmod(0o777)
    try:
        with pytest.raises(StoreError, match="not a private folder"):
            base.socket_folder()
        folder.rmdir()
        folder.symlink_to(home)
        with pytest.raises(StoreError, match="not a private folder"):
            base.socket_folder()
    finally:
        folder.unlink()


def test_a_killed_postmaster_is_replaced_and_no_row_is_lost(url: str) -> None:
    ask(url, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")
    before = pid_of_server()
    kill(before)
    assert not server_status(DATABASE).running
    assert ask(ensure_server(DATABASE), "SELECT count(*) FROM t") == 1000
    assert pid_of_server() != before


def test_a_stale_pid_file_with_a_reused_pid_does_not_fool(url: str, home: Path) -> None:
    kill(pid_of_server())
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        for file in (home / "postgres/data/postmaster.pid", home / "postgres/socket/.s.PGSQL.5432.lock"):
            lines = file.read_text().splitlines()
            file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        assert not server_status(DATABASE).running
        assert not stop_server()
        assert stranger.poll() is None
        assert ask(ensure_server(DATABASE)) == 1
    finally:
        stranger.kill()
        stranger.wait()


def test_a_half_made_cluster_is_made_again(home: Path) -> None:
    base = Cluster.of_user()
    base.make_base()
    (base.base / "data.new").mkdir()
    (base.base / "data.new" / "PG_VERSION").write_text("18")
    assert ask(ensure_server(DATABASE)) == 1


def test_processes_that_start_it_at_once_share_it(home: Path) -> None:
    script = (
        "from yokeflow.config import Database; from yokeflow.store.server import ensure_server\n"
        "print(ensure_server(Database()))"
    )
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: subprocess.check_output([sys.executable, "-c", script]), range(4)))
    assert len(set(runs)) == 1
    assert ask(runs[0].decode().strip()) == 1


def test_a_server_without_its_socket_is_started_again(url: str, home: Path) -> None:
    for file in (home / "postgres" / "socket").iterdir():
        file.unlink()
    assert ask(ensure_server(DATABASE)) == 1


def test_a_server_that_cannot_start_says_why(url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_server()
    with (home / "postgres" / "data" / "postgresql.conf").open("a") as file:
        file.write("shared_buffers = 'nonsense'\n")
    monkeypatch.setattr("yokeflow.store.server._STARTS", 2)
    monkeypatch.setattr("yokeflow.store.server._APPEARS", 0.2)
    with pytest.raises(StoreError, match="nonsense") as caught:
        ensure_server(DATABASE)
    assert "server.log" in caught.value.hint


def test_data_of_an_unknown_version_is_left_alone(url: str, home: Path) -> None:
    stop_server()
    (home / "postgres" / "data" / "PG_VERSION").write_text("11\n")
    with pytest.raises(StoreError, match="PostgreSQL 11") as caught:
        ensure_server(DATABASE)
    assert "yoke db backup" in caught.value.hint


def test_a_home_that_cannot_be_made_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    (home / "file").touch()
    monkeypatch.setenv("YOKE_HOME", str(home / "file" / "inside"))
    with pytest.raises(StoreError, match="cannot make") as caught:
        ensure_server(DATABASE)
    assert "YOKE_HOME" in caught.value.hint


def test_marks_and_settings_of_the_caller_do_not_reach_the_server(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOKE_SESSION", "mark")
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGSSLMODE", "require")
    monkeypatch.setenv("PGHOST", "nowhere.invalid")
    assert ask(ensure_server(DATABASE)) == 1
    environment = psutil.Process(pid_of_server()).environ()
    assert not [name for name in environment if name.startswith("YOKE_")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server belongs to somebody else")
def test_root_copies_programs_that_its_helper_cannot_reach(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cluster_module._others_reach

    def reach(path: Path) -> bool:
        return "site-packages" not in str(path) and real(path)

    monkeypatch.setattr(cluster_module, "_others_reach", reach)
    assert ask(ensure_server(DATABASE)) == 1
    assert psutil.Process(pid_of_server()).exe().startswith(str(home))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server belongs to somebody else")
def test_root_keeps_closed_folders_closed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = home / "closed"
    closed.mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("YOKE_HOME", str(closed))
    assert Cluster.of_user().base.is_relative_to("/var/lib/yokeflow")
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_a_configured_server_is_used_and_the_environment_wins(
    database_url: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Database(url="postgres://nobody@127.0.0.1:9/none")
    monkeypatch.setenv("YOKE_DATABASE_URL", database_url.replace("postgresql+asyncpg", "postgres"))
    assert ensure_server(other) == database_url
    status = server_status(other)
    assert (status.kind, status.running, status.pid) == ("url", True, None)
    assert not home.exists()


def test_a_server_that_is_not_there_is_reported_without_its_password() -> None:
    database = Database(url="postgresql://me:hunter2@127.0.0.1:9/none")
    with pytest.raises(StoreError, match=r"cannot connect to postgresql://me:.*@127.0.0.1:9/none") as caught:
        ensure_server(database)
    status = server_status(database)
    assert not status.running
    assert "hunter2" not in f"{caught.value} {status}"


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_server_that_does_not_answer_is_given_up_in_time(silent_port: int) -> None:
    database = Database(url=f"postgresql://127.0.0.1:{silent_port}/none?sslmode=disable", connect_timeout=0.2)
    with pytest.raises(StoreError, match="no answer in time"):
        ensure_server(database)


def test_an_old_server_is_refused() -> None:
    check_version(14)
    with pytest.raises(StoreError, match="PostgreSQL 13"):
        check_version(13)


@pytest.mark.parametrize("address", ["mysql://u@h/d", "localhost:5432", "postgresql://u:hun/ter2@h:1/d"])
def test_an_address_that_makes_no_sense_is_refused(address: str) -> None:
    with pytest.raises(StoreError) as caught:
        ensure_server(Database(url=address))
    assert "ter2" not in str(caught.value)


def test_looking_for_the_server_does_not_import_sqlalchemy() -> None:
    script = "import sys, yokeflow.store.server; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_threads_may_ensure_the_server_at_once(home: Path) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(ensure_server(DATABASE))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert len(set(found)) == 1
