"""`yoke doctor`: is everything there that a run needs?"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from yokeflow.cli import options, output
from yokeflow.cli.output import clean, style
from yokeflow.engine.doctor import Health, diagnose
from yokeflow.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yokeflow.engine.doctor import Finding

_MARKS = {Health.OK: ("✔", "green"), Health.WARN: ("!", "yellow"), Health.FAIL: ("✘", "red")}


@click.command(epilog=options.examples("yoke doctor", "yoke doctor --json"))
@options.as_json
def command(*, as_json: bool) -> ExitCode:
    """Check what a run needs: git, agents, database, config, plan, disk, with a remedy each.

    Exit code 1 when something has to be done first.
    """
    findings = asyncio.run(diagnose(Path.cwd()))
    if as_json:
        output.data(findings)
    else:
        for finding in findings:
            for line in _lines(finding):
                output.line(line)
    broken = any(finding.health is Health.FAIL for finding in findings)
    return ExitCode.FAILED if broken else ExitCode.OK


def _lines(finding: Finding) -> Iterator[str]:
    mark, colour = _MARKS[finding.health]
    first, *rest = clean(finding.message).splitlines() or [""]
    yield f"{style(mark, fg=colour, bold=True)} {finding.check:<11} {first}"
    for line in rest:
        yield f"{'':14}{line}"
    if finding.remedy:
        yield f"{'':14}{style(clean(finding.remedy), fg='cyan')}"
