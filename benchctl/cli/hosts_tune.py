"""`benchctl hosts tune|verify|restore|knobs`: the knobs of hosts outside of runs."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from benchctl.cli import hosts_select, options
from benchctl.cli.command import Command, LastingCommand
from benchctl.errors import BenchctlError, StepError, UnfitError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchctl.spec.profile import Profile

_TTL = 60.0  # seconds until a host forgets us when we are gone
_LIMIT = 300.0  # seconds; units may take their time to stop
_QUIET = {"unsupported", "already"}

reboot_option = click.option(
    "--reboot", is_flag=True, help="Boot hosts again where something is in force, or gone, only then."
)
profile_option = click.option(
    "--profile",
    default="repeatable",
    show_default=True,
    help="none, repeatable, peak, or a YAML file that extends one.",
)


@click.command(
    cls=LastingCommand,
    examples=(
        "benchctl hosts tune --profile peak",
        "benchctl hosts tune -i inventories/lab dbms --profile mine.yml",
    ),
)
@hosts_select.inventory
@hosts_select.targets
@profile_option
@hosts_select.roles
@click.option("--shared", is_flag=True, help="In a container: change the kernel of its machine too.")
@reboot_option
@hosts_select.ask_become_password
@options.as_json
def tune(
    inventory: Path | None,
    targets: tuple[str, ...],
    profile: str,
    roles: tuple[str, ...],
    *,
    shared: bool,
    reboot: bool,
    ask_become_password: bool,
    as_json: bool,
) -> None:
    """Set the knobs of hosts, until `hosts restore`.

    Without a word: this machine. What is there now is kept on each host before anything is written; a reboot
    brings it back as well, except for kernel parameters, which come into force only then. Needs root on the
    hosts, or sudo. Exit code 1: a knob that is there was refused.
    """
    chosen = profile_of(profile)
    args = {"values": chosen.values, "profile": chosen.name, "kept": True, "shared": shared}
    args["roles"] = list(roles)
    found = ask(
        inventory, targets, "tune", args, leased=True, ask_password=ask_become_password, reboot=reboot
    )
    if as_json:
        click.echo(json.dumps({"schema": 1, "profile": chosen.name, "hosts": found}, indent=2))
    else:
        for host, reply in found.items():
            _print_outcomes(host, reply["knobs"])
            click.echo(f"to undo it on the host itself, as root: {reply['undo']}")
            if reply["reboot"]:
                click.echo(f"{host}: something is in force only after a reboot: --reboot does it", err=True)
    failed = {
        host: names
        for host, reply in found.items()
        if (names := [row["knob"] for row in reply["knobs"] if row["outcome"] == "failed"])
    }
    if failed:
        told = "; ".join(f"{host}: {', '.join(names)}" for host, names in failed.items())
        raise StepError(f"not set: {told}", remedy="the lines above say why; `benchctl hosts restore` undoes")


@click.command(
    cls=Command, examples=("benchctl hosts verify", "benchctl hosts verify -i inventories/lab --json")
)
@hosts_select.inventory
@hosts_select.targets
@options.as_json
def verify(inventory: Path | None, targets: tuple[str, ...], *, as_json: bool) -> None:
    """Compare the knobs that were set with what hosts have now.

    Without a word: this machine. Nothing is changed. Exit code 3: something has drifted.
    """
    found = ask(inventory, targets, "drift", {})
    if as_json:
        click.echo(json.dumps({"schema": 1, "hosts": found}, indent=2))
    else:
        for host, reply in found.items():
            _print_drift(host, reply)
    drifted = [host for host, reply in found.items() if reply["drifts"]]
    if drifted:
        raise UnfitError(f"drifted: {', '.join(drifted)}", remedy="`benchctl hosts tune` sets it again")


@click.command(
    cls=LastingCommand,
    examples=("benchctl hosts restore", "benchctl hosts restore -i inventories/lab --force"),
)
@hosts_select.inventory
@hosts_select.targets
@click.option("--force", is_flag=True, help="Also what somebody else changed meanwhile.")
@reboot_option
@hosts_select.ask_become_password
@options.as_json
def restore(
    inventory: Path | None,
    targets: tuple[str, ...],
    *,
    force: bool,
    reboot: bool,
    ask_become_password: bool,
    as_json: bool,
) -> None:
    """Give hosts back as they were before any tuning, byte for byte.

    Without a word: this machine. What somebody else changed meanwhile is left alone and told; exit code 1.
    """
    args = {"every": True, "force": force}
    found = ask(
        inventory, targets, "restore", args, leased=True, ask_password=ask_become_password, reboot=reboot
    )
    if as_json:
        click.echo(json.dumps({"schema": 1, "hosts": found}, indent=2))
    else:
        for host, reply in found.items():
            _print_restored(host, reply)
            if reply["reboot"]:
                click.echo(f"{host}: its kernel has parameters until a reboot: --reboot does it", err=True)
    wrong = [host for host, reply in found.items() if reply["left"] or reply["failed"]]
    if wrong:
        raise StepError(
            f"not all restored: {', '.join(wrong)}",
            remedy="`--force` restores what somebody else changed; what failed stays in the host's journal",
        )


@click.command("knobs", cls=Command, examples=("benchctl hosts knobs", "benchctl hosts knobs --json"))
@hosts_select.inventory
@hosts_select.targets
@options.as_json
def knobs(inventory: Path | None, targets: tuple[str, ...], *, as_json: bool) -> None:
    """Print what the knobs of hosts are now, also those that are only recorded.

    Without a word: this machine. Nothing is changed.
    """
    found = ask(inventory, targets, "snapshot", {})
    if as_json:
        click.echo(json.dumps({"schema": 1, "hosts": found}, indent=2))
        return
    for host, reply in found.items():
        click.echo(f"# {host}")
        there = [row for row in reply["knobs"] if row["places"]]
        width = max((len(row["knob"]) for row in there), default=0)
        for row in there:
            click.echo(f"{row['knob']:<{width}}  {counted(row['values'])}")
        absent = [row["knob"] for row in reply["knobs"] if not row["places"]]
        click.echo(f"not here: {', '.join(absent) or 'none'}")


def profile_of(source: str) -> Profile:
    """Return a profile by name or path. Raises SpecError."""
    from benchctl.agent.profiles import PROFILES, problems
    from benchctl.spec.profile import read_profile

    return read_profile(source, PROFILES, problems)


def ask(
    inventory: Path | None,
    targets: Sequence[str],
    op: str,
    args: Mapping[str, Any],
    *,
    leased: bool = False,
    as_root: bool = True,
    ask_password: bool = False,
    reboot: bool = False,
) -> dict[str, dict[str, Any]]:
    """Let the agents of the chosen hosts execute one operation; return the replies by host.

    What only reads needs no lock on this machine when no host is named. What is leased may need sudo, unless
    it is not `as_root`. With `reboot` hosts whose reply asks for one boot again, and are tuned again then.
    """
    if inventory is None and not targets and not leased:
        from benchctl.agent.context import Context
        from benchctl.agent.ops import perform

        return {"localhost": perform(Context("knobs", supervised=False), op, dict(args))}
    from benchctl.benchmark.connection import connect_all, merged
    from benchctl.benchmark.fleet import Fleet
    from benchctl.benchmark.reboot import reboot_all

    chosen, experiment = hosts_select.select(inventory, targets)
    if leased and as_root and (password := hosts_select.become_password(experiment, ask=ask_password)):
        args = {**args, "password": password}
    run, owner = f"knobs-{secrets.token_hex(4)}", f"benchctl hosts {op}"
    fleet = Fleet(connect_all(chosen, run, owner=owner, ttl=_TTL))
    try:
        replies = dict(fleet.stream(op, dict(args), timeout=_LIMIT))
        due = [host for host in chosen if reboot and _asks_for_reboot(replies[host.name])]
        if due:
            password = args.get("password", "")
            agents, names = fleet, {host.name for host in due}
            fleet = Fleet({name: agent for name, agent in agents.items() if name not in names})
            booted = reboot_all(due, agents, run, owner=owner, ttl=_TTL, password=password)
            fleet = Fleet({**fleet, **booted})
            if op == "tune":  # what is set at run time was forgotten
                replies |= Fleet(booted).stream(op, dict(args), timeout=_LIMIT)
            else:
                for reply in replies.values():
                    if not isinstance(reply, BenchctlError):
                        reply["reboot"] = False
    finally:
        try:
            fleet.each("end", timeout=_LIMIT)
        finally:
            fleet.close()
    done = {host: reply for host, reply in replies.items() if not isinstance(reply, BenchctlError)}
    errors = [reply for reply in replies.values() if isinstance(reply, BenchctlError)]
    if errors:
        if leased and done:
            click.echo(f"{op} is done on {', '.join(done)}", err=True)
        raise merged(errors)
    return {host.name: done[host.name] for host in chosen}


def _asks_for_reboot(reply: Mapping[str, Any] | BenchctlError) -> bool:
    return not isinstance(reply, BenchctlError) and bool(reply["reboot"])


def counted(values: Mapping[str, int]) -> str:
    """Render values with how often each is there: performance (8), powersave (1)."""
    if len(values) == 1:
        return " ".join(next(iter(values)).split()) or "–"
    shown = [f"{' '.join(value.split()) or '–'} ({count})" for value, count in list(values.items())[:4]]
    more = len(values) - len(shown)
    return ", ".join([*shown, *([f"{more} more"] if more > 0 else [])]) or "–"


def _print_outcomes(host: str, rows: Sequence[Mapping[str, Any]]) -> None:
    click.echo(f"# {host}")
    told = [row for row in rows if row["outcome"] not in _QUIET]
    width = max((len(row["knob"]) for row in told), default=0)
    for row in told:
        change = f"{counted(row['was'])} -> {row['value']}"
        why = f": {row['why']}" if row["why"] else ""
        click.echo(f"{row['outcome']:<8} {row['knob']:<{width}}  {change}{why}")
    for outcome in sorted(_QUIET):
        names = [row["knob"] for row in rows if row["outcome"] == outcome]
        click.echo(f"{outcome}: {', '.join(names) or 'none'}")
    counts = Counter(row["outcome"] for row in rows)
    click.echo(", ".join(f"{count} {outcome}" for outcome, count in counts.most_common()))


def _print_drift(host: str, reply: Mapping[str, Any]) -> None:
    if not reply["places"]:
        click.echo(f"{host}: nothing is tuned")
    for row in reply["drifted"]:
        found = "gone" if row["found"] is None else row["found"]
        click.echo(f"{host}: {row['knob']}: {row['path']}: set to {row['wanted']}, found {found}")
    if reply["places"]:
        profile = f" by {reply['profile']}" if reply["profile"] else ""
        click.echo(f"{host}: {reply['drifts']} of {reply['places']} places differ from what was set{profile}")
    for problem in reply["problems"]:
        click.echo(f"{host}: {problem}", err=True)


def _print_restored(host: str, reply: Mapping[str, Any]) -> None:
    from benchctl.configure.tuning import given_back

    for _, line in given_back(host, reply):
        click.echo(line)
