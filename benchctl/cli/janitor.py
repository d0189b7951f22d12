"""`benchctl janitor`: what runs left behind at a provider, found by tags, and removed when asked to."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from benchctl.cli import options
from benchctl.cli.command import Command
from benchctl.errors import BenchctlError, StackError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchctl.model.experiment import Hosts
    from benchctl.provision.janitor import Leftover


@click.command(
    cls=Command,
    examples=("benchctl janitor", "benchctl janitor --remove", "benchctl janitor my-cloud.yml --all"),
)
@click.argument("experiment", required=False)
@click.option("--run", help="Only what this run made, whatever its expiry.")
@click.option("--all", "everything", is_flag=True, help="What is not past its expiry, too.")
@click.option("--remove", "removing", is_flag=True, help="Remove what is listed; without it nothing changes.")
@options.as_json
def janitor(
    experiment: str | None, run: str | None, *, everything: bool, removing: bool, as_json: bool
) -> None:
    """List what runs left behind at a provider, and remove it when asked to.

    It is found by its tags, so without any workspace or state. EXPERIMENT says which provider, and where to
    look; without it: containers and networks of this machine. Only what is past its expiry is listed.
    """
    from benchctl.provision.janitor import leftovers
    from benchctl.report.text import clean

    provider, hosts = _where(experiment)
    now = time.time()
    found = leftovers(provider, run=run, hosts=hosts)
    chosen = [item for item in found if everything or run is not None or item.expires < now]
    if as_json:
        rows = [{**_row(item), "expired": item.expires < now} for item in chosen]
        click.echo(
            json.dumps({"schema": 1, "provider": provider, "removed": removing, "items": rows}, indent=2)
        )
    for item in () if as_json else chosen:
        age = "past its expiry" if item.expires < now else "not expired"
        price = "price not known" if item.price_per_hour is None else f"{item.price_per_hour:.2f} USD/h"
        click.echo(clean(f"{item.kind:<8} {item.name}  run {item.run} of {item.owner}, {age}, {price}"))
    _tell_rest(len(found) - len(chosen), provider, nothing=not chosen)
    if removing:
        _remove(chosen)
    elif chosen:
        click.echo("nothing was removed; --remove does that", err=True)


def _where(experiment: str | None) -> tuple[str, Hosts | None]:
    if experiment is None:
        return "lab", None
    from benchctl.provision.janitor import PROVIDERS
    from benchctl.provision.stack import provider_of
    from benchctl.spec import load

    hosts = load(experiment).experiment.hosts
    provider = provider_of(hosts)
    if provider not in PROVIDERS:
        raise UsageError(f"{experiment} has the provider {provider}, which makes no hosts")
    return provider, hosts


def _row(item: Leftover) -> dict[str, object]:
    return {name: getattr(item, name) for name in item.__struct_fields__}


def _tell_rest(others: int, provider: str, *, nothing: bool) -> None:
    if nothing:
        click.echo(f"nothing to remove at provider {provider}", err=True)
    if others:
        click.echo(f"{others} more are not past their expiry: --all lists them", err=True)


def _remove(chosen: Sequence[Leftover]) -> None:
    """Remove all that can be; what cannot is told at the end."""
    from benchctl.provision.janitor import remove

    failed = []
    for item in chosen:
        try:
            remove(item)
        except BenchctlError as error:
            failed.append(f"{item.kind} {item.name}: {error.detail}")
        else:
            click.echo(f"removed {item.kind} {item.name}", err=True)
    if failed:
        raise StackError("\n".join(failed), remedy="run the command again; it goes on with what is left")
