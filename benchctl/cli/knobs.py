"""`benchctl knobs`: the host settings that tuning owns, as their rows say it, and what they are on a host."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from benchctl.cli import hosts_select, options
from benchctl.cli.command import Command, Group
from benchctl.cli.hosts_tune import ask, counted, profile_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from benchctl.agent.knob import Knob

EFFECTS = {"L": "over 5 %", "M": "1 to 5 %", "S": "under 1 %", "T": "the tail", "V": "validity"}


def complete_knob(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's signature
    """Return the knobs that begin with what was typed."""
    from benchctl.agent.knobs import KNOBS

    return [name for name in KNOBS if name.startswith(incomplete)]


@click.group(cls=Group, examples=("benchctl knobs list --profile peak", "benchctl knobs explain"))
def knobs() -> None:
    """List, show and explain the host settings that tuning owns."""


@knobs.command("list", cls=Command, examples=("benchctl knobs list", "benchctl knobs list --profile peak"))
@profile_option
@options.as_json
def list_(profile: str, *, as_json: bool) -> None:
    """List all knobs: their area, effect, and value in a profile."""
    from benchctl.agent.knobs import KNOBS
    from benchctl.cli.hosts_tune import profile_of

    chosen = profile_of(profile)
    if as_json:
        rows = [as_object(knob, chosen.values.get(knob.name)) for knob in KNOBS.values()]
        click.echo(json.dumps({"schema": 1, "profile": chosen.name, "knobs": rows}, indent=2))
        return
    heads = ("knob", "number", "area", "effect", chosen.name, "what it is")
    rows_ = [
        (
            knob.name,
            str(knob.number),
            knob.area,
            knob.effect,
            chosen.values.get(knob.name, _unset(knob)),
            f"{knob.doc} Recorded only: {knob.why}." if knob.why else knob.doc,
        )
        for knob in KNOBS.values()
    ]
    for line in aligned([heads, *rows_]):
        click.echo(line)


@knobs.command(cls=Command, examples=("benchctl knobs show governor", "benchctl knobs show thp --json"))
@click.argument("name", metavar="NAME", shell_complete=complete_knob)
@options.as_json
def show(name: str, *, as_json: bool) -> None:
    """Show all of one knob: where it is, what it may be set to, what excludes it, what it follows."""
    from benchctl.agent.knobs import KNOBS
    from benchctl.errors import UsageError
    from benchctl.spec.problems import did_you_mean

    knob = KNOBS.get(name)
    if knob is None:
        raise UsageError(
            f"there is no knob {name!r}{did_you_mean(name, KNOBS)}", remedy="see `benchctl knobs list`"
        )
    if as_json:
        click.echo(json.dumps({"schema": 1, **as_object(knob, None)}, indent=2))
    else:
        click.echo("\n".join(_text(knob)))


@knobs.command(
    cls=Command, examples=("benchctl knobs explain", "benchctl knobs explain -i inventories/lab db1")
)
@hosts_select.inventory
@hosts_select.targets
@profile_option
@options.as_json
def explain(inventory: Path | None, targets: tuple[str, ...], profile: str, *, as_json: bool) -> None:
    """Tell what would make hosts quieter, by expected effect, and what it costs.

    Without a word: this machine. Nothing is changed.
    """
    from benchctl.cli.hosts_tune import profile_of

    chosen = profile_of(profile)
    found = ask(inventory, targets, "preview", {"values": chosen.values})
    rows = {host: _advice(reply["knobs"]) for host, reply in found.items()}
    if as_json:
        click.echo(json.dumps({"schema": 1, "profile": chosen.name, "hosts": rows}, indent=2))
        return
    for host, advice in rows.items():
        click.echo(f"# {host}")
        for line in aligned([("effect", "knob", "is", "would be", "costs"), *map(_cells, advice["change"])]):
            click.echo(line)
        click.echo(f"set already: {', '.join(advice['set']) or 'none'}")
        click.echo(f"not here, another machine may have it: {', '.join(advice['absent']) or 'none'}")
        click.echo("by hand, in the BIOS or at boot:")
        for row in advice["by_hand"]:
            click.echo(f"  {row['knob']}: {row['costs']}")


def as_object(knob: Knob, value: str | None) -> dict[str, Any]:
    """A knob as `--json` prints it."""
    from benchctl.agent.knob import allowed

    return {
        "knob": knob.name,
        "number": knob.number,
        "area": knob.area,
        "about": knob.doc,
        "effect": knob.effect,
        "places": [place.path for place in knob.places],
        "kind": knob.kind,
        "allowed": allowed(knob),
        "acts": knob.acts,
        "root": knob.acts,
        "reboot": knob.reboot,
        "order": knob.order,
        "cost": knob.cost,
        "recorded_because": knob.why,
        "conflicts": conflicts(knob.name),
        "source": knob.source,
        "value": value,
    }


def conflicts(name: str) -> list[str]:
    """What a knob cannot stand together with, in words."""
    from benchctl.agent.knobs import CONFLICTS

    return [
        f"{one.one} {_value(one.one_value)} with {one.other} {_value(one.other_value)}: {one.reason}"
        for one in CONFLICTS
        if name in {one.one, one.other}
    ]


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Render rows as columns; the last one is as long as it likes."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[-1]]).rstrip()


def _advice(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    from benchctl.agent.knobs import KNOBS

    order = "".join(EFFECTS)
    known = [(KNOBS[row["knob"]], row) for row in rows]
    change = [
        {
            "effect": knob.effect,
            "knob": knob.name,
            "is": row["was"],
            "would_be": row["wants"],
            "costs": knob.cost,
        }
        for knob, row in sorted(known, key=lambda pair: order.index(pair[0].effect[0]))
        if row["differs"]
    ]
    return {
        "change": change,
        "set": [knob.name for knob, row in known if row["places"] and not row["differs"] and not row["why"]],
        "absent": [
            knob.name for knob, row in known if not row["places"] or (row["why"] and not row["differs"])
        ],
        "by_hand": [{"knob": k.name, "costs": k.cost} for k in KNOBS.values() if not k.acts and k.cost],
    }


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (row["effect"], row["knob"], counted(row["is"]), counted(row["would_be"]), row["costs"])


def _text(knob: Knob) -> Iterator[str]:
    from benchctl.agent.knob import allowed
    from benchctl.agent.profiles import PROFILES

    yield f"{knob.name} ({knob.area}, number {knob.number} of 53)"
    yield knob.doc
    yield f"Effect: {', '.join(EFFECTS[letter] for letter in knob.effect)}"
    for place in knob.places:
        yield f"Where: {place.path}"
        for beside in place.beside:
            yield f"  the kernel may change with it, so it is given back too: {beside}"
    yield f"May be set to: {allowed(knob)}"
    for name, values in PROFILES.items():
        if knob.name in values:
            yield f"In the profile {name}: {values[knob.name]}"
    if knob.acts:
        needs = "root" if knob.kind != "held" else "root, and a process that holds the request"
        yield f"Needs: {needs}{'' if knob.own else '; in a container it is the whole machine’s'}"
    if knob.why:
        yield f"Only recorded: {knob.why}"
    if knob.cost:
        yield f"Costs: {knob.cost}"
    for conflict in conflicts(knob.name):
        yield f"Excludes: {conflict}"
    yield f"After: {knob.source}"


def _unset(knob: Knob) -> str:
    return "–" if knob.acts else "recorded"


def _value(pattern: str) -> str:
    if not pattern:
        return "left alone"
    return {"*": "set"}.get(pattern, pattern.replace("!", "other than "))
