"""`benchctl schema`: for editors and for other programs."""

from __future__ import annotations

import json

import click

from benchctl.cli.command import Command


@click.command(cls=Command, examples=("benchctl schema > experiment.schema.json",))
def schema() -> None:
    """Print the JSON Schema of the experiment file."""
    from benchctl.spec import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
