"""VMs of a lab: QEMU in a container of the run's network, with a kernel and a boot loader of its own.

Owns the image with QEMU and the disk, and what runs in the container. To podman a VM is a container: name,
labels, address and way out are the same. Must not run podman.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from benchctl.model.lab import MIB
from benchctl.provision.expiry import FILE, FOLDER
from benchctl.provision.lab.image import GIB, PACKAGES, SSHD, Recipe, write

if TYPE_CHECKING:
    from pathlib import Path

SSH_LIMIT = 600.0  # seconds until sshd answers: half a minute alone, more where many boot on few processors
CONSOLE = "console"  # the file in a host's folder with all that QEMU, firmware and kernel say
DISK = 8 * GIB  # bytes that a VM sees; what it writes takes room, the rest does not
TUN, KVM = "/dev/net/tun", "/dev/kvm"
_LAYER = "/layer.qcow2"  # what the guest writes; the disk below it stays as it is
_SERIAL = "benchctl"  # of the second disk, by which udev and systemd name it
_DEVICE = rf"dev-disk-by\x2did-virtio\x2d{_SERIAL}.device"
_BOOT = (
    "grub-common",
    "grub-efi-amd64-bin",
    "grub2-common",
    "initramfs-tools",
    "linux-image-cloud-amd64",
    "udev",
)
_BUILD = ("e2fsprogs", "fdisk", "grub-efi-amd64-bin", "mtools", "qemu-utils")
_MODULES = "virtio_pci virtio_blk ext4 crc32c_generic crc32c-intel"
# Software emulation takes seconds for what a few drivers do not need, and a timer is noise in a measurement.
_ASIDE = (
    "apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service"
    " fstrim.timer getty@tty1.service serial-getty@ttyS0.service systemd-networkd-wait-online.service"
)
# The kernel tests its ciphers and its timer in each boot: under software emulation on a busy machine QEMU 7.2
# hung in the one, and the other finds a timer that is late to be none.
_WORDS = "console=ttyS0 quiet cryptomgr.notests no_timer_check"
_FILES = {
    "/etc/fstab": "LABEL=ROOT / ext4 errors=remount-ro,noatime 0 0\n",
    "/etc/default/grub": f"""GRUB_TIMEOUT=0
GRUB_TERMINAL=console
GRUB_DISABLE_RECOVERY=true
GRUB_CMDLINE_LINUX_DEFAULT=
GRUB_CMDLINE_LINUX="{_WORDS}"
""",
    "/boot/grub/grub.cfg": f"""linux /vmlinuz root=LABEL=ROOT ro {_WORDS}
initrd /initrd.img
boot
""",
    f"/etc/systemd/system/{_DEVICE}.d/busy.conf": f"[Unit]\nJobRunningTimeoutSec={SSH_LIMIT:g}\n",
    "/etc/systemd/system/benchctl-seed.service": f"""[Unit]
Description=Take name, address and keys from the second disk
DefaultDependencies=no
Requires={_DEVICE}
After={_DEVICE} systemd-remount-fs.service
Wants=network-pre.target
Before=network-pre.target sysinit.target
[Service]
Type=oneshot
ExecStart=/bin/tar --extract --overwrite --file /dev/disk/by-id/virtio-{_SERIAL} --directory /
ExecStart=/bin/hostname --file /etc/hostname
[Install]
WantedBy=sysinit.target
""",
}
_INITRAMFS = (
    '--essential-hook=mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"',
    '--essential-hook=echo MODULES=list > "$1/etc/initramfs-tools/conf.d/benchctl"',
    f'--essential-hook=printf "%s\\n" {_MODULES} > "$1/usr/share/initramfs-tools/modules.d/benchctl"',
)
# The loader's own part of the disk only knows where to go on: at what update-grub writes in the VM.
_DISK = rf"""set -e
mkdir "$1/inside"
tar --extract --file "$inside" --directory "$1/inside"
cat > "$1/build" <<'END'
set -e
cat > loader.cfg <<'LOADER'
search --no-floppy --label --set=root ROOT
configfile ($root)/boot/grub/grub.cfg
LOADER
modules="all_video boot configfile echo efi_gop ext2 gzio linux loadenv minicmd normal part_gpt \
  search search_fs_uuid search_label sleep test true"
grub-mkstandalone --format=x86_64-efi --output=loader.efi --locales= --fonts= --themes= \
  --modules="part_gpt ext2 search search_label configfile linux" --install-modules="$modules" \
  boot/grub/grub.cfg=loader.cfg
truncate --size=64M loader.img
mformat -i loader.img ::
mmd -i loader.img ::EFI ::EFI/BOOT
mcopy -i loader.img loader.efi ::EFI/BOOT/BOOTX64.EFI
truncate --size={DISK} disk.raw
printf 'label: gpt\nstart=2048, size=131072, type=U\ntype=L\n' | sfdisk --quiet disk.raw
dd if=loader.img of=disk.raw bs=1M seek=1 conv=notrunc,sparse status=none
mke2fs -q -t ext4 -L ROOT -d inside -E offset=$((65 << 20)),lazy_itable_init=0,lazy_journal_init=0 \
  disk.raw {DISK // MIB - 66}M
qemu-img convert -c -O qcow2 -o compression_type=zstd disk.raw disk.qcow2
END
chroot "$1" sh build
rm -r "$1/inside" "$1/build" "$1"/loader.* "$1/disk.raw"
"""
# It is the container's first process. The guest gets the container's own address. A reboot is a new QEMU:
# after a reset, QEMU 7.2 drops what it translated piece by piece, and the firmware takes minutes.
_START = rf"""set -e
exec </dev/null >>{FOLDER}/{CONSOLE} 2>&1
address=$(ip -4 -oneline address show dev eth0 | (read -r _ _ _ found _; echo "$found"))
gateway=$(ip -4 route show default | (read -r _ _ found _; echo "$found"))
mkdir -p /seed/etc/systemd/network
cat > /seed/etc/systemd/network/benchctl.network <<END
[Match]
Type=ether
[Network]
Address=$address
Gateway=$gateway
LinkLocalAddressing=no
IPv6AcceptRA=no
END
own="etc/hosts etc/hostname etc/resolv.conf {FOLDER[1:]}/host_key {FOLDER[1:]}/authorized_keys"
tar --create --owner=0 --group=0 --file /seed.tar --directory / $own \
  --directory /seed etc/systemd/network/benchctl.network
ip tuntap add dev tap0 mode tap
ip link add name bridge0 type bridge
ip address flush dev eth0
ip link set dev eth0 address "06:$(cut -d : -f 2- /sys/class/net/eth0/address)"
for device in eth0 tap0; do ip link set dev $device master bridge0; done
for device in eth0 tap0 bridge0; do ip link set dev $device addrgenmode none up; done
qemu-img create -q -f qcow2 -F qcow2 -b /disk.qcow2 {_LAYER}
while sleep 10; do
  [ "$(date +%s)" -lt "$(cat {FILE})" ] || kill -TERM -1
done &
while "$@" && tail -n 1 {FOLDER}/{CONSOLE} | grep -q "reboot: Restarting system"; do true; done
"""


def vm_recipe() -> Recipe:
    """Return what a VM of the lab is made from: QEMU, its firmware, and the disk with Debian 12 on it."""
    aside = f'chroot "$1" systemctl --quiet mask {_ASIDE}\n'
    enable = 'chroot "$1" systemctl --quiet enable systemd-networkd.service benchctl-seed.service\n'
    # Themes and other systems cost seconds of each update-grub.
    rarely = 'find "$1/etc/grub.d" -type f ! -name 00_header ! -name 10_linux -exec chmod a-x {} +\n'
    folders = f'mkdir -p "$1/boot/grub" "$1/etc/systemd/system/{_DEVICE}.d"\n'
    setup = f"set -e\n{SSHD}{folders}{write(_FILES)}{rarely}{enable}{aside}"
    guest = Recipe("guest", (*PACKAGES, *_BOOT), setup, options=_INITRAMFS)
    packages = ("iproute2", "ovmf", "qemu-system-x86", *_BUILD)
    return Recipe("localhost/benchctl-vm", packages, _DISK, inside=guest, needed=5 * GIB)


class Hardware(NamedTuple):
    """What a VM is given; `memory` in bytes."""

    accelerator: Literal["tcg", "kvm"]
    cpus: int
    memory: int


def options(hardware: Hardware, folder: Path) -> list[str]:
    """Return podman's words for a container that runs a VM, beside those of any host; `folder` is its own."""
    devices = (TUN, KVM) if hardware.accelerator == "kvm" else (TUN,)
    return [
        "--cap-add=NET_ADMIN",
        *(f"--device={device}" for device in devices),
        *("--volume", f"{folder}:{FOLDER}"),  # to be written to: the console
    ]


def command(hardware: Hardware, name: str, hardware_address: str) -> list[str]:
    """Return the argv of the container."""
    words = {"tcg": ("tcg,thread=multi", "max"), "kvm": ("kvm", "host")}
    engine, processor = words[hardware.accelerator]
    firmware = "if=pflash,format=raw,file=/usr/share/OVMF/OVMF"
    errors = (
        "werror=report,rerror=report"  # a full disk of this machine is the guest's error, not its standstill
    )
    qemu = [
        *("qemu-system-x86_64", "-name", name, "-machine", "q35", "-accel", engine, "-cpu", processor),
        *("-smp", str(hardware.cpus), "-m", f"{hardware.memory // MIB}M"),
        *("-no-reboot", "-nodefaults", "-display", "none", "-serial", "stdio"),
        *("-drive", f"{firmware}_CODE_4M.fd,readonly=on", "-drive", f"{firmware}_VARS_4M.fd,snapshot=on"),
        *("-drive", f"if=none,id=disk,file={_LAYER},format=qcow2,cache=unsafe"),
        *("-device", f"virtio-blk-pci,drive=disk,bootindex=1,{errors}"),
        *("-drive", "if=none,id=seed,file=/seed.tar,format=raw,readonly=on"),
        *("-device", f"virtio-blk-pci,drive=seed,serial={_SERIAL}"),
        *("-netdev", "tap,id=net,ifname=tap0,script=no,downscript=no"),
        *("-device", f"virtio-net-pci,netdev=net,mac={hardware_address},romfile="),
        *("-device", "virtio-rng-pci"),
    ]
    return ["sh", "-c", _START, "sh", *qemu]
