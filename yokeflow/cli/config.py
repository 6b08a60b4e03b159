"""`yoke config`: what is set, where it comes from, and what could be."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from yokeflow.cli import options, output
from yokeflow.document import Key, dotted
from yokeflow.engine.doubts import doubts
from yokeflow.errors import DocumentError, ExitCode, PluginError
from yokeflow.places import FILE_NAME, find_root
from yokeflow.plugin_manager import Offer, load_plugins, load_settings
from yokeflow.settings import Settings, disabled_plugins, extended, flatten

_MASK = "***"


@click.group(epilog=options.examples("yoke config show", "yoke config schema > yokeflow.schema.json"))
def command() -> None:
    """Show the settings, check them, or print their JSON Schema."""


@command.command(
    epilog=options.examples("yoke config show", "YOKE_PARALLEL__MAX_CONCURRENCY=8 yoke config show")
)
@click.option("--changed", is_flag=True, help="Only what differs from the defaults' origin.")
@options.as_json
def show(changed: bool, as_json: bool) -> None:  # noqa: FBT001 - flags of the command line
    """The effective settings and where each comes from: flag, environment, file or default.

    Passwords are masked.
    """
    settings = _load()
    found = [
        (dotted(key), mask(key, value), settings.origins[dotted(key)])
        for key, value in flatten(settings.config.model_dump())
    ]
    found = [row for row in found if not changed or row[2] != "default"]
    if as_json:
        output.data({key: {"value": value, "origin": origin} for key, value, origin in found})
    else:
        output.table(("key", "value", "from"), [(key, _shown(value), origin) for key, value, origin in found])


@command.command(epilog=options.examples("yoke config schema > yokeflow.schema.json"))
@options.json_option("The same: the schema is JSON.")
def schema(as_json: bool) -> None:  # noqa: ARG001, FBT001 - accepted as on every command
    """The JSON Schema of .yokeflow.yaml, for editors."""
    plugins = load_plugins(disabled_plugins(_root()), on_failure=_tell)
    output.data(extended(plugins.sections).model_json_schema())


@command.command(epilog=options.examples("yoke config validate", "yoke config validate --json"))
@options.as_json
def validate(as_json: bool) -> int:  # noqa: FBT001 - a flag of the command line
    """Check all settings: the repository's file, your own file, the environment."""
    try:
        settings = _load()
    except DocumentError as error:
        if not as_json:
            raise
        output.data({"valid": False, "problems": error.problems})
        return ExitCode.USAGE
    files, found = [str(path) for path in settings.files], doubts(settings)
    if as_json:
        output.data({"valid": True, "problems": [], "warnings": found, "files": files})
    else:
        for doubt in found:
            output.warn(str(doubt))
        output.line(f"valid: {', '.join(files) or f'no {FILE_NAME}, so the defaults'}")
    return ExitCode.OK


def mask(key: Key, value: Any) -> Any:
    """A value without what only its owner should see: passwords in URLs, agents' variables."""
    if key == ("database", "url") and isinstance(value, str):
        return _without_password(value)
    if key[:2] == ("agents", "options") and "env" in key[3:4] and value:
        return _MASK
    return value


def _without_password(url: str) -> str:
    try:
        parts = urlsplit(url)
        secret = parts.password
    except ValueError:
        return _MASK
    if "password=" in parts.query:
        return parts._replace(query=_MASK, netloc=parts.netloc.replace(f":{secret}@", f":{_MASK}@")).geturl()
    return url if secret is None else url.replace(f":{secret}@", f":{_MASK}@")


def _shown(value: Any) -> str:
    return json.dumps(value.value if isinstance(value, Enum) else value, ensure_ascii=False)


def _load() -> Settings:
    """The settings; the sections of a plugin that cannot be used are passed over, with a warning."""
    return load_settings(_root(), on_failure=_tell)[0]


def _tell(_: Offer, error: PluginError) -> None:
    output.warn(f"{error.message}; its section is left out", error.hint)


def _root() -> Path:
    here = Path.cwd()
    return find_root(here) or here
