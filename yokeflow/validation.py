"""What pydantic says about a file, in the words of the person who wrote it."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

from yokeflow.document import Document, Key, shorten

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic_core import ErrorDetails

    from yokeflow.errors import Problem

_MOST_COMPARED = 2000

#: What a value must be, and how to write it, by the type of pydantic's error.
_SHAPES = {
    "string_type": ("text", "put it in quotes: {quoted}"),
    "bool_type": ("true or false", "write true or false"),
    "bool_parsing": ("true or false", "write true or false"),
    "int_type": ("a whole number", "write a number such as 3"),
    "int_parsing": ("a whole number", "write a number such as 3"),
    "int_from_float": ("a whole number", "leave out the fraction"),
    "int_parsing_size": ("a smaller number", "write a smaller number"),
    "float_type": ("a number", "write a number such as 0.5"),
    "float_parsing": ("a number", "write a number such as 0.5"),
    "finite_number": ("a finite number", "write a smaller number"),
    "list_type": ("a list", "write it as [{listed}]"),
    "tuple_type": ("a list", "write it as [{listed}]"),
    "dict_type": ("a mapping", "write `key: value` lines below it"),
    "model_type": ("a mapping", "write `key: value` lines below it"),
    "model_attributes_type": ("a mapping", "write `key: value` lines below it"),
}
_BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_CHOICES = ("literal_error", "enum")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    candidates = list(known)
    if len(candidates) > _MOST_COMPARED:
        candidates = [name for name in candidates if abs(len(name) - len(word)) <= 2 and name[:1] == word[:1]]
    by_folded = {name.casefold(): name for name in candidates[:_MOST_COMPARED]}
    found = get_close_matches(word.casefold(), by_folded, n=1)
    return by_folded[found[0]] if found else None


def suggest(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known word, else those there are when they are few."""
    names = list(known)
    near = nearest(word, names)
    if near is not None:
        return f"did you mean `{near}`?"
    return f"known: {', '.join(sorted(names))}" if 0 < len(names) <= 40 else ""


def problems_of(
    error: ValidationError, document: Document, model: type[BaseModel], key: Key = ()
) -> list[Problem]:
    """Every problem that pydantic found in the part of a document at `key`."""
    by_key: dict[Key, list[ErrorDetails]] = {}
    for each in error.errors(include_url=False):
        by_key.setdefault(_place(document, key, each), []).append(each)
    problems = [_problem(document, place, found, model, place[len(key) :]) for place, found in by_key.items()]
    return sorted(problems, key=lambda problem: problem.line)


def _place(document: Document, key: Key, error: ErrorDetails) -> Key:
    """Where it is: pydantic's location without the names of the alternatives it tried."""
    value: Any = document.data
    for part in key:
        value = value[part]
    place = list(key)
    for i, part in enumerate(error["loc"]):
        last = i == len(error["loc"]) - 1
        inside = (isinstance(value, dict) and part in value) or (
            isinstance(value, list) and isinstance(part, int) and part < len(value)
        )
        if inside or (last and error["type"] == "missing" and isinstance(part, str)):
            place.append(part)
            value = value[part] if inside else None
    return tuple(place)


def _problem(
    document: Document, place: Key, errors: Sequence[ErrorDetails], model: type[BaseModel], inner: Key
) -> Problem:
    first = errors[0]
    name = str(place[-1]) if place else "file"
    if first["type"] == "extra_forbidden":
        return document.problem(place, f"there is no key `{name}`", suggest(name, keys_at(model, inner[:-1])))
    if first["type"] == "missing" and isinstance(there := first["loc"][-1], int):
        message = f"must be a list of {there + len(errors)} values, not of {there}"
        return document.problem(place, message, "write all of them, or remove the key")
    if first["type"] == "missing":
        return document.problem(place, f"the key `{name}` is missing", f"add `{name}: …`")
    said = [_say(each) for each in errors]
    message = " or ".join(dict.fromkeys(words for words, _ in said))
    return document.problem(place, message, next((hint for _, hint in said if hint), ""))


def _say(error: ErrorDetails) -> tuple[str, str]:
    """Message and hint for one wrong value."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind in _SHAPES:
        wanted, hint = _SHAPES[kind]
        if value is None:
            return f"must be {wanted}, not empty", "give it a value or remove the key"
        if isinstance(value, (dict, list)):
            hint = hint if _takes_several(kind) else "write one value"
        listed = value if isinstance(value, str) else shorten(value)
        return f"must be {wanted}, not {_named(value)}", hint.format(quoted=f'"{value}"', listed=listed)
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        wanted = f"{words} {context[bound]}"
        return f"must be {wanted}, not {_named(value)}", f"write a value of {wanted}"
    if kind == "too_long":
        wanted = f"a list of {context['max_length']} values"
        return f"must be {wanted}, not of {context['actual_length']}", f"write {wanted}"
    if kind in _CHOICES:
        choices = [part.strip("' ") for part in context["expected"].replace(" or ", ",").split(",")]
        return f"must be one of {', '.join(choices)}, not {_named(value)}", _meant(value, choices)
    if kind == "value_error":
        text = str(context["error"])
        said, _, hint = text.rpartition(": ")
        return (said, hint) if said else (text, "")
    return error["msg"][:1].lower() + error["msg"][1:], ""


def _takes_several(kind: str) -> bool:
    """Whether a value of this shape is made of others."""
    return _SHAPES[kind][0] in {"a list", "a mapping"}


def _meant(value: object, choices: Sequence[str]) -> str:
    near = nearest(value, choices) if isinstance(value, str) else None
    return f"did you mean `{near}`?" if near else f"write {choices[0]}, for example"


def _named(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    return shorten(value)


def keys_at(annotation: Any, key: Key) -> list[str]:
    """Keys that a model, or what it holds at `key`, knows. Empty where any key goes."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not key:
            return list(annotation.model_fields)
        found = annotation.model_fields.get(str(key[0]))
        return keys_at(found.annotation, key[1:]) if found else []
    inner = get_args(annotation)
    if _is_container(annotation):
        return keys_at(inner[-1] if isinstance(key[0], str) else inner[0], key[1:]) if key and inner else []
    return next((names for each in inner if (names := keys_at(each, key))), [])


def _is_container(annotation: Any) -> bool:
    origin = getattr(annotation, "__origin__", None)
    return isinstance(origin, type) and issubclass(origin, (list, tuple, dict))
