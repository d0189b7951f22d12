"""`benchctl hosts check`: whether hosts can be measured, side by side."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from benchctl.cli import hosts_select, options
from benchctl.cli.command import Command
from benchctl.errors import UnfitError

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.provision.fitness import Check


@click.command(
    cls=Command,
    examples=(
        "benchctl hosts check -i inventories/lab",
        "benchctl hosts check -i inventories/lab loader --become",
        "benchctl hosts check pg-two-loaders.yml --json",
    ),
)
@hosts_select.inventory
@hosts_select.targets
@click.option("--become", is_flag=True, help="Count a host without usable sudo as unfit.")
@hosts_select.ask_become_password
@options.as_json
def check(
    inventory: Path | None,
    targets: tuple[str, ...],
    *,
    become: bool,
    ask_become_password: bool,
    as_json: bool,
) -> None:
    """Check hosts: key, sudo, Python, disk, cores, kernel, clock, and what disturbs.

    Without a word: this machine. All hosts are asked at once; nothing is installed and nothing is changed.
    Exit code 0: all fit; 3: at least one is not.
    """
    from benchctl.provision.fit import examine

    hosts, experiment = hosts_select.select(inventory, targets)
    password = hosts_select.become_password(experiment, ask=ask_become_password)
    found = examine(hosts, sudo=become, password=password)
    unfit = [name for name, checks in found.items() if not all(one.fit for one in checks)]
    if as_json:
        rows = {name: [one._asdict() for one in checks] for name, checks in found.items()}
        click.echo(json.dumps({"schema": 1, "fit": not unfit, "hosts": rows}, indent=2))
    else:
        _print(found)
    if unfit:
        raise UnfitError(f"not fit: {', '.join(unfit)}", remedy="the lines above say what helps")


def _print(found: dict[str, list[Check]]) -> None:
    """A line for each host; below it what is not fit, in full."""
    heads = ["host", *(one.name for one in next(iter(found.values()), []))]
    rows = [
        [name, *(one.found if one.fit or one.found == "–" else "FAIL" for one in checks)]
        for name, checks in found.items()
    ]
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    for row in [heads, *rows]:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    for name, checks in found.items():
        for one in checks:
            if not one.fit and one.found != "–":
                click.echo(f"\n{name}: {one.name}: {one.found}")
                click.echo(f"  to do: {one.remedy}" if one.remedy else "", nl=bool(one.remedy))
