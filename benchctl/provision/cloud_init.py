"""What a cloud's host does at its first boot: its host key, the dead man's switch, its disks for data.

One cloud-config for all clouds: cloud-init reads JSON as the YAML that it is. Must not know any provider.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from benchctl.provision import expiry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchctl.provision.keys import KeyPair

_DISK_PROGRAM = "/usr/local/sbin/benchctl-disk"
# A disk is named by its first path that is there, or by its model: the first one that is not in use.
_DISK = r"""#!/bin/sh
# usage: benchctl-disk USER FOLDER PATH... | benchctl-disk USER FOLDER model MODEL
set -eu
user=$1 folder=$2
shift 2
disk=
if [ "$1" = model ]; then
    for name in $(lsblk -dpno NAME); do
        [ "$(lsblk -dno MODEL "$name" | sed 's/ *$//')" = "$2" ] || continue
        [ "$(lsblk -no NAME,MOUNTPOINT "$name" | wc -w)" = 1 ] || continue
        disk=$name
        break
    done
else
    for name in "$@"; do
        if [ -e "$name" ]; then
            disk=$(readlink -f "$name")
            break
        fi
    done
fi
[ -n "$disk" ] || { echo "benchctl-disk: found no free disk: $*" >&2; exit 1; }
mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 "$disk"
case $folder in
    "~"/*) home=$(getent passwd "$user" | cut -d: -f6); folder=$home/${folder#"~/"} ;;
esac
group=$(id -gn "$user")
part=
for name in $(printf %s "$folder" | tr / ' '); do
    part=$part/$name
    [ -d "$part" ] || install -d -o "$user" -g "$group" "$part"
done
echo "UUID=$(blkid -s UUID -o value "$disk") $folder ext4 noatime,nofail 0 2" >>/etc/fstab
mount "$folder"
chown "$user:$group" "$folder"
"""
_LEAVE_PROGRAM = "/usr/local/sbin/benchctl-leave"
_LEAVE = f"""[Service]
ExecStart=
ExecStart=/bin/sh -c 'test "$(date +%%s)" -lt "$(cat {expiry.FILE})" \\
  || {_LEAVE_PROGRAM} || systemctl poweroff --no-block'
"""
CACHE = "~/.cache/benchctl"  # the agent's, where images and data lie


class Disk(NamedTuple):
    """A disk for data: `where` is paths of it of which one is there, or `model` and its model."""

    where: tuple[str, ...]
    folder: str = CACHE  # ~ is the home of the user who logs in


def user_data(key: KeyPair, *, expires: float, user: str, disks: Sequence[Disk] = (), leave: str = "") -> str:
    """Return the cloud-config of a host; it holds the host's private key and is to be treated as a secret.

    The switch is armed first: what fails after it cannot make a host stay. `leave` is a program that a host
    runs when its time is over and a shutdown would not end it; if it fails, the host shuts down.
    """
    files = {expiry.FILE: f"{int(expires)}\n", **expiry.units()}
    if leave:
        files["/etc/systemd/system/benchctl-expiry.service.d/leave.conf"] = _LEAVE
    commands = [
        ["systemctl", "daemon-reload"],
        ["systemctl", "enable", "--now", "benchctl-expiry.timer"],
        *([_DISK_PROGRAM, user, disk.folder, *disk.where] for disk in disks),
    ]
    config = {
        "disable_root": True,
        "ssh_pwauth": False,
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": key.private, "ed25519_public": key.public},
        "package_update": False,
        "write_files": [
            *(_file(path, content, "0644") for path, content in files.items()),
            *([_file(_DISK_PROGRAM, _DISK, "0755")] if disks else []),
            *([_file(_LEAVE_PROGRAM, leave, "0755")] if leave else []),
        ],
        "runcmd": commands,
    }
    return f"#cloud-config\n{json.dumps(config, indent=1)}\n"


def _file(path: str, content: str, mode: str) -> dict[str, Any]:
    return {"path": path, "owner": "root:root", "permissions": mode, "content": content}
