"""Hosts for an experiment, as one Inventory; and the inventory in Ansible's own shape.

Owns where hosts come from, how they are reached and their fitness. Must not install or change anything on
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchctl.errors import UsageError
from benchctl.provision.inventory import from_ansible, to_ansible
from benchctl.provision.local import LocalProvisioner
from benchctl.provision.provisioner import HostMaker, Provisioner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchctl.model.experiment import Experiment

__all__ = [
    "HostMaker",
    "LocalProvisioner",
    "Making",
    "Provisioner",
    "from_ansible",
    "provisioner_for",
    "to_ansible",
]


class Making(NamedTuple):
    """What it takes to make hosts: workspace, the run's folder, who is told, what stops it."""

    root: Path
    folder: Path
    say: Callable[[str], None]
    cancelled: Callable[[], bool]
    unlock: bool = False  # remove the lock that a dead engine left


def provisioner_for(
    experiment: Experiment, keep: Path | None = None, making: Making | None = None
) -> Provisioner:
    """Return what gives the hosts that the experiment's provider names.

    `keep` is a folder for what need not be worked out again; without it nothing is kept.
    Raises UsageError for hosts that only a run makes, without `making`.
    """
    from benchctl.model.experiment import InventoryHosts, LocalHosts

    if isinstance(experiment.hosts, InventoryHosts):
        from benchctl.provision.static import InventoryProvisioner  # late: threads and programs

        return InventoryProvisioner(keep)
    if isinstance(experiment.hosts, LocalHosts):
        return LocalProvisioner()
    if making is None:
        raise UsageError(
            "the hosts of this experiment are made when it runs",
            remedy="after `benchctl provision`, name them by -i runs/…/inventory.json",
        )
    from benchctl.provision.place import Place
    from benchctl.provision.stack import StackProvisioner

    return StackProvisioner(
        Place(making.root, making.folder),
        experiment.hosts,
        say=making.say,
        cancelled=making.cancelled,
        unlock=making.unlock,
    )
