"""How the models of a task were chosen, and which would be now."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from yoke_models.choose import Case, choose
from yoke_models.history import choices, load
from yoke_models.memory import of_plan
from yokeflow.cli.output import clean
from yokeflow.cli.words import money
from yokeflow.engine.decisions.outlook import outlook
from yokeflow.model import Attempt

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from yokeflow.cli.opened import Opened
    from yokeflow.model import ModelChoice, Plan, Task

#: Runs that are imagined, to see how often chance would choose what.
_RUNS: Final = 200


async def explain(place: Opened, task: str, plan: Plan | None) -> dict[str, Any] | None:
    """Every session of a task with its reasons, and the choice as it would be now; None for no such task."""
    async with place.store.begin() as connection:
        sessions = await choices(connection, place.id, task)
    planned = plan.tasks.get(task) if plan else None
    if not sessions and planned is None:
        return None
    done = bool(sessions) and sessions[-1]["state"] in {"completed", "running"}
    now = await _now(place, planned, plan) if plan and planned and not done else None
    return {"task": task, "sessions": sessions, "now": now}


async def _now(place: Opened, task: Task, plan: Plan) -> dict[str, Any]:
    project, config = place.project, place.project.config
    memory = of_plan(config, plan)
    async with place.store.begin() as connection:
        await load(connection, place.id, memory)
    failed = memory.failed.get(task.id, [])
    number = len(failed) + 1
    # Asked as a run asks: profiles may be kept in the store.
    decisions = (await outlook(project.repo.root, plan, project.plugins, config)).decisions
    profile = decisions.profile(task, number)
    agent = config.agent_of(task.agent or (profile.agent if profile else ""))

    def chosen(run: str) -> ModelChoice:
        attempt = Attempt(task, number, "", run, agent=agent, profile=profile)
        return choose(Case(attempt, agent, config, None, memory.evidence, failed))

    choice = chosen("")
    settled = config.models.seed is not None or choice.details["rule"] != "learned"
    shares = Counter(chosen(str(run)).model for run in range(1 if settled else _RUNS))
    often = {model: count / shares.total() for model, count in shares.most_common()}
    # Without a seed a run draws for itself: what it would most often come to is shown.
    likely = next(iter(often))
    if choice.model != likely:
        choice = next(found for run in range(_RUNS) if (found := chosen(str(run))).model == likely)
    told = {"model": choice.model, "tier": choice.tier, "model_reason": choice.reason}
    return {"attempt": number, "agent": agent, **told, "choice": dict(choice.details), "runs": often}


def lines(data: Mapping[str, Any]) -> Iterator[str]:
    """The same for people."""
    for session in data["sessions"]:
        yield f"Attempt {session['attempt']} (session {session['number']}), {_what(session)}"
        because = f": {session['reason']}" if session["reason"] else ""
        yield clean(f"  {session['state']}{because}, cost {money(session['cost_usd'])}")
        yield from _reasons(session)
    if now := data["now"]:
        yield f"Not started; would be chosen now for attempt {now['attempt']}, {_what(now)}"
        yield from _reasons(now)
        if len(now["runs"]) > 1:
            shares = ", ".join(f"{model} {share:.0%}" for model, share in now["runs"].items())
            yield clean(f"  each run draws anew, of {_RUNS}: {shares}")


def _what(session: Mapping[str, Any]) -> str:
    tier = f" ({session['tier']})" if session["tier"] else ""
    return clean(f"{session['agent']}: {session['model'] or 'its own model'}{tier}")


def _reasons(session: Mapping[str, Any]) -> Iterator[str]:
    choice = session["choice"]
    yield clean(f"  because {session['model_reason'] or 'no reason was recorded'}")
    if "score" in choice:
        parts = ", ".join(f"{name} {value:.2f}" for name, value in choice.get("parts", {}).items())
        yield clean(f"  complexity {choice['score']:.2f}, {choice.get('size', '')}: {parts}")
        for name, words in choice.get("because", {}).items():
            yield clean(f"    {name}: {', '.join(words)}")
    for tier, view in choice.get("tiers", {}).items():
        yield clean(f"  {tier:9} {_view(view)}")
    for note in choice.get("notes", ()):
        yield clean(f"  {note}")


def _view(view: Mapping[str, Any]) -> str:
    drawn = f", drawn {view['draw']:.0%} and {money(view['drawn_usd'])}" if "draw" in view else ""
    seen = f"{view['successes']} landed, {view['failures']} failed"
    expected = f"{view['success']:.0%} at {money(view['expected_usd'])}"
    return f"{view['model']}: {seen}; expects {expected}, {money(view['per_landed_usd'])} to land it{drawn}"
