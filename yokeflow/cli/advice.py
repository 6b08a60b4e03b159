"""What a person can type to answer what waits for them."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from yokeflow.cli.output import style, width
from yokeflow.cli.words import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from yokeflow.engine.people.consequence import Held
    from yokeflow.engine.project import Project


class Answer(NamedTuple):
    """One way to answer an intervention."""

    command: str
    #: What happens then.
    effect: str


class Place(NamedTuple):
    """Where a person can work on the branch of an epic."""

    #: Folder of the worktrees.
    worktrees: Path
    #: What goes before an epic's id to name its branch.
    prefix: str
    target: str

    def merge(self, epic: str) -> Answer:
        """How to resolve a conflict of an epic with the target, before it is landed again."""
        worktree = self.worktrees / epic
        merge = f"merge {quote(self.target)}"
        if worktree.is_dir():
            # It may be typed in any folder.
            command = f"git -C {quote(str(worktree.absolute()))} {merge}"
        else:
            command = f"git switch {quote(self.prefix + epic)} && git {merge}"
        return Answer(command, "merge by hand: resolve the conflict there and commit")


async def place_of(project: Project) -> Place:
    """Where people find the branches of a project's epics."""
    config = project.config
    target = await project.repo.target_branch(config.project.target)
    worktrees = project.repo.worktree_folder(config.parallel.worktree_dir)
    return Place(worktrees, config.project.branch_prefix, target)


#: Choices with commands of their own, by what they are about.
_OF_TASK = {
    "retry": "try it again, with a fresh count of attempts",
    "skip": "leave it out; what depends on it goes on without it",
}
_OF_EPIC = {"land": "try to land it again, after you corrected its branch or the target"}
#: Choices that `yoke attention answer` takes, with what comes behind the item.
_WORDS = {
    "answer": (" --text '…'", "answer its question; it goes on with what you say"),
    "approve": (" approve", "let it go on"),
    "dismiss": (" dismiss", "leave everything as it is now"),
    "reject": (" reject --text '…'", "do not let it go on as it is, and say why"),
}


def answers(item: str, choices: Iterable[str], *, of_epic: bool) -> list[Answer]:
    """The commands for an intervention, the likeliest first; never empty.

    An epic is landed, a task is tried again or skipped: choices that do not fit the item are left out.
    """
    effects = _OF_EPIC if of_epic else _OF_TASK
    known = [choice for choice in choices if choice in effects or choice in _WORDS] or list(effects)
    return [_answer(item, choice, effects) for choice in known]


def _answer(item: str, choice: str, effects: Mapping[str, str]) -> Answer:
    if choice in _WORDS:
        more, effect = _WORDS[choice]
        return Answer(f"yoke attention answer {quote(item)}{more}", effect)
    return Answer(f"yoke {choice} {quote(item)}", effects[choice])


def answer_lines(rows: Sequence[tuple[str, str]], indent: str, columns: int) -> Iterator[str]:
    """Commands, each with its effect beside it; or below it, where a line would be too long for that."""
    size = max(width(command) for command, _ in rows)
    beside = len(indent) + size + 2 + max(width(effect) for _, effect in rows) <= columns
    for command, effect in rows:
        typed, told = style(command, fg="cyan"), style(effect, dim=True)
        if beside:
            yield f"{indent}{typed}{' ' * (size - width(command))}  {told}"
        else:
            yield f"{indent}{typed}"
            yield f"{indent}  {told}"


def consequence(held: Held) -> str:
    """What waits as long as nobody answers."""
    parts = [
        count(len(names), noun) for names, noun in ((held.tasks, "task"), (held.landings, "landing")) if names
    ]
    if not parts:
        return "nothing waits for it"
    alone = len(held.tasks) + len(held.landings) == 1
    return f"{' and '.join(parts)} {'waits' if alone else 'wait'}"
