"""This machine as every host group. Must not change anything: there is nothing to make or to take away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchctl.errors import SpecError
from benchctl.model.host import Host, Inventory

if TYPE_CHECKING:
    from benchctl.model.experiment import Experiment

NAME = "localhost"


class LocalProvisioner:
    """Gives the one host that is always there."""

    def provision(self, experiment: Experiment) -> Inventory:
        """Return this machine in the experiment's groups, and in dbms and loader where it has these parts.

        Raises SpecError when a group wants more than one host: there is only one here.
        """
        groups = experiment.hosts.groups
        crowded = [name for name, group in groups.items() if group.count > 1]
        if crowded:
            raise SpecError(
                f"hosts.groups.{crowded[0]}.count is {groups[crowded[0]].count}, "
                "but provider local has one host: this machine",
                remedy="leave count at 1",
            )
        names = [*(["dbms"] if experiment.dbms else []), "loader", *groups]
        host = Host(name=NAME, transport="pipe")
        return Inventory(groups=dict.fromkeys(names, (host,)))
