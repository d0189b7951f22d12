"""What every stack exports: groups of hosts, and how they become the Inventory of a run.

The one contract between the stacks and everything after them. Must not know any provider.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from benchctl.errors import StepError
from benchctl.model.host import Host, Inventory
from benchctl.model.record import Record
from benchctl.provision.openssh import checked
from benchctl.provision.trust import name_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

OUTPUT = "hosts"  # the name under which a stack exports {group: [host, …]}
_PUBLIC_KEY = r"^(ssh-ed25519|ecdsa-sha2-nistp256|ssh-rsa) [A-Za-z0-9+/=]+$"


class StackHost(Record, frozen=True, kw_only=True):
    """One host of a stack; `expires` is the time (s since the epoch) at which it shuts itself down."""

    name: str
    address: str
    private_address: str
    port: Annotated[int, Meta(ge=1, le=65_535)] = 22
    user: str
    host_key: Annotated[str, Meta(pattern=_PUBLIC_KEY, description="type and key, no comment")]
    instance_type: str
    cpus: int | None = None
    zone: str = ""
    price_per_hour: Annotated[
        Annotated[float, Meta(ge=0)] | None, Meta(description="USD; None: not known")
    ] = None
    expires: float


Groups = dict[str, tuple[StackHost, ...]]


def exported(groups: Mapping[str, Sequence[StackHost]]) -> dict[str, list[dict[str, Any]]]:
    """Return groups as a stack exports them under `OUTPUT`."""
    return {name: [msgspec.to_builtins(host) for host in members] for name, members in groups.items()}


def read_outputs(outputs: Mapping[str, Any]) -> Groups:
    """Return the hosts of a stack's outputs. Raises StepError when they do not keep the contract."""
    try:
        # Whole numbers come back from the engine as floats.
        return msgspec.convert(_whole(outputs.get(OUTPUT, {})), Groups)
    except msgspec.ValidationError as error:
        raise StepError(
            f"the stack's output `{OUTPUT}` does not keep the contract: {error}",
            remedy="a stack of one's own exports what benchctl/provision/outputs.py describes",
        ) from error


def to_inventory(groups: Groups, *, identity_file: Path, known_hosts: Path) -> Inventory:
    """Return the hosts as an Inventory; their keys go to `known_hosts`, so the first connection is checked.

    Raises SpecError for a value that could be taken for something else by ssh.
    """
    hosts = {
        host.name: _host(host, identity_file, known_hosts) for members in groups.values() for host in members
    }
    keys = {host.name: host.host_key for members in groups.values() for host in members}
    lines = [f"{name_of(host)} {keys[name]}\n" for name, host in hosts.items()]
    part = known_hosts.with_suffix(".part")
    part.write_text("".join(lines), encoding="ascii")
    part.replace(known_hosts)
    return Inventory(
        groups={name: tuple(hosts[host.name] for host in members) for name, members in groups.items()}
    )


def _host(host: StackHost, identity_file: Path, known_hosts: Path) -> Host:
    options = checked(
        host.name,
        {
            "address": host.address,
            "port": host.port,
            "user": host.user,
            "identity_file": str(identity_file),
            "identities_only": True,
            "known_hosts_file": str(known_hosts),
            "private_address": host.private_address,
        },
    )
    return Host(name=host.name, transport="ssh", options=options)


def _whole(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {key: _whole(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(child) for child in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
