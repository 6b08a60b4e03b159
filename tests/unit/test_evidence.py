"""What checks prove: reuse, retries, flaky commands, and one execution for everybody who needs it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from yokeflow.config import Checks, Config
from yokeflow.engine.recorder import Recorder
from yokeflow.engine.sessions.checks import Checker, Subject, Verdict
from yokeflow.store.evidence import Known
from yokeflow.store.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

    from yokeflow.events import Event

TREE = "7" * 40


class Lab:
    """A checker with folders to check, and what it recorded."""

    def __init__(self, folder: Path, retries: int = 0, known: Any = None) -> None:
        self.folder = folder
        self.events: list[Event] = []
        recorder = Recorder("run", Journal(folder / "journal.jsonl"), [self.events.append])
        self.checker = Checker(Config(checks=Checks(retries=retries)), recorder, known)
        self.restored = 0

    def key(self, command: str, stage: str = "landing") -> tuple[str, str, str, str]:
        return (stage, TREE, command, self.checker.fingerprint)

    async def run(self, *commands: str, epic: str = "e", **more: Any) -> Verdict:
        async def restore() -> None:
            self.restored += 1

        subject = Subject(more.pop("stage", "landing"), epic)
        return await self.checker.run(
            commands, TREE, self.folder, self.folder / f"logs-{epic}", subject, "mark", restore, **more
        )

    def told(self, *names: str) -> list[tuple[Any, ...]]:
        checks = [event.data for event in self.events if event.type == "check.finished"]
        return [tuple(data[name] for name in names) for data in checks]

    @property
    def warnings(self) -> list[str]:
        return [event.data["reason"] for event in self.events if event.type == "warning.raised"]

    def times(self) -> int:
        """How often a command that leaves a mark ran."""
        return len((self.folder / "ran").read_text().split())


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


#: Fails at its first run.
SHAKY = "echo x >> ran; test $(wc -l < ran) -gt 1"


async def test_what_passed_is_reused_and_names_what_proved_it(lab: Lab) -> None:
    command = "echo x >> ran"
    assert (await lab.run(command)).passed
    assert (await lab.run(command, epic="other")).passed
    assert lab.times() == 1
    first = next(event for event in lab.events if event.type == "check.finished")
    assert lab.told("reused", "source", "tries") == [(False, "", 1), (True, first.id, 0)]


async def test_evidence_of_a_lane_is_none_for_a_landing(lab: Lab) -> None:
    await lab.run("echo x >> ran", stage="task")
    await lab.run("echo x >> ran", stage="landing")
    assert lab.times() == 2


async def test_without_retries_a_red_check_is_red(lab: Lab) -> None:
    verdict = await lab.run(SHAKY)
    assert (verdict.passed, verdict.reason) == (False, f"check `{SHAKY}` failed (exit code 1)")
    assert (lab.told("passed", "flaky", "tries"), lab.warnings) == ([(False, False, 1)], [])


async def test_a_check_that_passes_when_tried_again_is_flaky_and_proves_nothing(tmp_path: Path) -> None:
    lab = Lab(tmp_path, retries=2)
    verdict = await lab.run(SHAKY, "echo y >> ran")
    assert verdict.passed
    assert [proof.outcome for proof in verdict.proofs] == ["flaky", "passed"]
    assert lab.told("passed", "flaky", "tries") == [(True, True, 2), (True, False, 1)]
    # Before the second try and before the second command.
    assert lab.restored == 2
    assert lab.warnings == [f"check `{SHAKY}` is flaky: it failed and passed on the same tree {TREE[:12]}"]
    (log,) = {log for log, flaky in lab.told("log", "flaky") if flaky}
    assert log.endswith("check-1.log")
    before = lab.times()
    assert (await lab.run(SHAKY)).passed
    assert lab.times() == before + 1


async def test_every_try_red_is_red(tmp_path: Path) -> None:
    lab = Lab(tmp_path, retries=2)
    verdict = await lab.run("echo x >> ran; echo no; false")
    assert (verdict.passed, verdict.output.strip(), lab.times()) == (False, "no", 3)
    assert lab.told("passed", "flaky", "tries") == [(False, False, 3)]


@pytest.mark.parametrize("killed", ["kill -9 $$", "sh -c 'kill -9 $$'; exit $?", "kill $$; sleep 60"])
async def test_a_check_that_something_killed_is_run_once_more(lab: Lab, killed: str) -> None:
    """As the machine does when memory runs out: that is no verdict about the tree."""
    verdict = await lab.run(f"{SHAKY} || {{ {killed}; }}")
    assert (verdict.passed, [proof.outcome for proof in verdict.proofs]) == (True, ["passed"])
    assert (lab.told("passed", "flaky", "tries", "exit_code"), lab.warnings) == ([(True, False, 2, 0)], [])
    assert lab.told("log")[0][0].endswith("check-1.2.log")
    assert lab.restored == 1


async def test_what_is_always_killed_is_red(lab: Lab) -> None:
    verdict = await lab.run("echo x >> ran; kill -9 $$")
    assert (verdict.passed, lab.times()) == (False, 2)
    assert "was killed by SIGKILL, also when run once more" in verdict.reason
    assert "lower parallel.max_concurrency" in verdict.reason
    assert lab.told("passed", "flaky", "tries") == [(False, False, 2)]


async def test_red_where_it_passed_before_is_flaky_and_withdraws_what_it_proved(tmp_path: Path) -> None:
    """It runs again only because it was flaky before; now nothing helps."""
    lab = Lab(tmp_path)
    lab.checker._known[lab.key("false")] = Known("", passed=True)
    verdict = await lab.run("false")
    assert not verdict.passed
    assert "exit code 1; it passed before on the same tree" in verdict.reason
    assert lab.told("passed", "flaky") == [(False, True)]
    assert len(lab.warnings) == 1


async def test_a_flaky_command_is_told_once(tmp_path: Path) -> None:
    lab = Lab(tmp_path, retries=1)
    await lab.run(SHAKY)
    (tmp_path / "ran").unlink()
    await lab.run(SHAKY)
    assert len(lab.warnings) == 1
    assert lab.told("flaky") == [(True,), (True,)]


@pytest.mark.parametrize("end", ["true", "false"])
async def test_two_that_need_the_same_share_one_execution(lab: Lab, end: str) -> None:
    command = f"echo x >> ran; test -e go || sleep 0.2; {end}"
    one, two = await asyncio.gather(lab.run(command), lab.run(command, epic="other"))
    assert one.passed is two.passed is (end == "true")
    assert lab.times() == 1
    assert sorted(lab.told("reused", "tries")) == [(False, 1), (True, 0)]
    if end == "false":
        assert one.reason == two.reason


async def test_who_shares_with_one_that_is_stopped_finds_out_itself(lab: Lab) -> None:
    stop, command = asyncio.Event(), "echo x >> ran; test -e go || sleep 30"
    first = asyncio.create_task(lab.run(command, stop=stop))
    while not (lab.folder / "ran").exists():
        await asyncio.sleep(0.01)
    second = asyncio.create_task(lab.run(command, epic="other"))
    await asyncio.sleep(0)
    (lab.folder / "go").touch()
    stop.set()
    assert not (await first).passed
    assert (await second).passed
    # A check that was stopped found out nothing.
    assert lab.told("passed", "reused") == [(True, False)]


async def test_who_waits_for_another_can_be_stopped(lab: Lab) -> None:
    stops = [asyncio.Event(), asyncio.Event()]
    command = "echo x >> ran; sleep 30"
    first = asyncio.create_task(lab.run(command, stop=stops[0]))
    while not (lab.folder / "ran").exists():
        await asyncio.sleep(0.01)
    second = asyncio.create_task(lab.run(command, epic="other", stop=stops[1]))
    await asyncio.sleep(0)
    stops[1].set()
    assert not (await second).passed
    stops[0].set()
    assert not (await first).passed
    assert lab.told("passed") == []


async def test_a_proof_is_one_line_without_secrets(lab: Lab) -> None:
    token = "ghp_" + "a" * 36
    verdict = await lab.run(f"true {token}\ntrue", f"true {'x' * 500}")
    first, second = verdict.proofs
    assert first.command == "true [redacted] true"
    assert len(second.command) == 200
