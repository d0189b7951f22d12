"""`benchctl hosts trust`: show the keys of hosts, and record the new ones when somebody agrees."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from benchctl.cli import hosts_select, options
from benchctl.cli.command import Command
from benchctl.cli.confirm import confirm
from benchctl.errors import UnfitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchctl.model.host import Host
    from benchctl.provision.trust import Shown

_AT_ONCE = 32
_SIGNATURES = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}  # a kind of key and the names of its signatures


class Finding(NamedTuple):
    """A host, what it showed, and how that stands to known_hosts: known, new, changed, revoked, unreached."""

    host: Host
    shown: Shown
    state: str


@click.command(
    cls=Command,
    examples=(
        "benchctl hosts trust -i inventories/lab",
        "benchctl hosts trust pg-two-loaders.yml",
        "benchctl hosts trust -i inventories/lab db1 --yes",
    ),
)
@hosts_select.inventory
@hosts_select.targets
@options.yes
@options.as_json
def trust(inventory: Path | None, targets: tuple[str, ...], *, yes: bool, as_json: bool) -> None:
    """Show the keys of hosts and their bastions; record new ones after asking.

    Compare the fingerprints with what the hosts' owner or their consoles say. A key that has changed is never
    replaced. Exit code 0: every key is known now; 3: a host was not reached, or its key has changed.
    """
    from benchctl.provision.trust import bastions

    hosts, _ = hosts_select.select(inventory, targets)
    remote = [host for host in hosts if host.transport == "ssh"]
    found: list[Finding] = []
    for batch in [*([bastion] for bastion in bastions(remote)), remote]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            looked = list(pool.map(_look, batch))
        found += _settle(looked, yes=yes, quiet=as_json)
    if as_json:
        click.echo(json.dumps({"schema": 1, "hosts": [_row(one) for one in found]}, indent=2))
    bad = [one for one in found if one.state not in {"known", "recorded"}]
    if bad:
        raise UnfitError(
            "\n".join(f"{one.host.name}: {_why(one)}" for one in bad),
            remedy="a changed key: find out why, then remove the old one with ssh-keygen -R",
        )


def _look(host: Host) -> Finding:
    from benchctl.benchmark.known_hosts import look_up
    from benchctl.provision.trust import fetch

    alias = host.options.get("host_key_alias")
    port = 22 if alias else int(host.options.get("port", 22))
    known = look_up(
        [Path(str(host.options["known_hosts_file"]))], str(alias or host.options["address"]), port
    )
    kinds = dict.fromkeys(name for kind, _ in known.keys for name in _SIGNATURES.get(kind, (kind,)))
    shown = fetch(host, tuple(kinds))
    if shown.failure and kinds:  # it has none of the kinds that are recorded any more
        shown = fetch(host)
    if shown.failure:
        return Finding(host, shown, "unreached")
    blob = base64.b64decode(shown.key)
    if blob in known.revoked:
        return Finding(host, shown, "revoked")
    if not known.keys:
        return Finding(host, shown, "new")
    return Finding(host, shown, "known" if (shown.kind, blob) in known.keys else "changed")


def _settle(found: Sequence[Finding], *, yes: bool, quiet: bool) -> list[Finding]:
    """Show what was found, ask once about all new keys, and record them."""
    from benchctl.provision.trust import record

    for one in found:
        click.echo(f"{one.host.name:<20} {one.state:<9} {_described(one)}", err=quiet)
    fresh = [one for one in found if one.state == "new"]
    if not fresh:
        return list(found)
    files = ", ".join(sorted({str(one.host.options["known_hosts_file"]) for one in fresh}))
    confirm(f"Record {len(fresh)} new key{'s' * (len(fresh) > 1)} in {files}?", yes=yes)
    for one in fresh:
        record(one.host, one.shown)
    click.echo(f"Recorded {len(fresh)} new key{'s' * (len(fresh) > 1)} in {files}.", err=True)
    return [one._replace(state="recorded") if one.state == "new" else one for one in found]


def _described(one: Finding) -> str:
    address = f"{one.host.options['address']} port {one.host.options.get('port', 22)}"
    if one.shown.failure:
        return f"{address}: {one.shown.failure}"
    return f"{address}: {one.shown.kind} {_fingerprint(one.shown)}"


def _fingerprint(shown: Shown) -> str:
    from benchctl.benchmark.known_hosts import fingerprint

    return fingerprint(base64.b64decode(shown.key))


def _why(one: Finding) -> str:
    if one.state == "changed":
        place = one.host.options["known_hosts_file"]
        return f"its key has CHANGED; {place} has another one. It is not recorded"
    return "its key is revoked" if one.state == "revoked" else f"not reached: {one.shown.failure}"


def _row(one: Finding) -> dict[str, object]:
    return {
        "host": one.host.name,
        "address": one.host.options["address"],
        "port": one.host.options.get("port", 22),
        "state": one.state,
        "kind": one.shown.kind or None,
        "fingerprint": None if one.shown.failure else _fingerprint(one.shown),
        "failure": one.shown.failure or None,
    }
