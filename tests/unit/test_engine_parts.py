"""The small parts of the engine by themselves."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from yokeflow.engine.landing.order import landing_order
from yokeflow.engine.lock import hold_project, holder
from yokeflow.engine.sessions.prompt import build_prompt
from yokeflow.errors import (
    DocumentError,
    ExitCode,
    PluginError,
    Problem,
    ProjectBusyError,
    disk_full,
)
from yokeflow.events import Event
from yokeflow.model import Attempt, Dependency, Epic, Failure, Plan, Task
from yokeflow.plugin_manager import BUILT_IN, load_plugins


def plan_of(*edges: tuple[str, str], epics: str = "abc") -> Plan:
    """Epics with one task each; an edge (x, y) says that y's task waits for x."""
    return Plan(
        epics=tuple(
            Epic(
                name,
                name.upper(),
                tasks=(
                    Task(
                        f"{name}.1", name, "T", depends_on=tuple(Dependency(x) for x, y in edges if y == name)
                    ),
                ),
            )
            for name in epics
        ),
        path=Path("plan.yaml"),
    )


class TestLandingOrder:
    def test_an_epic_lands_after_those_it_builds_on(self) -> None:
        order = landing_order(plan_of(("a", "b"), ("b.1", "c")))
        assert order.landable({"b", "c"}, set()) == []
        assert order.landable({"a", "b", "c"}, set()) == ["a"]
        assert order.landable({"a", "b", "c"}, {"a"}) == ["b"]
        assert order.waits_for("c", {"c"}, {"a"}) == ["b"]

    def test_epics_that_need_each_other_land_when_both_are_finished(self) -> None:
        order = landing_order(plan_of(("a.1", "b"), ("b.1", "a")))
        assert order.landable({"a"}, set()) == []
        assert order.landable({"a", "b"}, set()) == ["a", "b"]

    def test_a_circle_waits_for_those_outside_of_it(self) -> None:
        order = landing_order(plan_of(("a.1", "b"), ("b.1", "a"), ("c", "a")))
        assert order.landable({"a", "b"}, set()) == ["b"]
        assert order.landable({"a", "b", "c"}, set()) == ["b", "c"]


class TestLock:
    def test_holder_is_known_while_it_holds(self, tmp_path: Path) -> None:
        path = tmp_path / "yoke" / "run.lock"
        assert holder(path) is None
        with hold_project(path, "a-run"):
            found = holder(path)
            assert found is not None
            assert found.run == "a-run"
            with (
                pytest.raises(ProjectBusyError, match="already going on") as caught,
                hold_project(path, "other"),
            ):
                pass
            assert "yoke cancel" in caught.value.hint
        assert holder(path) is None

    def test_a_killed_holder_holds_nothing(self, tmp_path: Path) -> None:
        script = (
            "import sys, os, signal; from pathlib import Path\n"
            "from yokeflow.engine.lock import hold_project\n"
            "with hold_project(Path(sys.argv[1]), 'r'): os.kill(os.getpid(), signal.SIGKILL)"
        )
        path = tmp_path / "run.lock"
        subprocess.run([sys.executable, "-c", script, str(path)], check=False)
        assert path.exists()
        assert holder(path) is None

    def test_who_only_looks_keeps_nobody_from_starting(self, tmp_path: Path) -> None:
        path = tmp_path / "run.lock"
        # What a killed run leaves: its name without its lock.
        left = json.dumps({"pid": 1, "host": "here", "run": "r", "since": "now"})
        over = threading.Event()
        looks = 0

        def look() -> None:
            nonlocal looks
            while not over.is_set():
                holder(path)
                looks += 1

        reader = threading.Thread(target=look)
        path.write_text(left)
        reader.start()
        try:
            for _ in range(200):
                with hold_project(path, "a-run"):
                    pass
                path.write_text(left)
        finally:
            over.set()
            reader.join()
        assert looks > 200


class TestPrompt:
    def test_says_everything_an_agent_must_know(self) -> None:
        task = Task("a.1", "a", "Title", prompt="Do it.", files=("src/*.py",))
        attempt = Attempt(task, 2, "s", "r", (Failure("check `x` failed", "boom"),))
        text = build_prompt(attempt, Epic("a", "Epic A"), "epic/a", ["pytest -q"], ["Use the cache."])
        for part in (
            "Do it.",
            "`src/*.py`",
            "`pytest -q`",
            "`epic/a`",
            "Use the cache.",
            "check `x` failed",
            "boom",
        ):
            assert part in text

    def test_leaves_out_what_has_nothing_to_say(self) -> None:
        text = build_prompt(Attempt(Task("a.1", "a", "Title"), 1, "s", "r"), Epic("a", "A"), "epic/a", [], [])
        assert "Checks that must pass" not in text
        assert "did not count" not in text


class TestPlugins:
    def test_built_ins_come_through_the_same_door(self) -> None:
        assert {name for name, _ in load_plugins().list_name_plugin()} == set(BUILT_IN)

    def test_disabled_ones_are_left_out(self) -> None:
        assert "yoke_models" not in dict(load_plugins(["yoke_models"]).list_name_plugin())

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            (
                "from yokeflow.hookspecs import hookimpl\n@hookimpl\ndef resolv_dependencies(): ...",
                "resolv_dependencies",
            ),
            ("from yokeflow.hookspecs import hookimpl\n@hookimpl\ndef recall(atempt): ...", "atempt"),
            ("1 / 0", "cannot be loaded"),
        ],
        ids=["misspelt-hook", "misspelt-argument", "broken-import"],
    )
    def test_a_bad_plugin_is_named_at_start(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
    ) -> None:
        (tmp_path / "strange_plugin.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("YOKE_PLUGINS", "strange_plugin")
        monkeypatch.delitem(sys.modules, "strange_plugin", raising=False)
        with pytest.raises(PluginError, match=message) as caught:
            load_plugins()
        assert caught.value.plugin == "strange_plugin"

    def test_installed_plugins_are_found_by_entry_point(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "found_one.py").write_text(
            "from yokeflow.hookspecs import hookimpl\n@hookimpl\ndef on_event(): ..."
        )
        info = tmp_path / "found_one-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Name: found-one\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text("[yokeflow]\nstranger = found_one\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delenv("YOKE_PLUGINS")
        assert load_plugins().sources["stranger"] == "found-one 1.2"
        assert "stranger" not in dict(load_plugins(["stranger"]).list_name_plugin())


class TestErrors:
    def test_a_document_error_tells_every_problem(self) -> None:
        problems = [Problem(Path("plan.yaml"), n, f"k{n}", "is wrong", "mend it") for n in (1, 2)]
        error = DocumentError(problems)
        assert error.exit_code is ExitCode.USAGE
        assert "2 problems in plan.yaml" in error.message
        assert "plan.yaml:2: k2: is wrong (mend it)" in error.message

    def test_only_a_full_disk_is_called_one(self) -> None:
        assert "no space is left" in str(disk_full(OSError(28, "No space", "file")))
        other = OSError(13, "Permission denied")
        assert disk_full(other) is other

    def test_events_survive_the_journal(self) -> None:
        event = Event("task.completed", run="r", task="a.1", data={"commit": "c", "ünïcode": [1, None]})
        assert Event.from_json(event.to_json()) == event
