"""The commands, each in a module of its own that is imported only when the command is used."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import click

from yokeflow import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping


class Entry(NamedTuple):
    """Where a command lives and what the overview says about it."""

    #: Module whose `command` is the click command.
    module: str
    help: str


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is called.

    `lazy` may be changed before the command line is read: that is how a plugin's command gets in.
    """

    lazy: dict[str, Entry]

    def __init__(self, *arguments: object, lazy: Mapping[str, Entry], **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type] # handed on as it came
        self.lazy = dict(lazy)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.lazy, *(name for name in super().list_commands(ctx) if name not in self.lazy)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.lazy.get(cmd_name)
        if entry is None:
            return super().get_command(ctx, cmd_name)
        command: click.Command = import_module(entry.module).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in (known := self.list_commands(ctx)):
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
        command = super().get_command(ctx, name)
        return command.get_short_help_str() if command else ""


#: In the order in which a new user meets them.
COMMANDS: dict[str, Entry] = {
    "demo": Entry("yokeflow.cli.demo", "Make a small project and run its plan, to see how it works."),
    "init": Entry("yokeflow.cli.init", "Write a commented configuration and a first plan."),
    "doctor": Entry("yokeflow.cli.doctor", "Check what a run needs, with a remedy for each fault."),
    "plan": Entry("yokeflow.cli.plan", "Show, validate or draw the plan."),
    "run": Entry("yokeflow.cli.run", "Do the plan: run, check and land everything unfinished."),
    "resume": Entry("yokeflow.cli.resume", "Go on with a run that was stopped or paused."),
    "status": Entry("yokeflow.cli.status", "What is done, what runs, what waits."),
    "log": Entry("yokeflow.cli.log", "What happened, event by event."),
    "show": Entry("yokeflow.cli.show", "All about one task or epic: attempts, checks, cost, transcript."),
    "attention": Entry("yokeflow.cli.attention", "What waits for you, and how to answer."),
    "retry": Entry("yokeflow.cli.retry", "Try a failed task or epic again."),
    "skip": Entry("yokeflow.cli.skip", "Leave a task out; what depends on it goes on."),
    "land": Entry("yokeflow.cli.land", "Try again to land an epic that was rejected or conflicted."),
    "pause": Entry("yokeflow.cli.pause", "Start no new tasks; running ones finish."),
    "cancel": Entry("yokeflow.cli.cancel", "Stop the run that is going on."),
    "worktree": Entry("yokeflow.cli.worktree", "List, clean or repair the worktrees."),
    "db": Entry("yokeflow.cli.db", "Start, stop, migrate, back up or restore the store."),
    "config": Entry("yokeflow.cli.config", "Show the effective settings or their JSON Schema."),
    "plugins": Entry("yokeflow.cli.plugins", "Which plugins are loaded, from where, with which hooks."),
}


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
