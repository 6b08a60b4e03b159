"""Where settings come from: flags, the environment, the repository's file, the user's file, defaults."""

from __future__ import annotations

import inspect
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import Field, ValidationError, create_model

from yokeflow.config import Config, Section
from yokeflow.document import Document, Key, dotted, load_document, parse_document, parse_scalar
from yokeflow.errors import DocumentError, Problem
from yokeflow.places import DISABLED_VARIABLE, FILE_NAME, user_file
from yokeflow.profiles import faults, nearly_tier
from yokeflow.validation import nearest, problems_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo


_PREFIX = "YOKE_"
#: Variables with a meaning of their own. The last six tell a session's process what it works on.
_NOT_CONFIG = frozenset(
    (
        *("YOKE_HOME", "YOKE_PLUGINS"),
        *("YOKE_TASK", "YOKE_SESSION", "YOKE_EPIC", "YOKE_RUN", "YOKE_WORKTREE", "YOKE_BRANCH"),
    ),
)
_DATABASE_URL = "YOKE_DATABASE_URL"
#: How `problems_of` begins to tell of a key that does not exist.
_UNKNOWN = "there is no key"
_MISSING_PLUGIN = "the plugin that brings it may be missing: see `yoke plugins`"
_ENVIRONMENT = Path("environment")
_COMMAND_LINE = Path("command line")


@dataclass(frozen=True, slots=True)
class Settings:
    """The effective configuration, and who said what."""

    config: Config
    #: By dotted key: `flag`, `environment YOKE_…`, the path of a file, or `default`.
    origins: Mapping[str, str]
    #: The files that were read, the weakest first.
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class _Form:
    """What is known about the keys."""

    model: type[Config]
    #: Whether a section that nobody knows is an error, not a plugin's that was not asked for it.
    strict: bool

    def known(self, data: Any) -> Any:
        """The data that can be judged."""
        if self.strict or not isinstance(data, dict):
            return data
        return {name: value for name, value in data.items() if name in self.model.model_fields}

    def invalid(self, document: Document) -> list[Problem]:
        """What is wrong in a document."""
        try:
            self.model.model_validate(document.data)
        except ValidationError as error:
            return [self._with_remedy(each) for each in problems_of(error, document, self.model)]
        return []

    def _with_remedy(self, problem: Problem) -> Problem:
        """A section may be unknown because its plugin is missing."""
        if not problem.message.startswith(_UNKNOWN) or set(problem.key) & {".", "["}:
            return problem
        return replace(problem, hint="; ".join(filter(None, (problem.hint, _MISSING_PLUGIN))))


@dataclass(frozen=True, slots=True)
class _Layer:
    data: dict[str, Any]
    #: Who set each key.
    origins: Mapping[Key, str]
    problems: tuple[Problem, ...] = ()


def load_config(
    root: Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    sections: Mapping[str, type[Section]] | None = None,
    strict: bool = True,
) -> Settings:
    """The settings of the project at `root`.

    `overrides` are flags by dotted key; None means not given. A flag beats the environment, then come the
    repository's file, the user's file and the defaults. `sections` are those of plugins; who loads no plugins
    is not `strict`, and passes over sections that belong to none here. `plugin_manager.load_settings` does it
    all. Raises DocumentError with the problems of all.
    """
    form = _Form(extended(sections or {}), strict)
    files = [path for path in (user_file(), root / FILE_NAME) if path.exists()]
    layers = [
        *(_file_layer(path, form) for path in files),
        _environment_layer(os.environ, form),
        _flag_layer(overrides or {}, form),
    ]
    problems = [problem for layer in layers for problem in layer.problems]
    if problems:
        raise DocumentError(problems)
    merged: dict[str, Any] = {}
    origins: dict[Key, str] = {}
    for layer in layers:
        merged = merge(merged, layer.data)
        origins |= layer.origins
    config = form.model.model_validate(merged)
    if problems := [*_between_profiles(config, origins), *_mistyped_tiers(config, origins)]:
        raise DocumentError(problems)
    leaves = [key for key, _ in flatten(config.model_dump())]
    return Settings(config, {dotted(key): origins.get(key, "default") for key in leaves}, tuple(files))


def _between_profiles(config: Config, origins: Mapping[Key, str]) -> list[Problem]:
    """What is wrong between profiles, which may come from several places."""
    return [
        _placed(("agents", "profiles", each.profile, *each.key), each.message, each.hint, origins)
        for each in faults(config.agents.profiles)
    ]


def _mistyped_tiers(config: Config, origins: Mapping[Key, str]) -> Iterator[Problem]:
    """Names of models that are no model anybody knows and nearly the name of a tier."""
    models = {name for tiers in config.models.tiers.values() for name in tiers.model_dump().values() if name}
    for key, value in _named_models(config):
        near = None if value in models or value in config.cost.prices else nearly_tier(value)
        if near:
            hint = f"did you mean `{near}`? a model of that name needs a line in models.tiers or cost.prices"
            yield _placed(key, f"`{value}` is neither a tier nor a known model", hint, origins)


def _named_models(config: Config) -> Iterator[tuple[Key, str]]:
    cost = config.cost
    yield ("cost", "default_model"), cost.default_model
    if cost.critical_override is not None:
        yield ("cost", "critical_override"), cost.critical_override
    for section in ("model_overrides", "priority_overrides"):
        for name, model in getattr(cost, section).items():
            yield ("cost", section, name), model
    for name, profile in config.agents.profiles.items():
        if profile.model is not None:
            yield ("agents", "profiles", name, "model"), profile.model


def problem_at(settings: Settings, key: Key, message: str, hint: str = "") -> Problem:
    """Something that is wrong with a key, at the place that set it."""
    said = {
        part: origin
        for part in (key[:size] for size in range(1, len(key) + 1))
        if (origin := settings.origins.get(dotted(part), "default")) != "default"
    }
    below = (origin for name, origin in settings.origins.items() if name.startswith(f"{dotted(key)}."))
    if inner := next((origin for origin in below if origin != "default"), None):
        said[key] = inner
    return _placed(key, message, hint, said)


def _placed(key: Key, message: str, hint: str, origins: Mapping[Key, str]) -> Problem:
    origin = next((origins[key[:size]] for size in range(len(key), 0, -1) if key[:size] in origins), "flag")
    if origin == "flag":
        return Problem(_COMMAND_LINE, 0, dotted(key), message, hint)
    if origin.startswith("environment "):
        return Problem(_ENVIRONMENT, 0, origin.removeprefix("environment "), message, hint)
    return load_document(Path(origin)).problem(key, message, hint)


def extended(sections: Mapping[str, type[Section]]) -> type[Config]:
    """The settings with sections of plugins."""
    added: dict[str, Any] = {name: (model, _default(model)) for name, model in sections.items()}
    return create_model("Config", __base__=Config, __doc__=Config.__doc__, **added) if added else Config


def _default(model: type[Section]) -> Any:
    return Field(default=model(), description=inspect.cleandoc(model.__doc__ or ""))


def disabled_plugins(root: Path, overrides: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """What `plugins.disabled` says, whatever else is wrong: it must be known before plugins can be loaded."""
    said: Any = ()
    for path in (user_file(), root / FILE_NAME):
        with suppress(DocumentError):
            said = _disabled(load_document(path).data if path.exists() else None, said)
    if text := os.environ.get(DISABLED_VARIABLE):
        with suppress(DocumentError):
            said = _parse_value(text)
    said = (overrides or {}).get("plugins.disabled") or said
    return tuple(name for name in said if isinstance(name, str)) if isinstance(said, (list, tuple)) else ()


def _disabled(data: Any, otherwise: Any) -> Any:
    plugins = data.get("plugins") if isinstance(data, dict) else None
    return plugins.get("disabled", otherwise) if isinstance(plugins, dict) else otherwise


def fields(model: type[Section] = Config, key: Key = ()) -> Iterator[tuple[Key, FieldInfo]]:
    """Every key that holds a value, with its type, default and description."""
    for name, found in model.model_fields.items():
        if isinstance(found.annotation, type) and issubclass(found.annotation, Section):
            yield from fields(found.annotation, (*key, name))
        else:
            yield (*key, name), found


def flatten(data: Mapping[str, Any], key: Key = ()) -> Iterator[tuple[Key, Any]]:
    """Every value that is no mapping, or an empty one, by its key."""
    for name, value in data.items():
        if isinstance(value, dict) and value:
            yield from flatten(value, (*key, name))
        else:
            yield (*key, name), value


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings laid over each other, key by key; other values replace. An empty section changes nothing."""
    merged = dict(base)
    for name, value in over.items():
        below = merged.get(name)
        if isinstance(below, dict) and isinstance(value, dict):
            merged[name] = merge(below, value)
        elif not (isinstance(below, dict) and value is None):
            merged[name] = value
    return merged


def _file_layer(path: Path, form: _Form) -> _Layer:
    try:
        document = load_document(path)
    except DocumentError as error:
        return _Layer({}, {}, error.problems)
    data = {} if document.data is None else form.known(document.data)
    problems = form.invalid(Document(path, data, document.lines))
    origins = {key: str(path) for key, _ in flatten(data)} if isinstance(data, dict) else {}
    return _Layer({} if problems else data, origins, tuple(problems))


def _flag_layer(overrides: Mapping[str, Any], form: _Form) -> _Layer:
    given: dict[Key, Any] = {
        tuple(key.split(".")): value for key, value in overrides.items() if value is not None
    }
    return _given_layer(given, dict.fromkeys(given, "flag"), _COMMAND_LINE, form)


def _environment_layer(environ: Mapping[str, str], form: _Form) -> _Layer:
    given: dict[Key, Any] = {}
    names: dict[Key, str] = {}
    problems: list[Problem] = []
    for name in sorted(environ):
        text = environ[name]
        if not name.startswith(_PREFIX) or name in _NOT_CONFIG or not text:
            continue
        key = _key_of(name, form.model)
        if key is None:
            problems += _unknown_variable(name, form)
            continue
        try:
            given[key] = text if name == _DATABASE_URL else _parse_value(text)
        except DocumentError as error:
            problems += [Problem(_ENVIRONMENT, 0, name, each.message, each.hint) for each in error.problems]
        names[key] = name
    origins = {key: f"environment {name}" for key, name in names.items()}
    layer = _given_layer(given, origins, _ENVIRONMENT, form, names)
    return replace(layer, problems=(*problems, *layer.problems))


def _given_layer(
    given: Mapping[Key, Any],
    origins: Mapping[Key, str],
    source: Path,
    form: _Form,
    names: Mapping[Key, str] | None = None,
) -> _Layer:
    """Values that no file holds. `names` says under which name a key was given, where it is not its own."""
    data: dict[str, Any] = {}
    for key, value in given.items():
        nested = reduce(lambda inner, part: {part: inner}, reversed(key), value)
        data = merge(data, nested)
    problems = []
    for problem in form.invalid(Document(source, data, {})):
        at = next((key for key in given if problem.key.startswith(dotted(key))), None)
        name = (names or {}).get(at, problem.key) if at else problem.key
        problems.append(replace(problem, line=0, key=name))
    inner = {key: origin for top, origin in origins.items() for key in _below(top, given.get(top))}
    return _Layer({} if problems else data, inner, tuple(problems))


def _below(key: Key, value: Any) -> list[Key]:
    return [inner for inner, _ in flatten(value, key)] if isinstance(value, dict) and value else [key]


def _parse_value(text: str) -> Any:
    """A YAML scalar, or a list or mapping in brackets."""
    value = text.strip()
    return (
        parse_document(value, _ENVIRONMENT).data if value[:1] in {"[", "{", '"', "'"} else parse_scalar(value)
    )


def _key_of(variable: str, model: type[Config]) -> Key | None:
    """The config key that a variable sets; None when there is none."""
    if variable == _DATABASE_URL:
        return ("database", "url")
    parts = tuple(variable.removeprefix(_PREFIX).lower().split("__"))
    return parts if _is_key(model, parts) else None


def _is_key(annotation: Any, parts: tuple[str, ...]) -> bool:
    section = isinstance(annotation, type) and issubclass(annotation, Section)
    if not parts:
        return not section
    if section:
        found = annotation.model_fields.get(parts[0])
        return found is not None and _is_key(found.annotation, parts[1:])
    return get_origin(annotation) is dict and bool(parts[0]) and _is_key(get_args(annotation)[1], parts[1:])


def _unknown_variable(name: str, form: _Form) -> list[Problem]:
    """A problem, unless the variable may well belong to something else."""
    said = name.removeprefix(_PREFIX)
    known = ["__".join(str(part) for part in key).upper() for key, _ in fields(form.model)]
    meant = next((each for each in known if each.replace("_", "") == said.replace("_", "").upper()), None)
    foreign = said.partition("__")[0].lower() not in form.model.model_fields
    if meant is None and ("__" not in name or (foreign and not form.strict)):
        return []
    near = meant or nearest(said, known)
    hint = f"did you mean `{_PREFIX}{near}`?" if near else "`yoke config show` lists the settings"
    if foreign and meant is None:
        hint = f"{hint}; {_MISSING_PLUGIN}"
    return [Problem(_ENVIRONMENT, 0, name, "there is no such setting", hint)]
