"""`benchctl clean`: what benchctl keeps on this machine for later runs, given back."""

from __future__ import annotations

import json

import click

from benchctl.cli import options
from benchctl.cli.command import Command
from benchctl.cli.confirm import byte_size, confirm


@click.command(cls=Command, examples=("benchctl clean", "benchctl clean --yes", "benchctl clean --json"))
@options.yes
@options.as_json
def clean(*, yes: bool, as_json: bool) -> None:
    """Remove what benchctl keeps on this machine for later runs.

    Data images, installed instances, agents of other versions, measured capacities of load generators,
    software that was fetched or built for hosts, what Ansible said of inventories, and work folders of runs
    that were not destroyed. Later runs make again what they need. Results stay (`benchctl runs rm` removes
    them), and nothing goes while a run holds the machine.
    With --json and without --yes it only lists.
    """
    from benchctl.agent.layout import cache_folder
    from benchctl.report.text import clean as harmless
    from benchctl.results.cache import Item, removable, remove

    cache = cache_folder()
    items = removable(cache, _current_agent()) if cache.is_dir() else []
    rows = [item._asdict() | {"path": str(item.path)} for item in items]
    for row in rows:
        del row["with_it"]
    total = sum(item.bytes for item in items)
    if as_json:
        if yes:
            remove(cache, items, lambda _: None)
        told = {"schema": 1, "cache": str(cache), "removed": yes, "bytes": total, "items": rows}
        click.echo(json.dumps(told, indent=2))
        return
    if not items:
        click.echo(f"Nothing to remove in {cache}.", err=True)
        return
    for item in items:
        click.echo(
            f"{item.kind:<9} {byte_size(item.bytes):>10}  {harmless(item.name)}  ({harmless(item.about)})"
        )
    click.echo(f"{'total':<9} {byte_size(total):>10}  {cache}")
    confirm("Remove all of it?", yes=yes)

    def gone(item: Item) -> None:
        click.echo(f"removed {item.path}", err=True)

    remove(cache, items, gone)


def _current_agent() -> str:
    """The name of this version's agent, found without adding it to the cache."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from benchctl.agent.build import zipapp

    with TemporaryDirectory(prefix="benchctl-clean-") as folder:
        return zipapp(Path(folder)).name
