"""`benchctl doctor`: what this machine needs, each finding with its remedy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from benchctl.cli import options
from benchctl.cli.command import Command
from benchctl.errors import UnfitError
from benchctl.results.workspace import workspace as default_workspace

if TYPE_CHECKING:
    from pathlib import Path


@click.command(cls=Command, examples=("benchctl doctor",))
@options.workspace
@options.as_json
def doctor(workspace: Path | None, *, as_json: bool) -> None:
    """Check what this machine needs, with a remedy for each finding.

    Exit code 0: fit; 3: something is missing.
    """
    from benchctl.agent.layout import cache_folder
    from benchctl.provision.fitness import examine

    checks = examine(default_workspace(workspace), cache_folder())
    if as_json:
        rows = [check._asdict() for check in checks]
        click.echo(json.dumps({"schema": 1, "fit": all(c.fit for c in checks), "checks": rows}, indent=2))
    else:
        for check in checks:
            click.echo(f"{'ok  ' if check.fit else 'FAIL'}  {check.name:<12} {check.found}")
            if not check.fit:
                click.echo(f"      {'':<12} to do: {check.remedy}")
    unfit = [check.name for check in checks if not check.fit]
    if unfit:
        raise UnfitError(f"not fit: {', '.join(unfit)}", remedy="the lines above say what helps")
