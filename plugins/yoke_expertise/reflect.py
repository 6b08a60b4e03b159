"""Ask an agent what a task that took several attempts teaches; what does not fit the schema is dropped."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from yoke_expertise.domains import domain_of
from yoke_expertise.memories import Draft
from yoke_expertise.runs import remembered
from yoke_expertise.signature import clean, telling_lines
from yokeflow.engine.secrets.redact import redact
from yokeflow.errors import YokeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yoke_expertise.extract import Case
    from yokeflow.config import Learning
    from yokeflow.hookspecs import Host

_log = logging.getLogger(__name__)

_OPERATION: Final = "reflection"
_TRIES: Final = 2
_MOST_DROPPED: Final = 2
_LONGEST_ANSWER: Final = 20_000

_PROMPT: Final = """\
A coding task in this repository took {attempts} attempts. Say what a later agent should know to need fewer.

Task: {title}
{prompt}

{failures}

It ended {state}. Files changed: {changed}.

Give at most three lessons that hold beyond this task. Each is one or two short sentences in the imperative,
names files or commands where that helps, and says nothing that is only about this task. If there is none,
give none. Answer with one JSON object and nothing else. It must be valid by this JSON schema:

{schema}
"""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, str_strip_whitespace=True)


class Reflected(_Strict):
    """One lesson, as the agent must give it."""

    subject: Annotated[str, Field(min_length=3, max_length=120)]
    lesson: Annotated[str, Field(min_length=10, max_length=400)]
    files: Annotated[list[Annotated[str, Field(min_length=1, max_length=300)]], Field(max_length=5)] = Field(
        default_factory=list
    )
    importance: Annotated[int, Field(ge=1, le=10)] = 5


class Reflection(_Strict):
    """The whole answer."""

    lessons: Annotated[list[Reflected], Field(max_length=3)]


def wants_reflection(case: Case, learning: Learning) -> bool:
    """Whether an agent is named, and the task took several attempts."""
    return bool(learning.reflect_with and case.earlier and case.state in {"completed", "failed"})


async def reflect(host: Host, case: Case, learning: Learning) -> list[Draft]:
    """What the agent says; nothing when it cannot be asked, or answers twice against the schema.

    One whose answers are of no use is asked no more in the run: each of them costs.
    """
    state = remembered(host)
    if state.dropped >= _MOST_DROPPED:
        return []
    prompt = redact(_question(case))
    asked, error = prompt, ""
    for _ in range(_TRIES):
        try:
            report = await host.ask(asked, operation=_OPERATION, agent=learning.reflect_with or "")
        except YokeError as refused:
            _log.warning("no reflection on %s: %s", case.task, refused.message)
            return []
        if not report.ok:
            _log.warning("no reflection on %s: %s", case.task, report.error)
            return []
        try:
            found = _drafts(parse(report.answer), case, learning.domains)
        except ValidationError as wrong:
            error = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in wrong.errors())
            asked = f"{prompt}\nYour last answer was not valid: {clean(error, 500)}\n"
        else:
            state.dropped = 0
            return found
    state.dropped += 1
    _log.warning("the reflection on %s was dropped: %s", case.task, clean(error, 500))
    if state.dropped == _MOST_DROPPED:
        _log.warning("%s is asked for no more reflections in this run", learning.reflect_with)
    return []


def parse(answer: str) -> Reflection:
    """The answer as a value. A code fence or words around the object are forgiven.

    Raises pydantic.ValidationError.
    """
    text = answer[:_LONGEST_ANSWER]
    start, end = text.find("{"), text.rfind("}")
    return Reflection.model_validate_json(text[start : end + 1] if 0 <= start < end else text)


def _question(case: Case) -> str:
    failures = "\n\n".join(
        f"Attempt {number} failed: {clean(failed.reason, 500)}\n" + "\n".join(telling_lines(failed.output, 8))
        for number, failed in enumerate(case.earlier, 1)
    )
    return _PROMPT.format(
        attempts=len(case.earlier) + 1,
        title=case.title,
        prompt=case.prompt[:2000],
        failures=failures,
        state=case.state,
        changed=", ".join(case.changed[:20]) or "none",
        schema=json.dumps(_schema(), indent=1),
    )


def _schema() -> dict[str, Any]:
    return Reflection.model_json_schema()


def _drafts(reflection: Reflection, case: Case, domains: Sequence[str]) -> list[Draft]:
    return [
        Draft(
            kind="reflection",
            domain=domain_of(f"{each.subject} {each.lesson}", each.files, domains, case.category),
            subject=clean(each.subject, 120),
            content=clean(each.lesson, 400),
            importance=each.importance,
            files=tuple(clean(path, 300) for path in each.files),
            categories=(case.category,) if case.category else (),
            evidence={"sessions": [case.session], "tasks": [case.task]},
        )
        for each in reflection.lessons
    ]
