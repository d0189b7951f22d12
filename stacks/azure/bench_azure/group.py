"""A host group: equal virtual machines, each with its own host key and its dead man's switch."""

from __future__ import annotations

import base64
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pulumi
from pulumi_azure_native import authorization, compute, network

from benchctl.model.aws import GIB
from benchctl.provision.cloud_init import CACHE, Disk, user_data
from benchctl.provision.keys import derived_key
from benchctl.provision.outputs import StackHost

if TYPE_CHECKING:
    from pulumi_azure_native import resources

    from bench_azure.network import Network
    from benchctl.model.azure import AzureDisk, AzureGroup, AzureHosts, AzureImage
    from benchctl.provision.request import Request

_STORAGE = {"premium": "Premium_LRS", "premium-v2": "PremiumV2_LRS", "ultra": "UltraSSD_LRS"}
_INSIDE = "Microsoft NVMe Direct Disk"  # the model that Linux shows
_LUN = 0  # of the one remote disk for data; named by rules of the images, old ones and new ones
_REMOTE = ("/dev/disk/azure/data/by-lun/0", "/dev/disk/azure/scsi1/lun0")
# The built-in role Contributor, given to a host for its own resource group only.
_CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c"
# A later `up` of a run (a longer life, more hosts) must not replace what already measures.
_KEPT = ["osProfile", "priority", "evictionPolicy", "billingProfile", "storageProfile.imageReference"]


class Site(NamedTuple):
    """What the groups of a stack share."""

    hosts: AzureHosts
    group: resources.ResourceGroup
    network: Network
    placement: compute.ProximityPlacementGroup | None
    dedicated: compute.DedicatedHost | None

    @property
    def zones(self) -> list[str] | None:
        return [self.hosts.zone] if self.hosts.zone else None


class HostGroup(pulumi.ComponentResource):
    """The machines of one group; `hosts` are their records as the stack exports them."""

    def __init__(self, name: str, request: Request, machine: AzureGroup, site: Site) -> None:
        """Make as many hosts as the group counts."""
        super().__init__("bench:azure:HostGroup", name)
        self._price = request.prices.get(name)
        self._request, self._machine, self._site = request, machine, site
        self._inside = pulumi.ResourceOptions(parent=self)
        self._common: dict[str, Any] = {
            "resource_group_name": site.group.name,
            "location": site.group.location,
            "tags": request.tags,
        }
        self._version = request.pinned.get(f"image.{name}")
        made = [self._host(f"{name}-{number}") for number in range(1, machine.count + 1)]
        self.hosts = [host for host, _ in made]
        self.image = made[0][1]
        self.register_outputs({})

    def _host(self, name: str) -> tuple[pulumi.Output[dict[str, Any]], pulumi.Output[str]]:
        address = network.PublicIPAddress(
            name,
            public_ip_address_name=name,
            public_ip_allocation_method="Static",
            sku=network.PublicIPAddressSkuArgs(name="Standard"),
            zones=self._site.zones,
            opts=self._inside,
            **self._common,
        )
        card = network.NetworkInterface(
            name,
            network_interface_name=name,
            enable_accelerated_networking=self._machine.accelerated_networking,
            ip_configurations=[
                network.NetworkInterfaceIPConfigurationArgs(
                    name="main",
                    subnet=network.SubnetArgs(id=self._site.network.subnet_id),
                    private_ip_allocation_method="Dynamic",
                    public_ip_address=network.PublicIPAddressArgs(id=address.id),
                )
            ],
            opts=self._inside,
            **self._common,
        )
        virtual = self._machine_of(name, card)
        if self._site.hosts.at_expiry == "delete":
            self._may_leave(name, virtual)
        private = card.ip_configurations.apply(lambda found: found[0].private_ip_address if found else None)
        record = pulumi.Output.all(address=address.ip_address, private_address=private).apply(
            lambda found: self._record(name, found)
        )
        version = virtual.storage_profile.apply(_exact_version)
        return record, version

    def _machine_of(self, name: str, card: network.NetworkInterface) -> compute.VirtualMachine:
        request, machine, site = self._request, self._machine, self._site
        config = user_data(
            derived_key(request.seed, name),
            expires=request.expires,
            user=site.hosts.user,
            disks=[_disk(disk) for disk in machine.disks or ()],
            leave=_leaving() if site.hosts.at_expiry == "delete" else "",
        )
        spot = machine.spot == "only" or (machine.spot == "prefer" and not request.on_demand)
        ultra = any(disk.type == "ultra" for disk in machine.disks or ())
        return compute.VirtualMachine(
            name,
            vm_name=name,
            zones=site.zones,
            hardware_profile=compute.HardwareProfileArgs(vm_size=str(machine.size)),
            network_profile=compute.NetworkProfileArgs(
                network_interfaces=[
                    compute.NetworkInterfaceReferenceArgs(id=card.id, primary=True, delete_option="Delete")
                ]
            ),
            os_profile=self._system(name, config),
            storage_profile=self._storage(name),
            identity=compute.VirtualMachineIdentityArgs(type=compute.ResourceIdentityType.SYSTEM_ASSIGNED)
            if site.hosts.at_expiry == "delete"
            else None,
            additional_capabilities=compute.AdditionalCapabilitiesArgs(ultra_ssd_enabled=True)
            if ultra
            else None,
            priority="Spot" if spot else "Regular",
            eviction_policy="Delete" if spot else None,
            billing_profile=compute.BillingProfileArgs(max_price=-1) if spot else None,
            proximity_placement_group=compute.SubResourceArgs(id=site.placement.id)
            if site.placement
            else None,
            host=compute.SubResourceArgs(id=site.dedicated.id) if site.dedicated else None,
            # Its serial console tells why a host never answers.
            diagnostics_profile=compute.DiagnosticsProfileArgs(
                boot_diagnostics=compute.BootDiagnosticsArgs(enabled=True)
            ),
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=_KEPT),
            **self._common,
        )

    def _system(self, name: str, config: str) -> compute.OSProfileArgs:
        user = self._site.hosts.user
        return compute.OSProfileArgs(
            computer_name=name,
            admin_username=user,
            custom_data=pulumi.Output.secret(base64.b64encode(config.encode()).decode()),
            linux_configuration=compute.LinuxConfigurationArgs(
                disable_password_authentication=True,
                ssh=compute.SshConfigurationArgs(
                    public_keys=[
                        compute.SshPublicKeyArgs(
                            path=f"/home/{user}/.ssh/authorized_keys", key_data=self._request.public_key
                        )
                    ]
                ),
            ),
        )

    def _storage(self, name: str) -> compute.StorageProfileArgs:
        machine = self._machine
        remote = [disk for disk in machine.disks or () if disk.type in _STORAGE]
        local = compute.DiffDiskSettingsArgs(option="Local") if machine.ephemeral_os else None
        return compute.StorageProfileArgs(
            image_reference=_image(machine.image, self._version),
            os_disk=compute.OSDiskArgs(
                create_option="FromImage",
                caching=compute.CachingTypes.READ_ONLY if local else compute.CachingTypes.READ_WRITE,
                delete_option="Delete",
                diff_disk_settings=local,
                disk_size_gb=(machine.root_size or 0) // GIB,
                managed_disk=compute.ManagedDiskParametersArgs(
                    storage_account_type="Standard_LRS" if local else "Premium_LRS"
                ),
                name=f"{name}-root",
            ),
            data_disks=[
                compute.DataDiskArgs(
                    create_option="Attach",
                    lun=_LUN,
                    caching=compute.CachingTypes.NONE,
                    delete_option="Delete",
                    managed_disk=compute.ManagedDiskParametersArgs(id=self._remote_disk(name, disk).id),
                )
                for disk in remote
            ],
        )

    def _remote_disk(self, name: str, disk: AzureDisk) -> compute.Disk:
        return compute.Disk(
            name,
            disk_name=f"{name}-data",
            sku=compute.DiskSkuArgs(name=_STORAGE[disk.type]),
            creation_data=compute.CreationDataArgs(create_option="Empty"),
            disk_size_gb=(disk.size or 0) // GIB,
            disk_iops_read_write=disk.iops,
            disk_m_bps_read_write=disk.throughput,
            zones=self._site.zones,
            opts=self._inside,
            **self._common,
        )

    def _may_leave(self, name: str, virtual: compute.VirtualMachine) -> None:
        """Let a host delete the resource group that it is in, and nothing else."""
        group = self._site.group
        role = group.id.apply(
            lambda found: (
                f"/{'/'.join(found.split('/')[1:3])}/providers/Microsoft.Authorization/roleDefinitions/"
                f"{_CONTRIBUTOR}"
            )
        )
        authorization.RoleAssignment(
            name,
            role_assignment_name=str(uuid.uuid5(uuid.NAMESPACE_URL, f"benchctl:{self._request.run}:{name}")),
            scope=group.id,
            role_definition_id=role,
            principal_id=virtual.identity.apply(lambda found: found.principal_id if found else ""),
            principal_type="ServicePrincipal",
            opts=self._inside,
        )

    def _record(self, name: str, found: dict[str, Any]) -> dict[str, Any]:
        request, hosts = self._request, self._site.hosts
        return dict(
            msgspec.to_builtins(
                StackHost(
                    name=name,
                    user=hosts.user,
                    host_key=derived_key(request.seed, name).public,
                    instance_type=str(self._machine.size),
                    zone=f"{hosts.location}-{hosts.zone}" if hosts.zone else hosts.location,
                    price_per_hour=self._price,
                    expires=request.expires,
                    **found,
                )
            )
        )


def _image(image: AzureImage | None, pinned: str | None) -> compute.ImageReferenceArgs | None:
    if image is None:
        return None
    return compute.ImageReferenceArgs(
        publisher=image.publisher, offer=image.offer, sku=image.sku, version=pinned or image.version
    )


def _disk(disk: AzureDisk) -> Disk:
    where = _REMOTE if disk.type in _STORAGE else ("model", _INSIDE)
    return Disk(where, disk.mount or CACHE)


def _leaving() -> str:
    return "#!/usr/bin/env python3\n" + Path(__file__).with_name("leave.py").read_text(encoding="utf-8")


def _exact_version(profile: compute.outputs.StorageProfileResponse | None) -> str:
    """Return the version that `latest` was, or nothing while that is not known."""
    image = profile.image_reference if profile else None
    return (image.exact_version if image else None) or ""
