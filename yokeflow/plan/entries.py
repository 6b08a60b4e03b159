"""The plan file as it is written: the keys of epics and tasks, and reading them past mistakes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from yokeflow.config.values import PRIORITIES as WORDS
from yokeflow.document import parse_duration, shorten
from yokeflow.model import Strength
from yokeflow.validation import nearest, problems_of

if TYPE_CHECKING:
    from yokeflow.document import Document, Key
    from yokeflow.errors import Problem

PRIORITIES = {**WORDS, "p0": 0, "p1": 2, "p2": 5}
LONGEST_TITLE = 200
#: Stands for an id that could not be read. No text of a file can hold it.
UNREAD = "\0"

E = TypeVar("E", bound="Entry")


def _priority(value: object) -> object:
    if isinstance(value, str) and value.lower() in PRIORITIES:
        return PRIORITIES[value.lower()]
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    near = nearest(value, PRIORITIES) if isinstance(value, str) else None
    hint = f"did you mean `{near}`?" if near else "write 0 (first) to 9 (last), critical, high, normal or low"
    raise ValueError(f"{shorten(value)} is no priority: {hint}")


def _title(value: str) -> str:
    # Titles become subjects of commits: a second line there could pass for a trailer.
    title = value.strip("\r\n")
    if "\n" in title or "\r" in title:
        raise ValueError("a title is one line: put the rest under `prompt`")
    if len(title) > LONGEST_TITLE:
        raise ValueError(f"a title has at most {LONGEST_TITLE} characters: put the rest under `prompt`")
    return title


def _form(value: object) -> str:
    return "mapping" if isinstance(value, (dict, BaseModel)) else "id"


Title = Annotated[str, AfterValidator(_title)]
When = Literal["before", "after"]
Seconds = Annotated[float, BeforeValidator(parse_duration), Field(gt=0)]


class Entry(BaseModel):
    """A mapping in the plan file. Unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class DependencyEntry(Entry):
    """A dependency that says more than an id."""

    task: str = ""
    """Id of the task that goes first."""
    epic: str = ""
    """Id of the epic that goes first."""
    type: Strength = Strength.HARD
    """`hard` waits, `soft` orders when both are free, `related` informs."""
    reason: str = ""
    """Why, for people."""

    @model_validator(mode="after")
    def _names_one(self) -> DependencyEntry:
        if bool(self.task) == bool(self.epic):
            raise ValueError("must name one predecessor: write either `task:` or `epic:`")
        return self


DependsOn = Annotated[
    Annotated[str, Tag("id")] | Annotated[DependencyEntry, Tag("mapping")], Discriminator(_form)
]


class TaskEntry(Entry):
    """A task of the plan file."""

    id: str
    """Letters, digits, `.`, `_` and `-`, unique in the file."""
    title: Title = ""
    """Shown in reports; the first line of the prompt when empty."""
    prompt: str = ""
    """What an agent is told; the title when empty."""
    run: str = ""
    """What the `shell` agent runs instead."""
    depends_on: tuple[DependsOn, ...] = ()
    """Epics and tasks that go first."""
    files: tuple[str, ...] = ()
    """Globs of the files it owns: overlaps never run at the same time."""
    conflicts_with: tuple[str, ...] = ()
    """Tasks that never run at the same time."""
    category: str = ""
    """A free word that drives the choice of model and agent."""
    priority: Annotated[int, BeforeValidator(_priority), Field(ge=0, le=9)] = 5
    """0 is first, 9 is last; critical, high, normal and low are 0, 2, 5 and 8."""
    estimate: Seconds | None = None
    """How long it probably takes."""
    agent: str = ""
    """Who does it; `agents.default` when empty."""
    profile: str = ""
    """Name of the agent profile; chosen by `needs`, category and files when empty."""
    needs: tuple[str, ...] = ()
    """Capabilities that the agent's profile must have."""
    model: str = ""
    """Name of the model; left to the model selection when empty."""
    critical: bool = False
    """Worth a stronger model."""
    verify: tuple[str, ...] = ()
    """Commands that must exit 0 in the task's worktree."""
    timeout: Seconds | None = None
    """How long an attempt may take; `agents.timeout` when empty."""
    allow_empty: bool = False
    """An attempt that changes nothing is a success."""
    approve: When | None = None
    """A person approves `before` it starts, or `after` it, before it counts; nobody when empty."""


class EpicEntry(Entry):
    """An epic of the plan file."""

    id: str
    """Letters, digits, `.`, `_` and `-`, unique in the file."""
    title: Title = ""
    """Shown in reports; the id when empty."""
    depends_on: tuple[DependsOn, ...] = ()
    """Epics and tasks that all of its tasks wait for."""
    approve: When | None = None
    """A person approves `before` any of its tasks starts, or `after` all of them, before it lands."""
    tasks: tuple[TaskEntry, ...] = ()
    """What is to be done."""


class PlanEntry(Entry):
    """The plan file as a whole."""

    epics: tuple[EpicEntry, ...] = ()
    """The units of isolation and of landing."""


@dataclass(frozen=True, slots=True)
class TaskItem:
    """A task and where it stands in the file."""

    key: Key
    entry: TaskEntry
    epic: str


@dataclass(frozen=True, slots=True)
class EpicItem:
    """An epic and where it stands in the file."""

    key: Key
    entry: EpicEntry
    tasks: tuple[TaskItem, ...]


def read_epics(document: Document, problems: list[Problem]) -> list[EpicItem]:
    """Everything readable, so that mistakes in one place do not hide those in another."""
    top = document.data
    if top is None or top == {}:
        return []
    whole = _read(PlanEntry, document, (), _without(top, "epics"), problems)
    epics = top.get("epics") if whole and isinstance(top, dict) else None
    if epics is not None and not isinstance(epics, list):
        problems.append(document.problem(("epics",), "must be a list", "start each epic with `- id: …`"))
        return []
    found = (_epic(document, ("epics", i), epic, problems) for i, epic in enumerate(epics or []))
    return [epic for epic in found if epic is not None]


def _epic(document: Document, key: Key, data: Any, problems: list[Problem]) -> EpicItem | None:
    entry = _read(EpicEntry, document, key, _without(data, "tasks"), problems)
    if entry is None:
        return None
    listed = data.get("tasks")
    if listed is not None and not isinstance(listed, list):
        hint = "start each task with `- id: …`"
        problems.append(document.problem((*key, "tasks"), "must be a list", hint))
        listed = None
    tasks: list[TaskItem] = []
    for i, each in enumerate(listed or []):
        at = (*key, "tasks", i)
        task = _read(TaskEntry, document, at, each, problems)
        if task is not None:
            tasks.append(TaskItem(at, task, entry.id))
    return EpicItem(key, entry, tuple(tasks))


def _without(data: Any, name: str) -> Any:
    return {key: value for key, value in data.items() if key != name} if isinstance(data, dict) else data


def _read(model: type[E], document: Document, key: Key, data: Any, problems: list[Problem]) -> E | None:
    """The entry; on mistakes what is left of it without them, None when it is no mapping at all."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems += problems_of(error, document, model, key)
        if not isinstance(data, dict):
            return None
        mistakes = [each["loc"] for each in error.errors(include_url=False)]
    return model.model_validate(_readable(data, mistakes))


def _readable(data: dict[str, Any], mistakes: list[tuple[int | str, ...]]) -> dict[str, Any]:
    """What is left without mistakes; `UNREAD` keeps the place of a list's wrong element and of a wrong id."""
    left = {name: value for name, value in data.items() if name not in {where[0] for where in mistakes}}
    for name, *inner in mistakes:
        value = data.get(str(name))
        if isinstance(value, list) and inner:
            left.setdefault(str(name), list(value))[int(inner[0])] = UNREAD
        elif name == "id":
            left["id"] = UNREAD
    return left
