"""Hosts for an experiment, as one Inventory; and the inventory in Ansible's own shape.

Owns where hosts come from and their fitness. Must not install or change anything on a host.
"""

from benchctl.provision.inventory import from_ansible, to_ansible
from benchctl.provision.local import LocalProvisioner
from benchctl.provision.provisioner import Provisioner

__all__ = ["LocalProvisioner", "Provisioner", "from_ansible", "to_ansible"]
