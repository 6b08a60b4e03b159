"""The commands, each in a module of its own that is imported only when the command is used."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import nullcontext
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yokeflow import __version__
from yokeflow.cli import output
from yokeflow.commands import BUILT_IN, CORE, Entry
from yokeflow.places import find_root, may_disable_plugins

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Loaded by name, and only when a plugin's command is called or listed: it needs the settings.
_PLUGINS = "yokeflow.cli.plugin_commands"
#: Whether JSON is asked for, in the context.
_JSON = "yokeflow.cli.json"


def _load(module: str) -> Any:
    """Import a module, without a search for garbage in what stays until the end."""
    if module in sys.modules:
        return sys.modules[module]
    watched = gc.isenabled()
    gc.disable()
    try:
        return import_module(module)
    finally:
        gc.freeze()
        if watched:
            gc.enable()


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is called.

    The commands of built-in plugins are known by name, too. Others are looked for only in the overview and
    for a name that is unknown otherwise.
    """

    lazy: dict[str, Entry]

    def __init__(self, *arguments: object, lazy: Mapping[str, Entry], **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type] # handed on as it came
        self.lazy = dict(lazy)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # The command that knows the option may be one of a plugin, which is loaded before.
        ctx.meta[_JSON] = "--json" in args
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        known = [*self.lazy, *(name for name in super().list_commands(ctx) if name not in self.lazy)]
        return [*known, *sorted(name for name in self._foreign(ctx) if name not in known)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.lazy.get(cmd_name)
        if entry is None:
            return super().get_command(ctx, cmd_name) or self._foreign(ctx).get(cmd_name)
        module = entry.module
        if cmd_name in BUILT_IN:
            here = Path.cwd()
            if may_disable_plugins(find_root(here) or here):
                found: click.Command | None = _plugins().built_in(cmd_name)
                return found or self._foreign(ctx).get(cmd_name) or _plugins().disabled(cmd_name)
            # What `register_commands` gives, without loading what judges settings and plugins.
            module = f"{module}.command"
        command: click.Command = _load(module).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.lazy and args[0] not in (known := self.list_commands(ctx)):
            near = get_close_matches(args[0], known, n=1)
            meant = f" Did you mean `{near[0]}`?" if near else ""
            raise click.UsageError(f"There is no command `{args[0]}`.{meant}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, self._short_help(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _short_help(self, ctx: click.Context, name: str) -> str:
        if name in self.lazy:
            return self.lazy[name].help
        command = self.get_command(ctx, name)
        return command.get_short_help_str() if command else ""

    def _foreign(self, ctx: click.Context) -> Mapping[str, click.Command]:
        """Commands of plugins that are not built in; those that cannot be loaded cost a warning."""
        found: dict[str, click.Command] | None = ctx.meta.get(_PLUGINS)
        if found is None:
            with output.kept() if ctx.meta.get(_JSON) else nullcontext():
                found = _plugins().foreign() if _may_have_plugins() else {}
            ctx.meta[_PLUGINS] = found
        return found


def _plugins() -> Any:
    return import_module(_PLUGINS)


def _may_have_plugins() -> bool:
    """Whether a plugin that is not built in is named or installed: a tenth of the time to ask importlib."""
    named = os.environ.get("YOKE_PLUGINS")
    if named is not None:
        return bool(named.strip(", "))
    return any(_names_plugins(file) for folder in sys.path for file in _entry_points(folder))


def _entry_points(folder: str) -> list[Path]:
    try:
        infos = [
            each for each in os.scandir(folder or ".") if each.name.endswith((".dist-info", ".egg-info"))
        ]
    except OSError:
        return []
    return [Path(info, "entry_points.txt") for info in infos]


def _names_plugins(file: Path) -> bool:
    try:
        return b"[yokeflow" in file.read_bytes()
    except OSError:
        return False


COMMANDS = {**CORE, **BUILT_IN}


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed or waiting for you, 2 usage, 3 defect, 4 limit, 130 interrupted.",
)
@click.version_option(__version__, prog_name="yoke", message="%(prog)s %(version)s")
@click.pass_context
def yoke(ctx: click.Context) -> None:
    """Run a backlog of dependent tasks with coding agents in parallel, and land only what was proved.

    New here? `yoke demo` shows the whole way in half a minute.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
