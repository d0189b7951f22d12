"""All that a host is set to, as one JSON object: what to find it by -> its text, or the hash of a long one.

Runs on the host itself, as `python3 snapshot.py`, and needs nothing but Python. One pass over /proc/sys,
/proc/irq and /sys, what systemd knows of its units, and the files that say how the host starts. What counts
or changes by itself is left out, and this is the one place that says what, and why; and what else shows a
setting that was made somewhere else.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

Shown = dict[str, str]  # what to find it by -> its text, or the hash of a long one
SHORT = 160  # characters of a text that is kept as it is
READ_SIZE = 1 << 16
PAGE = 4096  # what shows less in one read has no more
SETTINGS = ("/proc/sys", "/proc/irq", "/sys")  # file systems mounted inside them are no settings: by device
FILES = (
    "/proc/cmdline",
    "/proc/swaps",
    "/proc/mounts",
    "/etc/fstab",
    "/etc/sysctl.conf",
    "/etc/sysctl.d",
    "/run/sysctl.d",
    "/etc/modprobe.d",
    "/etc/udev/rules.d",
    "/etc/default/grub",
    "/etc/default/grub.d",
    "/boot/grub/grub.cfg",
    "/etc/systemd",
    "/run/systemd/system",
    "/run/systemd/system.control",
    "/run/systemd/transient",
)

# Why a path is left out: what somebody may set is in none of them.
ASIDE = {
    "a clock, or a counter of what has happened": (
        r"/proc/irq/\d+/spurious",
        r"/proc/sys/fs/(dentry-state|file-nr|inode-nr|inode-state|aio-nr|quota/.*)",
        r"/proc/sys/fs/binfmt_misc(/.*)?",
        r"/proc/sys/kernel/(ns_last_pid|random/(boot_id|uuid|entropy_avail))",
        r"/proc/sys/net/netfilter/nf_conntrack_count",
        r"/sys/.*/statistics/.*",
        r"/sys/.*/(power/(runtime_.*_time|runtime_status|wakeup_.*)|wakeup/.*)",
        r"/sys/.*/(inflight|stat|uevent_seqnum|event_count|mq/.*/.*)",
        r"/sys/devices/.*/rtc/rtc\d+/(time|date|since_epoch)",
        r"/sys/devices/system/cpu/cpu\d+/(cpuidle/state\d+/(usage|time|above|below|rejected)|crash_notes.*)",
        r"/sys/devices/system/node/node\d+/(meminfo|numastat|vmstat)",
        r"/sys/devices/system/memory/.*/(valid_zones|removable)",
        r"/sys/devices/system/clockevents/.*/current_device",
        r"/sys/firmware/acpi/interrupts/.*",
        r"/sys/fs/ext4/.*/(delayed_allocation_blocks|(lifetime|session)_write_kbytes|mb_.*|.*_count)",
        r"/sys/fs/ext4/.*/(extent_cache_hits|.*_time|last_error_.*|first_error_.*)",
        r"/sys/fs/(pstore|bpf|cgroup|fuse)/.*",
        r"/sys/kernel/(slab/.*|uevent_seqnum|irq/\d+/per_cpu_count|debug.*|tracing.*|notes|btf/.*)",
        r"/sys/kernel/mm/(hugepages/.*/(free|surplus|resv)_hugepages|ksm/(pages_.*|full_scans|stable_.*))",
        r"/sys/kernel/mm/(transparent_hugepage/khugepaged/(pages_collapsed|full_scans)|lru_gen/.*)",
        r"/sys/kernel/mm/(ksm/(general_profit|zero_pages)|numa/demotion_enabled)",
        r"/sys/module/.*/refcnt",
        r"/sys/devices/virtual/thermal/cooling_device\d+/stats/.*",
        r"/sys/devices/.*/virtio_net/mergeable_rx_buffer_size",  # the mean of what came lately
    ),
    "the CPU that the kernel picked out of the set that was set": (
        r"/proc/irq/\d+/effective_affinity(_list)?",
    ),
    "code, tables and registers of the hardware": (
        r"/sys/firmware/(acpi/(tables|bgrt)|dmi|efi|memmap|qemu_fw_cfg)/.*",
        r"/sys/devices/pci.*/(config|resource\d.*|rom|vpd)",
        r"/sys/module/.*/(sections|notes)/.*",
    ),
    "processes come and go, and logins with them": (
        r"unit (session-|user-|user@|system-|run-user-).*",
        r"unit systemd-tmpfiles-clean\.service",
        r"/run/systemd/transient/session-.*",
        r"/sys/fs/ext4/.*/journal_task",  # the pid of its thread
    ),
    "made by systemd when first needed, and kept until the next boot": (
        r"/run/systemd/(transient|system\.control)",
        r"unit bench\.slice",  # of the agent's own processes, tuning or not; nothing is in it afterwards
    ),
}
_ASIDE = re.compile("|".join(f"(?:{pattern})" for group in ASIDE.values() for pattern in group))


# What shows a setting that was made elsewhere: its pattern, and the place, with the pattern's groups.
SHADOWS = (
    (r"(/proc/irq/\d+/smp_affinity)", r"\1_list"),
    (r"(/sys/devices/.*/queue)/iosched/.*", r"\1/scheduler"),  # the settings that a scheduler brings along
    (r"/sys/devices/virtual/workqueue/.*/pool_ids", "/sys/devices/virtual/workqueue/cpumask"),
    (r"unit (.*)", r"\1"),
    (r"/run/systemd/system/([^/]*)", r"\1"),  # its mask
    (r"(?:unit |/run/systemd/transient/)benchctl-.*-hold-\d+\.service", "/dev/cpu_dma_latency"),
)


def explained(path: str, places: Container[str]) -> bool:
    """Say whether a path is one of these places, or shows what one of them is set to."""
    if path in places:
        return True
    found = ((re.fullmatch(pattern, path), place) for pattern, place in SHADOWS)
    return any(match is not None and match.expand(place) in places for match, place in found)


def changed(before: Shown, after: Shown) -> list[str]:
    """Return what two snapshots show differently, in order."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def taken(*, quick: bool = False) -> Shown:
    """Return the snapshot of this host; a quick one has the settings that may be written to, and no units."""
    found: Shown = {}
    for folder in SETTINGS:
        device = os.stat(folder).st_dev  # noqa: PTH116 - of thousands: text is enough
        _walk(folder, found, device, quick=quick)
    return found if quick else {**found, **beside()}


def beside() -> Shown:
    """Return the part of it that is in no file system of settings: files, and the state of units."""
    found: Shown = {}
    for path in FILES:
        _keep(path, found)
    for name, state in _units():
        if not _ASIDE.fullmatch(name):
            found[name] = state
    return found


def shown(paths: Iterable[str]) -> Shown:
    """Return what some settings show now."""
    return {path: _text(path) for path in paths}


def _walk(folder: str, found: Shown, device: int, *, quick: bool) -> None:
    try:
        entries = list(os.scandir(folder))
    except OSError:  # gone meanwhile
        return
    for entry in entries:
        if _ASIDE.fullmatch(entry.path):
            continue
        if entry.is_symlink():
            if not quick:
                found[entry.path] = f"-> {os.readlink(entry.path)}"  # noqa: PTH115 - text
        elif not entry.is_dir(follow_symlinks=False):
            if not quick or entry.stat().st_mode & 0o222:
                found[entry.path] = _text(entry.path)
        elif entry.stat(follow_symlinks=False).st_dev == device:
            _walk(entry.path, found, device, quick=quick)


def _keep(path: str, found: Shown) -> None:
    """Take up a file or a whole folder of ordinary files, with their modes."""
    if not os.path.lexists(path) or _ASIDE.fullmatch(path):
        return
    state = os.lstat(path)
    if stat.S_ISLNK(state.st_mode):
        found[path] = f"-> {os.readlink(path)}"  # noqa: PTH115 - text
    elif stat.S_ISDIR(state.st_mode):
        found[path] = f"{state.st_mode:o}"
        for name in os.listdir(path):  # noqa: PTH208 - text
            _keep(f"{path}/{name}", found)
    else:
        found[path] = f"{state.st_mode:o} {_text(path)}"


def _text(path: str) -> str:
    """Return what a file shows, or why it shows nothing; a reader never waits."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return f"!{error.errno}"
    try:
        data = more = os.read(handle, READ_SIZE)
        while more and len(more) % PAGE == 0:
            more = os.read(handle, READ_SIZE)
            data += more
    except OSError as error:
        return f"!{error.errno}"
    finally:
        os.close(handle)
    text = data.decode("utf-8", "backslashreplace")
    return text if len(text) <= SHORT else f"sha256 {hashlib.sha256(data).hexdigest()}"


def _units() -> list[tuple[str, str]]:
    """Return the state of each unit that systemd knows; masks and enablement are links in FILES."""
    words = ["systemctl", "list-units", "--all", "--full", "--plain", "--no-legend"]
    said = subprocess.run(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=True).stdout.decode()
    rows = [line.split() for line in said.splitlines()]
    # One that is inactive comes and goes with whoever asks for it, unless it is masked or has failed.
    return [(f"unit {row[0]}", " ".join(row[1:4])) for row in rows if row[1:3] != ["loaded", "inactive"]]


if __name__ == "__main__":
    json.dump(taken(), sys.stdout, sort_keys=True, indent=0)
