"""The hosts of a molecule scenario: `create` and `destroy`, which the playbooks in molecule/ call.

Containers of the lab with what a run's hosts have: labels by which `benchctl clean` finds what a killed
molecule left, and a time after which they shut themselves down. Molecule's environment says what is wanted.
"""

from __future__ import annotations

import getpass
import json
import os
import secrets
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ruamel.yaml import YAML

from benchctl.errors import UsageError
from benchctl.provision.janitor import leftovers, remove
from benchctl.provision.keys import kept_key
from benchctl.provision.lab import machines, packages
from benchctl.provision.lab.image import host_recipe, image
from benchctl.provision.request import EXPIRES, OWNER, RUN
from benchctl.software.script import errors_end_it

if TYPE_CHECKING:
    from collections.abc import Sequence

LIFE = 3600  # seconds until a host that nobody destroys shuts itself down


def create(folder: Path, names: Sequence[str]) -> list[dict[str, object]]:
    """Make the hosts; return what molecule has to know of them. Raises StackError, and leaves none then.

    The folder gets the run's name, the key of who may log in, and `known_hosts`.
    """
    run = f"molecule-{secrets.token_hex(4)}"
    (folder / "run").write_text(run, encoding="ascii")
    key = folder / "key"
    labels = {RUN: run, OWNER: f"{getpass.getuser()}@{socket.gethostname()}"}
    labels[EXPIRES] = str(int(time.time()) + LIFE)
    subnet = machines.ensure_network(run, labels)
    hosts = image(host_recipe())
    made: list[dict[str, object]] = []
    known: list[str] = []
    for index, name in enumerate(names):
        machine = machines.Machine(
            name=name,
            network=run,
            address=machines.address_in(subnet, index),
            image=hosts,
            public_key=kept_key(key),
            labels=labels,
            volumes=packages.volumes(hosts),
        )
        known.append(f"{machine.address} {machines.boot(machine)}\n")
        made.append(
            {
                "instance": name,
                "address": machine.address,
                "user": "root",
                "port": 22,
                "identity_file": str(key),
            }
        )
    (folder / "known_hosts").write_text("".join(known), encoding="ascii")
    return made


def destroy(folder: Path) -> None:
    """Remove what `create` made with this folder; the packages that the hosts downloaded stay here."""
    try:
        run = (folder / "run").read_text(encoding="ascii")
    except FileNotFoundError:
        return
    for leftover in leftovers("lab", run=run):
        if leftover.kind == "host" and machines.is_running(leftover.name):
            packages.keep(leftover.name)
        remove(leftover)
    (folder / "run").unlink()


def main(arguments: Sequence[str]) -> None:
    """Do one verb for the scenario that the environment tells of. Raises BenchctlError."""
    folder = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
    if arguments == ["create"]:
        scenario = YAML(typ="safe").load(Path(os.environ["MOLECULE_FILE"]))
        made = create(folder, [platform["name"] for platform in scenario["platforms"]])
        Path(os.environ["MOLECULE_INSTANCE_CONFIG"]).write_text(json.dumps(made), encoding="utf-8")
    elif arguments == ["destroy"]:
        destroy(folder)
    else:
        raise UsageError(f"found {arguments}", remedy="create or destroy, by the playbooks of molecule/")


if __name__ == "__main__":
    with errors_end_it():
        main(sys.argv[1:])
