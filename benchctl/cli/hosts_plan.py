"""`benchctl hosts plan`: a host's CPUs as a picture, and who gets which."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from benchctl.cli import hosts_select, options
from benchctl.cli.command import Command
from benchctl.cli.hosts_tune import ask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

WIDTH = 78  # characters of a line
_LETTERS = {"housekeeping": "H", "dbms": "D", "loader": "L"}
_NOBODY = "."


@click.command(
    "plan",
    cls=Command,
    examples=("benchctl hosts plan", "benchctl hosts plan -i inventories/lab db1 --roles dbms,loader"),
)
@hosts_select.inventory
@hosts_select.targets
@hosts_select.roles
@options.as_json
def plan(inventory: Path | None, targets: tuple[str, ...], roles: tuple[str, ...], *, as_json: bool) -> None:
    """Draw the CPUs of hosts, and who gets which of them.

    Without a word: this machine. Nothing is changed. The knob cpu_sets with the value plan brings it about.
    """
    found = ask(inventory, targets, "plan", {"roles": list(roles)})
    if as_json:
        click.echo(json.dumps({"schema": 1, "roles": list(roles), "hosts": found}, indent=2))
        return
    for host, reply in found.items():
        for line in drawn(host, reply):
            click.echo(line)


def drawn(host: str, reply: Mapping[str, Any]) -> Iterator[str]:
    """Yield the picture of one host, in lines of at most 80 characters."""
    cores = reply["cores"]
    sockets, nodes = len({core[1] for core in cores}), len({core[2] for core in cores})
    total = sum(len(_numbers(core[0])) for core in cores)
    counted = {"socket": sockets, "node": nodes, "core": len(cores), "CPU": total}
    yield f"# {host}: {', '.join(_many(count, what) for what, count in counted.items())}"
    owners = _owners(reply)
    ordered = sorted(cores, key=lambda core: (core[1], core[2], min(_numbers(core[0]))))
    cells = [_cell(core[0], owners) for core in ordered]
    width = max(map(len, cells), default=0)
    for (socket, node), members in groupby(
        zip(ordered, cells, strict=True), lambda one: (one[0][1], one[0][2])
    ):
        card = ", the network card's" if node == reply["node"] else ""
        yield f"socket {socket}, node {node}{card}"
        yield from _rows([cell.ljust(width) for _, cell in members])
    yield from _legend(reply)


def _owners(reply: Mapping[str, Any]) -> dict[int, str]:
    parts = {"housekeeping": reply["housekeeping"], **reply["parts"]}
    return {cpu: _LETTERS[role] for role, cpus in parts.items() for cpu in _numbers(cpus)}


def _cell(cpus: str, owners: Mapping[int, str]) -> str:
    """Render one core: whose it is, and its CPUs, which are threads of it."""
    numbers = sorted(_numbers(cpus))
    return f"{owners.get(numbers[0], _NOBODY)} {'+'.join(map(str, numbers))}"


def _rows(cells: list[str]) -> Iterator[str]:
    count = max(1, (WIDTH - 2) // (len(cells[0]) + 3))
    for at in range(0, len(cells), count):
        yield f"  [{'] ['.join(cells[at : at + count])}]"


def _legend(reply: Mapping[str, Any]) -> Iterator[str]:
    parts = {"housekeeping": reply["housekeeping"], **reply["parts"]}
    for role, cpus in parts.items():
        if cpus:
            yield f"{_LETTERS[role]} {role:<12}  {_cut(cpus)}"
    if reply["why"]:
        yield "no plan:"
        yield f"  {reply['why']}"
        yield "  cpu_sets, isolated_partition and boot_isolation are unsupported here; what is"
        yield "  measured runs wherever the kernel puts it, beside everything else"


def _cut(cpus: str) -> str:
    """Break a long list of CPUs, which has no spaces, into lines that are indented alike."""
    lines, line = [], ""
    for part in cpus.split(","):
        if line and len(line) + len(part) + 1 > WIDTH - 16:
            lines.append(f"{line},")
            line = ""
        line += f",{part}" if line else part
    return f"\n{'':16}".join([*lines, line])


def _numbers(cpus: str) -> frozenset[int]:
    from benchctl.agent.forms import cpus as numbers

    return numbers(cpus)


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
