"""A person's answer to an intervention, on its way to whoever acts on it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from yokeflow.cli import output
from yokeflow.cli.asking import KEPT
from yokeflow.cli.opened import opened
from yokeflow.cli.words import ago
from yokeflow.engine.people.control import Action, Became, request
from yokeflow.engine.project import Project
from yokeflow.engine.reports.layers import fall_back
from yokeflow.engine.secrets.redact import redact
from yokeflow.errors import ExitCode, StoreError, UsageError
from yokeflow.store.answered import SHORTEST_ID, last_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yokeflow.cli.opened import Opened

_HINT = "`yoke attention` lists what waits for you"
#: Characters of a person's words that are kept.
_LONGEST = 4000
#: Looks whether a run has taken the answer, and seconds between them.
_LOOKS = 40
_PAUSE = 0.05

_DONE = {
    "approve": "{item} is approved",
    "reject": "{item} is rejected",
    "answer": "{item} gets your answer",
    "retry": "{item} is open again",
    "skip": "{item} is left out",
    "land": "{item} is to be landed again",
    "dismiss": "what was asked for {item} is dropped",
}


async def give(name: str, choice: str, text: str, plan: Path | None) -> ExitCode:
    """Answer the intervention about an item, or of an id, and say what became of it.

    Raises UsageError when nothing is asked, the choice is none, or somebody else was faster.
    """
    async with AsyncExitStack() as stack:
        try:
            place = await stack.enter_async_context(opened())
        except StoreError as error:
            return await _keep(error, name, choice, text, plan)
        state = await place.status()
        entry = await _find(place, state["interventions"], name)
        choice = _chosen(entry, choice, text)
        became = await _ask(place.project, entry, choice, text, plan)
        item = entry["item"] or ""
        if became is Became.KEPT:
            output.line(KEPT)
        elif became is Became.DONE:
            output.line(f"{_DONE[choice].format(item=item)}; `yoke run` goes on with it.")
        elif await _taken(place, entry["id"]):
            await _check_ours(place, entry["id"], choice)
            output.line(f"{_DONE[choice].format(item=item)}; the run that is going on knows.")
        else:
            output.line(f"The run that is going on was told to {choice} {item}.")
        return ExitCode.OK


async def _keep(away: StoreError, name: str, choice: str, text: str, plan: Path | None) -> ExitCode:
    """Answer what was asked when the store was last seen; it is carried out when the store is back."""
    state = await fall_back(Path.cwd(), away)
    output.warn(away.message, hint="`yoke db status` shows what is wrong")
    found = _named(state["interventions"], name)
    if found is None:
        raise UsageError(f"nothing is known to be asked about {name}", hint=_HINT)
    await _ask(await Project.open(Path.cwd()), found, _chosen(found, choice, text), text, plan)
    output.line(KEPT)
    return ExitCode.OK


async def _ask(
    project: Project, entry: Mapping[str, Any], choice: Action, text: str, plan: Path | None
) -> Became:
    more = {"intervention": entry["id"], "text": redact(text.strip())[:_LONGEST]}
    return await request(
        project,
        lambda: project.load_plan(str(plan) if plan else None),
        choice,
        entry["item"] or "",
        **{key: value for key, value in more.items() if value},
    )


async def _find(place: Opened, waiting: list[dict[str, Any]], name: str) -> Mapping[str, Any]:
    """The one open intervention that is meant."""
    found = _named(waiting, name)
    if found is None:
        await _refuse_late(place, name)
        raise UsageError(f"nothing is asked about {name}", hint=_HINT)
    return found


def _named(waiting: list[dict[str, Any]], name: str) -> Mapping[str, Any] | None:
    """The open intervention about an item, or of an id; raises UsageError for several."""
    by_id = [entry for entry in waiting if len(name) >= SHORTEST_ID and entry["id"].startswith(name)]
    found = [entry for entry in waiting if entry["item"] == name] or by_id
    if len(found) > 1:
        listed = ", ".join(f"{entry['id'][:8]} ({entry['kind']})" for entry in found)
        raise UsageError(f"several things are asked about {name}: {listed}", hint="name one by its id")
    return found[0] if found else None


async def _refuse_late(place: Opened, name: str) -> None:
    """Tell who has answered already."""
    async with place.store.begin() as connection:
        last = await last_answer(connection, place.id, name)
    if last is not None:
        when = ago(last.at, datetime.now(UTC))
        raise UsageError(
            f"nothing is asked about {name} any more: "
            f"{last.by or 'somebody'} answered {last.choice} {when} ago",
            hint=_HINT,
        )


def _chosen(entry: Mapping[str, Any], choice: str, text: str) -> Action:
    """The choice, where it is one.

    Raises UsageError.
    """
    choices = [each for each in entry["choices"] if each in _DONE]
    asked = entry["item"] or "this"
    listed = " or ".join(choices)
    if not choice and (len(choices) == 1 or (text.strip() and "answer" in choices)):
        choice = "answer" if "answer" in choices else choices[0]
    if not choice:
        raise UsageError(f"how do you answer about {asked}?", hint=f"say {listed}")
    if choice not in choices:
        raise UsageError(f"{asked} cannot be answered with {choice}", hint=f"say {listed}")
    if choice == "answer" and not text.strip():
        raise UsageError(f"the answer to {asked} has no text", hint="say it with --text '…'")
    if choice == "reject" and not text.strip():
        raise UsageError(f"nobody would know why {asked} is rejected", hint="say it with --text '…'")
    action: Action = next(each for each in get_args(Action) if each == choice)
    return action


async def _taken(place: Opened, intervention: str) -> bool:
    """Whether the run has acted on an answer."""
    for _ in range(_LOOKS):
        async with place.store.begin() as connection:
            if await last_answer(connection, place.id, intervention) is not None:
                return True
        await asyncio.sleep(_PAUSE)
    return False


async def _check_ours(place: Opened, intervention: str, choice: str) -> None:
    """Raises UsageError when somebody else's answer came first."""
    async with place.store.begin() as connection:
        last = await last_answer(connection, place.id, intervention)
    if last is not None and last.choice != choice:
        raise UsageError(f"{last.by or 'somebody'} was faster and answered {last.choice}", hint=_HINT)
