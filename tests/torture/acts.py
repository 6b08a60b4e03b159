"""What a person asks of `yoke` beside runs: hooks, undoing, and answers to what waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.torture.look import tip
from tests.torture.running import run, told

if TYPE_CHECKING:
    from tests.torture.extras import Undo
    from tests.torture.world import World

#: Times that an interrupted command is tried again.
_TRIES = 5


class Acts:
    """Does what a scenario says, and notes for the checker what the person did."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._extras = world.scenario.extras
        self._undos = list(self._extras.undos)
        self._rejected: set[str] = set()

    # Hooks

    def begin(self) -> None:
        """Install hooks, if the seed says so; after a crash once more."""
        if self._extras.hooks and run(self._world, "hooks", "install", kill=self._extras.hooks_kill):
            self._insist("hooks", "install")

    def end(self) -> None:
        """Take hooks away again, when everything was read that they noted."""
        if not self._extras.hooks:
            return
        world = self._world
        run(world, "status")
        notes = world.journal.with_name("spool")
        world.note("spool.log", notes.read_text() if notes.exists() else "")
        self._insist("hooks", "uninstall")

    def _insist(self, *args: str) -> None:
        for _ in range(_TRIES):
            if not run(self._world, *args):
                return
        self._world.note("excused.log", f"`yoke {' '.join(args)}` never worked")

    # Undo

    def undo(self, runs: int = 0) -> bool:
        """Undo what is to be undone by now, all that is left if no number of runs is given."""
        due = [undo for undo in self._undos if not runs or undo.after <= runs]
        for each in due:
            self._undos.remove(each)
            self._undo(each)
        return bool(due)

    def _undo(self, undo: Undo) -> None:
        before = tip(self._world.shop)
        flags = ("--yes", "--json", *(("--with-dependents",) if undo.what != "last" else ()))
        code = run(self._world, "undo", *((undo.what,) if undo.what else ()), *flags, kill=undo.kill)
        self._note(before, code)
        if undo.again:
            before = tip(self._world.shop)
            self._note(before, run(self._world, "undo", self._last_undo(), "--yes"))

    def _note(self, before: str, code: int) -> None:
        self._world.note("undo.log", before, tip(self._world.shop), code)

    def _last_undo(self) -> str:
        """What the target itself says of the last undo; something that nobody knows if there was none."""
        found = self._world.git("log", "-1", "--grep=^Yoke-Undoes: ", "--format=%H", "refs/heads/main")
        return found or "0000000"

    # Answers

    def answer(self, *, beside: bool = False) -> bool | None:
        """Answer what waits, as the person of this round does; whether there was something to say.

        None where there is no answer: what waits is right to wait.
        """
        found: list[dict[str, Any]] = told(self._world, "attention", beside=beside) or []
        answers = [answer for each in found if (answer := self._answer(each))]
        for answer in answers:
            run(self._world, *answer, beside=beside)
        return bool(answers) if answers or not found else None

    def _answer(self, asked: dict[str, Any]) -> tuple[str, ...] | None:
        item, kind, name = asked["item"] or "", asked["kind"], asked["id"]
        clash = self._world.scenario.work.clash
        if kind == "approval":
            if item in self._extras.rejected - self._rejected and "reject" in asked["choices"]:
                self._rejected.add(item)
                return ("attention", "answer", name, "reject", "--text", "Do it once more.")
            return ("attention", "answer", name, "approve")
        if kind == "question":
            return ("attention", "answer", name, "--text", f"Blue for {item}.")
        if kind == "conflict" and clash == "conflict":
            side = (f"--{self._extras.side}",) if self._extras.side else ()
            return ("land", item, *side) if self._extras.solved else None
        if kind == "clash":
            return ("attention", "answer", name, "dismiss")
        return None if kind == "red_check" and clash == "red" else ("retry", item)
