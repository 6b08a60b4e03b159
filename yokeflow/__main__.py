"""The `yoke` program: hand the command line to click, turn what escapes into a message and an exit code."""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import click

from yokeflow.cli import output, yoke
from yokeflow.errors import ExitCode, YokeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code. The only place where errors become output."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    try:
        answer = yoke.main(argv, prog_name="yoke", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        return _misused(error)
    except Exception as error:  # noqa: BLE001 - this is the one error boundary
        return _failed(error, argv)
    return answer if isinstance(answer, int) else ExitCode.OK


def program() -> None:
    """What `yoke` runs."""
    code = main()
    # The system takes everything back at once; to find out before what is garbage takes a tenth of a second.
    gc.freeze()
    sys.exit(code)


def _misused(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    hint = f"{context.command_path} --help" if isinstance(context, click.Context) else ""
    output.error(error.format_message(), hint)
    return error.exit_code


def _failed(error: Exception, argv: Sequence[str]) -> int:
    leaves = list(_leaves(error))
    meant = [leaf for leaf in leaves if isinstance(leaf, YokeError)]
    if len(meant) < len(leaves):
        # Loaded by name because what it needs would slow every other command down.
        message, hint = import_module("yokeflow.cli.defect").record(error, argv)
        output.error(message, hint)
        return ExitCode.DEFECT
    for leaf in meant:
        output.error(leaf.message, leaf.hint)
    return meant[0].exit_code


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


if __name__ == "__main__":
    program()
