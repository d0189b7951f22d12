"""Create, read, update and delete of the stack's own resources; the engine starts these in a process.

Must not know the program: a provider gets the properties of one resource and nothing else.
"""

from __future__ import annotations

from typing import Any

from pulumi.dynamic import (
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    ResourceProvider,
    UpdateResult,
)

from benchctl.provision.lab import machines
from benchctl.provision.lab.image import host_recipe, image
from benchctl.provision.lab.vm import Hardware, vm_recipe
from benchctl.provision.orphan import end_with_parent
from benchctl.provision.request import EXPIRES, RUN

Props = dict[str, Any]
_NEW_HOST = (
    *("name", "index", "network", "subnet", "kind", "accelerator", "image"),
    *("cpus", "memory", "public_key"),
)
_GONE = ""  # the id of what is not there any more


class _Provider(ResourceProvider):
    def configure(self, req: ConfigureRequest) -> None:
        """Called in the provider's own process, before anything else."""
        super().configure(req)
        end_with_parent()


class NetworkProvider(_Provider):
    """The run's network; its labels are as old as itself."""

    def create(self, props: Props) -> CreateResult:
        subnet = machines.ensure_network(props["name"], props["labels"])
        return CreateResult(props["name"], {**props, "subnet": subnet})

    def diff(self, _id: str, _olds: Props, _news: Props) -> DiffResult:
        return DiffResult(
            changes=_olds["name"] != _news["name"], replaces=["name"] * (_olds["name"] != _news["name"])
        )

    def read(self, id_: str, props: Props) -> ReadResult:
        subnet = machines.subnet_of(id_)
        return ReadResult(id_ if subnet else _GONE, {**props, "subnet": subnet} if subnet else {})

    def delete(self, _id: str, _props: Props) -> None:
        machines.remove("network", _id, _props["name"])


class HostProvider(_Provider):
    """A container or a VM; only its expiry can be changed while it runs."""

    def create(self, props: Props) -> CreateResult:
        hardware = None
        if props["kind"] == "vm":
            hardware = Hardware(props["accelerator"], int(props["cpus"]), int(props["memory"]))
        machine = machines.Machine(
            name=props["name"],
            network=props["network"],
            address=machines.address_in(props["subnet"], int(props["index"])),
            image=props["image"] or image(vm_recipe() if hardware else host_recipe()),
            public_key=props["public_key"],
            labels=props["labels"],
            cpus=props.get("cpus"),
            memory=int(props["memory"]) if props.get("memory") else None,
            hardware=hardware,
        )
        key = machines.boot(machine)
        return CreateResult(machine.container, {**props, "address": machine.address, "host_key": key})

    def diff(self, _id: str, _olds: Props, _news: Props) -> DiffResult:
        replaces = [name for name in _NEW_HOST if _olds.get(name) != _news.get(name)]
        extended = _olds["labels"][EXPIRES] != _news["labels"][EXPIRES]
        return DiffResult(changes=bool(replaces) or extended, replaces=replaces, delete_before_replace=True)

    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        labels = _news["labels"]
        machines.extend(labels[RUN], _news["name"], float(labels[EXPIRES]))
        return UpdateResult({**_news, "address": _olds["address"], "host_key": _olds["host_key"]})

    def read(self, id_: str, props: Props) -> ReadResult:
        there = machines.is_running(id_)
        return ReadResult(id_ if there else _GONE, props if there else {})

    def delete(self, _id: str, _props: Props) -> None:
        machines.remove_host(_id, machines.host_folder(_props["labels"][RUN], _props["name"]))
