"""Facts about this host that can change a number: kernel, CPU, memory, disks, network, limits.

Owns which facts are read and from where. What a host does not have is null, never an error.
"""

import contextlib
import hashlib
import os
import platform
import resource
import sys
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional

from benchctl.agent.context import Context
from benchctl.agent.software import redacted, software
from benchctl.agent.wire import Json

_FILES = {
    "boot.id": "/proc/sys/kernel/random/boot_id",
    "boot.uptime": "/proc/uptime",
    "clock.source": "/sys/devices/system/clocksource/clocksource0/current_clocksource",
    "clock.sources": "/sys/devices/system/clocksource/clocksource0/available_clocksource",
    "cpu.amd_pstate": "/sys/devices/system/cpu/amd_pstate/status",
    "cpu.boost": "/sys/devices/system/cpu/cpufreq/boost",
    "cpu.idle_driver": "/sys/devices/system/cpu/cpuidle/current_driver",
    "cpu.idle_governor": "/sys/devices/system/cpu/cpuidle/current_governor",
    "cpu.intel_pstate": "/sys/devices/system/cpu/intel_pstate/status",
    "cpu.isolated": "/sys/devices/system/cpu/isolated",
    "cpu.no_turbo": "/sys/devices/system/cpu/intel_pstate/no_turbo",
    "cpu.nohz_full": "/sys/devices/system/cpu/nohz_full",
    "cpu.offline": "/sys/devices/system/cpu/offline",
    "cpu.online": "/sys/devices/system/cpu/online",
    "cpu.possible": "/sys/devices/system/cpu/possible",
    "cpu.smt": "/sys/devices/system/cpu/smt/control",
    "cpu.smt_active": "/sys/devices/system/cpu/smt/active",
    "cpufreq.driver": "/sys/devices/system/cpu/cpu0/cpufreq/scaling_driver",
    "cpufreq.governor": "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
    "cpufreq.max": "/sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq",
    "cpufreq.min": "/sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq",
    "cpufreq.preference": "/sys/devices/system/cpu/cpu0/cpufreq/energy_performance_preference",
    "dmi.bios_date": "/sys/class/dmi/id/bios_date",
    "dmi.bios_version": "/sys/class/dmi/id/bios_version",
    "dmi.board": "/sys/class/dmi/id/board_name",
    "dmi.product": "/sys/class/dmi/id/product_name",
    "dmi.vendor": "/sys/class/dmi/id/sys_vendor",
    "kernel.build": "/proc/sys/kernel/version",
    "kernel.cmdline": "/proc/cmdline",
    "kernel.lockdown": "/sys/kernel/security/lockdown",
    "kernel.lsm": "/sys/kernel/security/lsm",
    "kernel.preemption": "/sys/kernel/debug/sched/preempt",
    "kernel.rcu_expedited": "/sys/kernel/rcu_expedited",
    "kernel.rcu_normal": "/sys/kernel/rcu_normal",
    "kernel.release": "/proc/sys/kernel/osrelease",
    "kernel.tainted": "/proc/sys/kernel/tainted",
    "kernel.workqueue_cpumask": "/sys/devices/virtual/workqueue/cpumask",
    "load.average": "/proc/loadavg",
    "memory.ksm": "/sys/kernel/mm/ksm/run",
    "memory.thp": "/sys/kernel/mm/transparent_hugepage/enabled",
    "memory.thp_defrag": "/sys/kernel/mm/transparent_hugepage/defrag",
    "memory.thp_khugepaged": "/sys/kernel/mm/transparent_hugepage/khugepaged/defrag",
    "memory.thp_shmem": "/sys/kernel/mm/transparent_hugepage/shmem_enabled",
    "memory.zswap": "/sys/module/zswap/parameters/enabled",
    "numa.nodes": "/sys/devices/system/node/online",
    "virtual.hypervisor_type": "/sys/hypervisor/type",
}
_SYSCTLS = (
    "fs.aio-max-nr",
    "fs.file-max",
    "fs.nr_open",
    "kernel.hung_task_timeout_secs",
    "kernel.nmi_watchdog",
    "kernel.numa_balancing",
    "kernel.perf_cpu_time_max_percent",
    "kernel.perf_event_max_sample_rate",
    "kernel.perf_event_paranoid",
    "kernel.pid_max",
    "kernel.randomize_va_space",
    "kernel.sched_autogroup_enabled",
    "kernel.sched_rt_runtime_us",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.soft_watchdog",
    "kernel.threads-max",
    "kernel.timer_migration",
    "kernel.watchdog",
    "net.core.busy_poll",
    "net.core.busy_read",
    "net.core.default_qdisc",
    "net.core.netdev_max_backlog",
    "net.core.rmem_max",
    "net.core.somaxconn",
    "net.core.wmem_max",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_no_metrics_save",
    "net.ipv4.tcp_slow_start_after_idle",
    "vm.compaction_proactiveness",
    "vm.dirty_background_bytes",
    "vm.dirty_background_ratio",
    "vm.dirty_bytes",
    "vm.dirty_expire_centisecs",
    "vm.dirty_ratio",
    "vm.dirty_writeback_centisecs",
    "vm.max_map_count",
    "vm.min_free_kbytes",
    "vm.nr_hugepages",
    "vm.nr_overcommit_hugepages",
    "vm.overcommit_memory",
    "vm.stat_interval",
    "vm.swappiness",
    "vm.vfs_cache_pressure",
    "vm.watermark_scale_factor",
    "vm.zone_reclaim_mode",
)
_LIMITS = ("NOFILE", "NPROC", "MEMLOCK", "STACK", "CORE", "AS", "DATA", "FSIZE", "RTPRIO", "NICE")
_QUEUE = ("scheduler", "read_ahead_kb", "nr_requests", "rotational", "write_cache", "wbt_lat_usec")
_OF_CONTAINERS = ("veth", "podman", "docker", "cni", "br-", "virbr", "vnet", "tap", "ifb")


def fingerprint(context: Context) -> Json:
    """Read all facts: dotted name -> text, number, list or null."""
    facts: Json = {name: _text(path) for name, path in _FILES.items()}
    facts.update({f"sysctl.{name}": _text(f"/proc/sys/{name.replace('.', '/')}") for name in _SYSCTLS})
    parts: List[Callable[[], Json]] = [
        _cpu,
        _caches,
        _memory,
        _system,
        _virtual,
        _vulnerabilities,
        _limits,
        _network,
        _blocks,
        software,
    ]
    for part in parts:
        facts.update(part())
    facts.update(_disk(context.cache))
    facts.update({name: redacted(value) for name, value in facts.items() if isinstance(value, str)})
    return {"facts": dict(sorted(facts.items()))}


def _cpu() -> Json:
    first: Dict[str, str] = {}
    for line in (_text("/proc/cpuinfo") or "").partition("\n\n")[0].splitlines():
        key, _, value = line.partition(":")
        first[key.strip()] = value.strip()
    flags = " ".join(sorted((first.get("flags") or first.get("Features") or "").split()))
    topology = [
        [_text(f"{path}/topology/{name}") for name in ("physical_package_id", "core_id")]
        for path in sorted(Path("/sys/devices/system/cpu").glob("cpu[0-9]*"))
    ]
    cores = {tuple(pair) for pair in topology}
    return {
        "cpu.model": first.get("model name") or first.get("CPU part"),
        "cpu.vendor": first.get("vendor_id") or first.get("CPU implementer"),
        "cpu.family": first.get("cpu family"),
        "cpu.stepping": first.get("stepping"),
        "cpu.microcode": first.get("microcode"),
        "cpu.flags_hash": hashlib.sha256(flags.encode()).hexdigest()[:16] if flags else None,
        "cpu.bugs": first.get("bugs"),
        "cpu.count": os.cpu_count(),
        "cpu.usable": len(os.sched_getaffinity(0)),
        "cpu.cores": len(cores),
        "cpu.sockets": len({pair[0] for pair in cores}),
        "cpu.architecture": platform.machine(),
    }


def _caches() -> Json:
    found = []
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (_text(index / name) for name in ("level", "type", "size"))
        shared = _text(index / "shared_cpu_list")
        found.append(f"L{level} {kind} {size} shared by {shared}")
    return {"cpu.caches": found or None}


def _memory() -> Json:
    lines = (line.partition(":") for line in (_text("/proc/meminfo") or "").splitlines())
    meminfo = {key: value.split() for key, _, value in lines}
    swaps = (_text("/proc/swaps") or "").splitlines()[1:]

    def size(key: str) -> Optional[int]:
        return int(meminfo[key][0]) * 1024 if key in meminfo else None

    return {
        "memory.total": size("MemTotal"),
        "memory.swap": size("SwapTotal"),
        "memory.swaps": [" ".join(line.split()[:3]) for line in swaps],
        "memory.hugepage_size": size("Hugepagesize"),
        "memory.page_size": os.sysconf("SC_PAGE_SIZE"),
    }


def _system() -> Json:
    release = {}
    for line in (_text("/etc/os-release") or "").splitlines():
        key, _, value = line.partition("=")
        release[key] = value.strip('"')
    return {
        "host.name": platform.node(),
        "os.id": release.get("ID"),
        "os.version": release.get("VERSION_ID"),
        "os.name": release.get("PRETTY_NAME"),
        "os.libc": " ".join(platform.libc_ver()),
        "python.version": sys.version.split()[0],
        "python.path": sys.executable,
        "clock.offset_utc": time.strftime("%z"),
        "user.id": os.getuid(),
        "process.1": _text("/proc/1/comm"),
    }


def _virtual() -> Json:
    cpuinfo = _text("/proc/cpuinfo") or ""
    groups = _text("/proc/self/cgroup") or ""
    unified = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    container = [
        name
        for name, path in (
            ("docker", "/.dockerenv"),
            ("podman", "/run/.containerenv"),
            ("systemd", "/run/host"),
        )
        if Path(path).exists()
    ]
    return {
        "virtual.hypervisor": " hypervisor" in cpuinfo,
        "virtual.container": container or None,
        "cgroup.version": 2 if unified else 1,
        "cgroup.path": groups.splitlines(),
    }


def _vulnerabilities() -> Json:
    folder = Path("/sys/devices/system/cpu/vulnerabilities")
    if not folder.is_dir():
        return {"cpu.vulnerabilities": None}
    return {f"vulnerability.{path.name}": _text(path) for path in sorted(folder.iterdir())}


def _limits() -> Json:
    return {
        f"limit.{name.lower()}": ["unlimited" if value == resource.RLIM_INFINITY else value for value in pair]
        for name in _LIMITS
        for pair in [resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))]
    }


def _network() -> Json:
    """Describe every card; those of containers and virtual machines come and go with them."""
    cards = []
    for card in sorted(Path("/sys/class/net").glob("*")):
        if card.name.startswith(_OF_CONTAINERS):
            continue
        driver = None
        with contextlib.suppress(OSError):
            driver = (card / "device" / "driver").readlink().name
        cards.append(
            {
                "name": card.name,
                "driver": driver,
                "speed": _text(card / "speed"),
                "mtu": _text(card / "mtu"),
                "state": _text(card / "operstate"),
            }
        )
    return {"network.cards": cards}


def _blocks() -> Json:
    """Describe every disk that is no loop, RAM or mapped device; serial numbers are nobody's business."""
    found = []
    for disk in sorted(Path("/sys/block").glob("*")):
        if not disk.name.startswith(("loop", "ram", "zram", "dm-", "md")):
            names = ("size", "device/model", "device/firmware_rev", "queue/rotational", "queue/scheduler")
            found.append({"name": disk.name, **{name: _text(disk / name) for name in names}})
    return {"disk.all": found}


def _disk(cache: Path) -> Json:
    """Describe the file system of the cache, where data folders lie, and the device below it."""
    place = next(path for path in (cache, *cache.parents) if path.exists())
    number = place.stat().st_dev
    device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    whole = device if (device / "queue").is_dir() else device.resolve().parent
    space = os.statvfs(place)
    facts: Json = {f"disk.{name}": _text(whole / "queue" / name) for name in _QUEUE}
    facts["disk.device"] = device.resolve().name if device.exists() else None
    facts["disk.model"] = _text(whole / "device" / "model")
    facts["disk.size"] = space.f_frsize * space.f_blocks
    facts["disk.free"] = space.f_frsize * space.f_bavail
    facts.update(_mount(place, f"{os.major(number)}:{os.minor(number)}"))
    return facts


def _mount(place: Path, number: str) -> Json:
    best: List[str] = []
    for line in (_text("/proc/self/mountinfo") or "").splitlines():
        fields = line.split()
        inside = Path(fields[4]) in (place, *place.parents)
        if fields[2] == number and inside and (not best or len(fields[4]) >= len(best[4])):
            best = fields
    if not best:
        return {"disk.mount": None, "disk.filesystem": None, "disk.options": None}
    return {"disk.mount": best[4], "disk.filesystem": best[best.index("-") + 1], "disk.options": best[5]}


def _text(path: object) -> Optional[str]:
    try:
        return Path(str(path)).read_text(errors="replace").strip()
    except OSError:
        return None
