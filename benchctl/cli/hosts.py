"""`benchctl hosts`: what can be known of a host outside any run."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import click

from benchctl.cli import hosts_select, options
from benchctl.cli.command import Command, Group
from benchctl.cli.hosts_check import check
from benchctl.cli.hosts_import import import_
from benchctl.cli.hosts_noise import noise
from benchctl.cli.hosts_plan import plan
from benchctl.cli.hosts_trust import trust
from benchctl.cli.hosts_tune import knobs, restore, tune, verify

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchctl.model.host import Host

_TTL = 60.0  # seconds until a host forgets us when we are gone
_LIMIT = 60.0  # seconds; a fingerprint takes 10 at most


@click.group(cls=Group, examples=("benchctl hosts check -i inventories/lab", "benchctl hosts fingerprint"))
def hosts() -> None:
    """Look at hosts outside of runs, tune them and give them back."""


hosts.add_command(check)
hosts.add_command(trust)
hosts.add_command(import_)
hosts.add_command(plan)
hosts.add_command(tune)
hosts.add_command(verify)
hosts.add_command(restore)
hosts.add_command(knobs)
hosts.add_command(noise)


@hosts.command(
    cls=Command,
    examples=(
        "benchctl hosts fingerprint",
        "benchctl hosts fingerprint --json > this-machine.json",
        "benchctl hosts fingerprint -i inventories/lab db1",
    ),
)
@hosts_select.inventory
@hosts_select.targets
@options.as_json
def fingerprint(inventory: Path | None, targets: tuple[str, ...], *, as_json: bool) -> None:
    """Print every fact about hosts that can change a number.

    Without a word: this machine, and no lock is taken. The same facts are kept with each run and decide
    whether two runs can be compared. Values that look like secrets are hidden. Nothing is changed.
    """
    if inventory is None and not targets:
        facts = _facts_here()
        if as_json:
            click.echo(json.dumps({"schema": 1, "facts": facts}, indent=2))
        else:
            _print(facts)
        return
    found = _facts_of(hosts_select.select(inventory, targets)[0])
    if as_json:
        click.echo(json.dumps({"schema": 1, "hosts": found}, indent=2))
        return
    for host, facts in found.items():
        click.echo(f"# {host}")
        _print(facts)


def _facts_here() -> dict[str, Any]:
    from benchctl.agent.context import Context
    from benchctl.agent.fingerprint import fingerprint as read_facts

    facts: dict[str, Any] = read_facts(Context("fingerprint", supervised=False))["facts"]
    return facts


def _facts_of(chosen: Sequence[Host]) -> dict[str, dict[str, Any]]:
    """Start an agent on each host, ask it, and take it away again."""
    from benchctl.benchmark.connection import connect_all
    from benchctl.benchmark.fleet import Fleet

    run = f"fingerprint-{secrets.token_hex(4)}"
    fleet = Fleet(connect_all(chosen, run, owner="benchctl hosts fingerprint", ttl=_TTL))
    try:
        replies = fleet.each("fingerprint", timeout=_LIMIT)
        fleet.each("end", timeout=_LIMIT)
    finally:
        fleet.close()
    return {host: reply["facts"] for host, reply in replies.items()}


def _print(facts: dict[str, Any]) -> None:
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        click.echo(f"{name:<{width}}  {_shown(value)}")


def _shown(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return "; ".join(_shown(one) for one in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(one)}" for key, one in value.items())
    return " ".join(str(value).split())
