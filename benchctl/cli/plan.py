"""`benchctl plan`: what would happen, and how long it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchctl.cli import options
from benchctl.cli.command import Command
from benchctl.cli.terminal import terminal

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    cls=Command,
    examples=(
        "benchctl plan quickstart",
        "benchctl plan my-experiment.yml --set design.blocks=20 --cv 1.5",
    ),
)
@options.experiment
@options.sets
@options.roles_path
@click.option(
    "--cv",
    "cvs",
    multiple=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Coefficient of variation between trials in percent, for the detectable effect; may be repeated.",
)
@options.workspace
@options.as_json
def plan(
    experiment: str,
    sets: tuple[str, ...],
    roles_paths: tuple[Path, ...],
    cvs: tuple[float, ...],
    workspace: Path | None,
    *,
    as_json: bool,
) -> None:
    """Show what a run would do and how long it takes.

    Nothing is executed and nothing is written. What data takes that earlier runs of the workspace made and
    gave back is known from them.
    """
    from benchctl.plan import make, with_costs
    from benchctl.report.plan import render
    from benchctl.results.data_costs import data_costs
    from benchctl.results.workspace import workspace as default_workspace
    from benchctl.spec import load

    made = make(load(experiment, sets=sets, roles_paths=roles_paths), cvs=[cv / 100 for cv in cvs])
    made = with_costs(made, data_costs(default_workspace(workspace), made.images))
    click.echo(render(made, "json" if as_json else "terminal", **terminal()).rstrip("\n"))
