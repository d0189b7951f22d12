"""`benchctl hosts import`: an inventory from what a testbed says of its machines."""

from __future__ import annotations

from pathlib import Path

import click

from benchctl.cli.command import Command
from benchctl.errors import FileError, UsageError


@click.command(
    "import",
    cls=Command,
    examples=(
        "benchctl hosts import manifest.xml",
        "benchctl hosts import manifest.xml --group dbms=node0 --group loader=node1,node2 --output lab.yml",
    ),
)
@click.argument("manifest", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--group",
    "groups",
    multiple=True,
    metavar="NAME=NODE,…",
    help="A host group; may be repeated. Else the first node is dbms and the others are loader.",
)
@click.option("--user", help="The login to take where a node has several.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write a new file instead of stdout."
)
def import_(manifest: Path, groups: tuple[str, ...], user: str | None, output: Path | None) -> None:
    """Print an Ansible inventory of a CloudLab (GENI RSpec) manifest."""
    from benchctl.provision.manifest import read_manifest, to_yaml

    chosen = {}
    for group in groups:
        name, equals, nodes = group.partition("=")
        if not (name and equals and nodes):
            raise UsageError(f"--group {group!r} is not NAME=NODE,NODE,…")
        chosen[name] = nodes.split(",")
    text = to_yaml(read_manifest(manifest, user), chosen)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise FileError(
            f"{output}: {error.strerror}", remedy="name a file that does not exist yet"
        ) from error
