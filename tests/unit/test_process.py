"""Real processes under the real supervisor."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from yokeflow.engine.processes import supervised
from yokeflow.engine.processes.nursery import NURSERY
from yokeflow.engine.processes.process import Exit, run_process, scrubbed_environment, sweep
from yokeflow.engine.processes.transcript import LONGEST_LINE, TAIL
from yokeflow.errors import DiskFullError
from yokeflow.model import Launch
from yokeflow.testing import Script

#: The program's parent is its supervisor, whose parent is the nursery.
NAME_THE_NURSERY = ("sh", "-c", "cut -d ' ' -f 4 /proc/$PPID/stat")


@pytest.fixture
def mark():
    return ("YOKE_SESSION", str(uuid4()))


@pytest.fixture
def run(tmp_path, mark):
    async def run(program, *, stdin=b"", env=None, stop_signal=signal.SIGTERM, **settings) -> Exit:
        argv = ("sh", "-c", program.text) if isinstance(program, Script) else tuple(program)
        launch = Launch(argv, stdin=stdin, env=env or {}, stop_signal=stop_signal)
        settings = {
            "cwd": tmp_path,
            "transcript": tmp_path / "output.log",
            "grace": 5,
            "timeout": 60,
            **settings,
        }
        return await run_process(launch, env=scrubbed_environment(), mark=mark, **settings)

    return run


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def started(*argv, env=None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(argv, env=env)


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def appears(path: Path) -> int:
    """The process id in a file that some process writes."""
    await until(lambda: path.exists() and path.read_text().strip())
    return int(await asyncio.to_thread(path.read_text))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def gone(*pids: int) -> None:
    await until(lambda: not any(alive(pid) for pid in pids))


class TestEnds:
    async def test_exit_code_output_and_errors(self, run, tmp_path):
        ended = await run(Script().say("out").run("echo err >&2").exit(3))
        assert (ended.code, ended.why, ended.ok) == (3, "exited", False)
        assert sorted(ended.tail.splitlines()) == ["err", "out"]
        assert (tmp_path / "output.log").read_text() == ended.tail
        assert (tmp_path / "output.log").stat().st_mode & 0o777 == 0o600

    async def test_signal(self, run):
        ended = await run(Script().run("kill -SEGV $$"))
        assert (ended.code, ended.why) == (-signal.SIGSEGV, "exited")

    async def test_exit_code_that_looks_like_a_signal(self, run):
        assert (await run(Script().exit(143))).code == 143

    async def test_timeout(self, run):
        ended = await run(Script().hang(), timeout=0.1)
        assert (ended.code, ended.why) == (-signal.SIGTERM, "timeout")

    async def test_one_that_ignores_signals_is_killed(self, run):
        stop = asyncio.Event()
        script = Script().run("trap '' TERM; echo ready").hang()
        ended = await run(script, stop=stop, on_line=lambda _line: stop.set(), grace=0.1)
        assert (ended.code, ended.why) == (-signal.SIGKILL, "stopped")

    async def test_silence(self, run):
        ended = await run(Script().say("one").hang(), silence=1.0)
        assert (ended.why, ended.tail) == ("silence", "one\n")

    async def test_output_breaks_the_silence(self, run):
        script = Script().run("for i in 1 2 3 4 5 6; do echo $i; sleep 0.2; done")
        assert (await run(script, silence=0.9)).ok

    async def test_stop_sends_the_stop_signal(self, run):
        stop = asyncio.Event()
        script = Script().run("trap 'echo bye; exit 7' INT; echo ready; while :; do sleep 0.02; done")
        ended = await run(script, stop=stop, on_line=lambda _line: stop.set(), stop_signal=signal.SIGINT)
        assert (ended.code, ended.why, ended.tail) == (7, "stopped", "ready\nbye\n")

    async def test_stop_before_it_began(self, run):
        stop = asyncio.Event()
        stop.set()
        ended = await run(Script().hang(), stop=stop)
        assert (ended.code, ended.why) == (-signal.SIGTERM, "stopped")

    async def test_cancelling_kills_at_once(self, run, tmp_path):
        script = Script().daemon(tmp_path / "daemon").run(f"echo $$ > {tmp_path}/agent").hang(stubborn=True)
        task = asyncio.create_task(run(script, grace=600))
        agent = await appears(tmp_path / "agent")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not alive(agent)
        assert not alive(await appears(tmp_path / "daemon"))

    async def test_stopped_process_can_be_stopped(self, run, tmp_path):
        ended = await run(Script().run("kill -STOP $$"), timeout=0.3)
        assert (ended.code, ended.why) == (-signal.SIGTERM, "timeout")


class TestUnstartable:
    async def test_missing_program(self, run, tmp_path):
        ended = await run(["no-such-program"])
        assert (ended.code, ended.why) == (127, "unstartable")
        assert ended.tail == "cannot be started: No such file or directory: no-such-program"
        assert ended.tail in (tmp_path / "output.log").read_text()

    async def test_not_executable(self, run, tmp_path):
        (tmp_path / "program").write_text("#!/bin/sh\n")
        ended = await run(["./program"])
        assert ended.tail == "cannot be started: Permission denied: ./program"

    async def test_folder_that_is_gone(self, run, tmp_path):
        ended = await run(["true"], cwd=tmp_path / "gone")
        assert ended.why == "unstartable"
        assert str(tmp_path / "gone") in ended.tail

    @pytest.mark.parametrize("argv", [(), ("a\0b",), ("echo", "x" * 200_000)])
    async def test_impossible_command_lines(self, run, argv):
        assert (await run(argv)).why == "unstartable"


class TestOutput:
    async def test_stdin_reaches_the_program_whole(self, run, tmp_path):
        data = os.urandom(1_000_000)
        await run(["sh", "-c", f"cat > {tmp_path}/copy"], stdin=data)
        assert (tmp_path / "copy").read_bytes() == data

    async def test_program_that_does_not_read_its_stdin(self, run):
        assert (await run(["true"], stdin=b"x" * 1_000_000)).ok

    async def test_without_stdin_it_reads_the_end(self, run):
        assert (await run(["cat"])).ok

    async def test_lines_are_those_of_stdout(self, run):
        lines: list[bytes] = []
        await run(
            Script().say("one").run("echo err >&2").run("printf 'two\\n\\nthree'"), on_line=lines.append
        )
        assert lines == [b"one", b"two", b"three"]

    async def test_binary(self, run, tmp_path):
        lines: list[bytes] = []
        ended = await run(Script().binary(), on_line=lines.append)
        assert lines == [b"\xff\xfe\x00\x01", b"\x80binary\x1b[31m"]
        assert (tmp_path / "output.log").read_bytes() == b"\xff\xfe\x00\x01\n\x80binary\x1b[31m\n"
        assert "binary" in ended.tail

    async def test_flood_passes_at_constant_memory(self, run, tmp_path):
        lines: list[bytes] = []
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        script = Script().flood(200_000_000).say("the end")
        ended = await run(
            script, limit=1_000_000, on_line=lambda line: lines.__setitem__(slice(None), [line])
        )
        assert ended.ok
        assert lines == [b"the end"]
        assert ended.tail.endswith("the end\n")
        written = (tmp_path / "output.log").read_bytes()
        assert len(written) < 1_000_000 + TAIL + 200
        assert b"bytes left out; the end follows]" in written
        assert written.endswith(b"the end\n")
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000

    async def test_output_just_over_the_limit_is_kept_whole(self, run, tmp_path):
        await run(Script().say("a" * 50).say("b" * 50), limit=60)
        written = (tmp_path / "output.log").read_text()
        assert written.count("a" * 50) == 1
        assert written.endswith("b" * 50 + "\n")

    async def test_very_long_line_is_cut(self, run, tmp_path):
        lines: list[bytes] = []
        script = Script().run("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo next")
        await run(script, on_line=lines.append)
        assert [len(line) for line in lines[:-1]] == [LONGEST_LINE]
        assert lines[-1] == b"next"
        assert (tmp_path / "output.log").stat().st_size == 3_000_006

    async def test_secrets_are_not_written(self, run, tmp_path):
        script = Script().run('echo "is $MY_TOKEN" and sk-ant-0123456789abcdef0123456789').say("plain")
        ended = await run(script, env={"MY_TOKEN": "open sesame"})
        assert ended.tail == "is [redacted] and [redacted]\nplain\n"
        assert (tmp_path / "output.log").read_text() == ended.tail

    async def test_full_disk_ends_the_program(self, run, tmp_path):
        script = Script().run(f"echo $$ > {tmp_path}/agent").say("x").hang()
        with pytest.raises(DiskFullError):
            await run(script, transcript=Path("/dev/full"))
        assert not alive(await appears(tmp_path / "agent"))

    async def test_transcript_that_cannot_be_opened(self, run, tmp_path):
        with pytest.raises(NotADirectoryError):
            await run(["true"], transcript=Path("/dev/null/folder/output.log"))

    async def test_error_of_a_reader_ends_the_program_and_is_raised(self, run, tmp_path):
        def broken(_line: bytes) -> None:
            raise KeyError("reader")

        script = Script().run(f"echo $$ > {tmp_path}/agent").say("x").hang(stubborn=True)
        with pytest.raises(KeyError, match="reader"):
            await run(script, on_line=broken)
        assert not alive(await appears(tmp_path / "agent"))


class TestNothingIsLeft:
    async def test_daemon_ends_with_the_agent(self, run, tmp_path):
        ended = await run(Script().daemon(tmp_path / "daemon").exit(4))
        assert ended.code == 4
        assert not alive(await appears(tmp_path / "daemon"))

    async def test_background_process_that_holds_the_output(self, run):
        ended = await run(Script().run("sleep 600 &").say("done"))
        assert (ended.code, ended.tail) == (0, "done\n")
        assert ended.seconds < 60

    async def test_many_descendants(self, run, tmp_path):
        script = Script().run(
            f"for i in 1 2 3 4 5; do (setsid sh -c 'echo $$ >> {tmp_path}/pids; sleep 600' &); done"
        )
        script = script.run(f"until [ $(wc -l < {tmp_path}/pids) = 5 ]; do sleep 0.01; done")
        await run(script)
        assert not any(alive(int(pid)) for pid in (tmp_path / "pids").read_text().split())

    async def test_agent_that_kills_its_supervisor(self, run, tmp_path):
        script = Script().run(f"setsid sh -c 'echo $$ > {tmp_path}/child; exec sleep 600' &")
        script = script.run(f"until [ -s {tmp_path}/child ]; do sleep 0.01; done; echo $$ > {tmp_path}/agent")
        ended = await run(script.run("kill -9 $PPID").hang())
        assert ended.code == -signal.SIGKILL
        await gone(await appears(tmp_path / "agent"), await appears(tmp_path / "child"))

    async def test_supervisor_that_does_not_answer(self, run, tmp_path, monkeypatch):
        monkeypatch.setattr(supervised, "_PATIENCE", 0.1)
        script = Script().run(f"setsid sh -c 'echo $$ > {tmp_path}/child; exec sleep 600' &")
        script = script.run(
            f"until [ -s {tmp_path}/child ]; do sleep 0.01; done; kill -STOP $PPID; echo done"
        )
        stop = asyncio.Event()
        ended = await run(script.hang(), stop=stop, on_line=lambda _line: stop.set(), grace=0.1)
        assert (ended.code, ended.why, ended.tail) == (-signal.SIGKILL, "stopped", "done\n")
        await gone(await appears(tmp_path / "child"))

    async def test_nursery_that_is_killed(self, run, tmp_path):
        script = Script().daemon(tmp_path / "daemon").run(f"echo $$ > {tmp_path}/agent").hang(stubborn=True)
        task = asyncio.create_task(run(script, grace=600))
        agent, daemon = await appears(tmp_path / "agent"), await appears(tmp_path / "daemon")
        supervisor = psutil.Process(agent).ppid()
        nursery = psutil.Process(supervisor).ppid()
        os.kill(nursery, signal.SIGKILL)
        ended = await task
        assert (ended.code, ended.why) == (-signal.SIGKILL, "exited")
        await gone(agent, daemon, supervisor, nursery)
        again = await run(NAME_THE_NURSERY)
        assert again.ok
        assert int(again.tail) != nursery

    async def test_cancelling_twice(self, run, tmp_path):
        script = Script().run(f"echo $$ > {tmp_path}/agent; kill -STOP $PPID").hang(stubborn=True)
        task = asyncio.create_task(run(script))
        agent = await appears(tmp_path / "agent")
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0.05)
        with pytest.raises(asyncio.CancelledError):
            await task
        await gone(agent)

    async def test_everything_ends_when_we_are_killed(self, tmp_path):
        script = Script().daemon(tmp_path / "daemon").run(f"echo $$ > {tmp_path}/agent").hang(stubborn=True)
        program = textwrap.dedent("""
            import asyncio, sys
            from pathlib import Path
            from yokeflow.engine.processes.process import run_process, scrubbed_environment
            from yokeflow.model import Launch
            script, folder = sys.argv[1], Path(sys.argv[2])
            asyncio.run(run_process(Launch(("sh", "-c", script)), cwd=folder, transcript=folder / "log",
                env=scrubbed_environment(), grace=600, mark=("YOKE_SESSION", "x")))
        """)
        with started(sys.executable, "-c", program, script.text, str(tmp_path)) as parent:
            agent, daemon = await appears(tmp_path / "agent"), await appears(tmp_path / "daemon")
            supervisor = psutil.Process(agent).ppid()
            nursery = psutil.Process(supervisor).ppid()
            assert alive(agent)
            assert alive(daemon)
            parent.kill()
        await gone(agent, daemon, supervisor, nursery)


class TestNursery:
    async def test_one_out_of_reach_of_the_terminal_serves_all(self, run):
        first, second = await asyncio.gather(run(NAME_THE_NURSERY), run(NAME_THE_NURSERY))
        assert first.ok
        assert first.tail == second.tail
        nursery = int(first.tail)
        assert os.getsid(nursery) == nursery != os.getsid(0)

    def test_outlives_the_event_loop_and_thread_that_started_it(self, run):
        NURSERY.close()
        ended: list[Exit] = []
        thread = threading.Thread(target=lambda: ended.append(asyncio.run(run(NAME_THE_NURSERY))))
        thread.start()
        thread.join()
        ended.append(asyncio.run(run(NAME_THE_NURSERY)))
        assert ended[0].tail == ended[1].tail

    async def test_fifty_at_once(self, run, tmp_path):
        programs = (Script().say(str(number)).exit(number) for number in range(50))
        every = await asyncio.gather(
            *(run(program, transcript=tmp_path / str(number)) for number, program in enumerate(programs))
        )
        assert [(ended.code, ended.tail) for ended in every] == [(n, f"{n}\n") for n in range(50)]

    async def test_odd_bytes_arrive(self, run, tmp_path):
        odd = b"\xff\xfe =\n'\"\\$x\xe4"
        folder = tmp_path / os.fsdecode(odd)
        folder.mkdir()
        argv = ("sh", "-c", 'printf "%s|" "$1" "$ODD" "$2"; pwd', "sh", os.fsdecode(odd), "")
        ended = await run(argv, cwd=folder, env={"ODD": os.fsdecode(odd)})
        assert ended.ok
        assert (tmp_path / "output.log").read_bytes() == b"%b|%b||%b\n" % (odd, odd, os.fsencode(folder))

    async def test_large_environment(self, run):
        env = {f"LARGE_{number}": "x" * 50_000 for number in range(20)}
        assert int((await run(["sh", "-c", "env | grep -c ^LARGE_.*xx"], env=env)).tail) == 20

    async def test_environment_that_no_program_can_have(self, run):
        ended = await run(["true"], env={"LARGE": "x" * 200_000})
        assert (ended.why, ended.tail) == ("unstartable", "cannot be started: Argument list too long: true")
        assert (await run(["true"], env={"A=B": "c"})).why == "unstartable"

    async def test_program_sees_no_files_of_others(self, run, tmp_path):
        NURSERY.close()
        with (tmp_path / "ours").open("w") as ours:
            os.set_inheritable(ours.fileno(), True)
            other = asyncio.create_task(
                run(Script().run(f"echo $$ > {tmp_path}/other").hang(), transcript=tmp_path / "log")
            )
            await appears(tmp_path / "other")
            ended = await run(["sh", "-c", "ls /proc/$$/fd; :"])
            other.cancel()
            await asyncio.wait({other})
        assert ended.tail.split() == ["0", "1", "2"]

    async def test_no_files_are_left_open(self, run):
        stop = asyncio.Event()
        stop.set()
        await run(["true"])
        before = open_files()
        await asyncio.gather(
            *(run(["cat"], stdin=b"x" * 500_000) for _ in range(5)),
            *(run(["true"], stdin=b"x" * 500_000) for _ in range(5)),
            *(run(["no-such-program"]) for _ in range(5)),
            *(run(Script().hang(), stop=stop) for _ in range(5)),
        )
        assert open_files() == before

    async def test_too_many_open_files(self, run):
        await run(["true"])
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, limits[1]))
        files: list[int] = []
        try:
            with suppress(OSError):
                while True:
                    files.append(os.open(os.devnull, os.O_RDONLY))
            for _ in range(4):
                os.close(files.pop())
            ended = await run(["true"])
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            for file in files:
                os.close(file)
        assert ended.why == "unstartable"
        assert "Too many open files" in ended.tail
        assert (await run(["true"])).ok


class TestSweep:
    async def test_finds_the_mark_and_descendants(self, tmp_path, mark):
        script = f"env -i sh -c 'echo $$ > {tmp_path}/child; sleep 600; :' & wait"
        with started("sh", "-c", script, env={**os.environ, mark[0]: mark[1]}) as marked:
            child = await appears(tmp_path / "child")
            killed = await asyncio.to_thread(sweep, *mark)
            assert {marked.pid, child} <= set(killed)
            marked.wait()
        await gone(child)
        assert sweep(*mark) == ()

    def test_spares_the_process_that_asks_and_where_it_runs(self, mark):
        program = (
            "from yokeflow.engine.processes.process import sweep; import sys; print(sweep(*sys.argv[1:]))"
        )
        command = f'{sys.executable} -c "{program}" {mark[0]} {mark[1]}; echo survived'
        done = subprocess.run(
            ["sh", "-c", command],
            env={**os.environ, mark[0]: mark[1]},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "()\nsurvived\n"


class TestEnvironment:
    def test_only_what_is_allowed_or_named(self, monkeypatch):
        monkeypatch.setattr(os, "environ", {**os.environ})
        hidden = {
            "GIT_DIR": "g",
            "GIT_INDEX_FILE": "i",
            "YOKE_DATABASE_URL": "d",
            "MY_API_KEY": "k",
            "SSH_AUTH_SOCK": "s",
        }
        os.environ.update(
            hidden | {"LC_ALL": "C", "XDG_CACHE_HOME": "/c", "TEAM_A": "1", "TEAM_B": "2", "HOME": "/h"}
        )
        scrubbed = scrubbed_environment()
        assert not hidden.keys() & scrubbed.keys()
        assert scrubbed["LC_ALL"] == "C"
        assert scrubbed["XDG_CACHE_HOME"] == "/c"
        assert scrubbed["HOME"] == "/h"
        named = scrubbed_environment(("MY_API_KEY", "TEAM_*"))
        assert (named["MY_API_KEY"], named["TEAM_A"], named["TEAM_B"]) == ("k", "1", "2")

    async def test_the_agent_sees_what_was_asked(self, run, tmp_path, mark, monkeypatch):
        monkeypatch.setenv("NOT_FOR_AGENTS", "x")
        launch = Launch(("env",), env={"ADDED": "1"}, pass_env=("NAMED",))
        monkeypatch.setenv("NAMED", "2")
        ended = await run_process(
            launch, cwd=tmp_path, env={"PATH": os.environ["PATH"]}, transcript=tmp_path / "log", mark=mark
        )
        seen = dict(line.split("=", 1) for line in ended.tail.splitlines())
        assert seen.keys() - {"PWD", "OLDPWD", "SHLVL", "_"} == {"PATH", "ADDED", "NAMED", mark[0]}
        assert seen[mark[0]] == mark[1]
