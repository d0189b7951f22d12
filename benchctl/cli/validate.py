"""`benchctl validate`: is the file right?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchctl.cli import options
from benchctl.cli.command import Command
from benchctl.cli.notices import notice_single_levels

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    cls=Command,
    examples=(
        "benchctl validate my-experiment.yml",
        "benchctl validate quickstart --set design.blocks=20",
    ),
)
@options.experiment
@options.sets
@options.roles_path
@options.as_json
def validate(experiment: str, sets: tuple[str, ...], roles_paths: tuple[Path, ...], *, as_json: bool) -> None:
    """Check an experiment file; every error with its place.

    EXPERIMENT is a path, or the name of a shipped experiment (quickstart, aa, …).
    Exit code 0: valid; 2: not.
    """
    from benchctl.spec import load

    spec = load(experiment, sets=sets, roles_paths=roles_paths)
    notice_single_levels(spec.experiment)
    if as_json:
        import json

        click.echo(json.dumps({"schema": 1, "valid": True, "experiment": spec.experiment.name}))
    else:
        click.echo(f"{spec.path}: valid")
