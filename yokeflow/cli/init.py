"""`yoke init`: write the first files of a project."""

from __future__ import annotations

from pathlib import Path

import click

from yokeflow import starter
from yokeflow.cli import options, output
from yokeflow.errors import RepositoryError
from yokeflow.places import FILE_NAME, find_root
from yokeflow.settings import load_config


@click.command(epilog=options.examples("yoke init", "yoke init --json"))
@options.as_json
def command(as_json: bool) -> None:  # noqa: FBT001 - a flag of the command line
    """Write a commented .yokeflow.yaml and a first plan, where there are none yet.

    Works from anywhere in a repository. A file that exists is never touched.
    """
    root = find_root(Path.cwd())
    if root is None:
        raise RepositoryError(
            "this folder is in no git repository", hint="go to your repository, or make one: git init"
        )
    config = root / FILE_NAME
    written = {config: starter.write_new(config, starter.config_text())}
    plan = root / load_config(root, strict=False).config.plan
    written[plan] = starter.write_new(plan, starter.PLAN)
    if as_json:
        output.data({str(path): "written" if new else "kept" for path, new in written.items()})
        return
    for path, new in written.items():
        shown = path.relative_to(root) if path.is_relative_to(root) else path
        output.line(f"{'wrote' if new else 'kept '} {shown}" + ("" if new else " (it exists)"))
    output.line()
    output.line("What to type next:")
    output.line("  yoke doctor           is everything there that a run needs?")
    output.line("  yoke plan show        what the plan means (edit it first)")
    output.line("  yoke run --dry-run    what would start, without starting it")
    output.line("  yoke run              do it")
