"""`benchctl hosts`: what can be known of a host outside any run."""

from __future__ import annotations

import json

import click

from benchctl.cli import options
from benchctl.cli.command import Command, Group


@click.group(cls=Group, examples=("benchctl hosts fingerprint",))
def hosts() -> None:
    """Look at hosts outside of runs."""


@hosts.command(
    cls=Command,
    examples=("benchctl hosts fingerprint", "benchctl hosts fingerprint --json > this-machine.json"),
)
@options.as_json
def fingerprint(*, as_json: bool) -> None:
    """Print every fact about this machine that can change a number.

    The same facts are kept with each run and decide whether two runs can be compared. Values that look like
    secrets are hidden. Nothing is changed, and no lock is taken.
    """
    from benchctl.agent.context import Context
    from benchctl.agent.fingerprint import fingerprint as read_facts

    facts = read_facts(Context("fingerprint", supervised=False))["facts"]
    if as_json:
        click.echo(json.dumps({"schema": 1, "facts": facts}, indent=2))
        return
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
