"""Hosts for an experiment, as one Inventory; and the inventory in Ansible's own shape.

Owns where hosts come from, how they are reached and their fitness. Must not install or change anything on
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchctl.provision.inventory import from_ansible, to_ansible
from benchctl.provision.local import LocalProvisioner
from benchctl.provision.provisioner import Provisioner

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.model.experiment import Experiment

__all__ = ["LocalProvisioner", "Provisioner", "from_ansible", "provisioner_for", "to_ansible"]


def provisioner_for(experiment: Experiment, keep: Path | None = None) -> Provisioner:
    """Return what gives the hosts that the experiment's provider names.

    `keep` is a folder for what need not be worked out again; without it nothing is kept.
    """
    from benchctl.model.experiment import InventoryHosts

    if isinstance(experiment.hosts, InventoryHosts):
        from benchctl.provision.static import InventoryProvisioner  # late: threads and programs

        return InventoryProvisioner(keep)
    return LocalProvisioner()
