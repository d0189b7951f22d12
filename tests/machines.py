"""Generated machines: the files of /proc and /sys that tuning reads, after the kernel's documentation.

None is a dump of a real machine; figures are plausible. What they have and lack is what drivers and platforms
show: names, orders, words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.kernel import CPU, CPUFREQ, KERNEL, VM, KernelTree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_PREFERENCES = "default performance balance_performance balance_power power"
_UNITS = (
    "apt-daily.timer",
    "logrotate.timer",
    "irqbalance.service",
    "cron.service",
    "fstrim.timer",
    "rsyslog.service",
    "systemd-journald.service",
)
_RUNNING = ("apt-daily.timer", "irqbalance.service", "cron.service", "rsyslog.service")


def intel_active() -> KernelTree:
    """One socket, 4 cores, 8 threads, intel_pstate in its active mode with HWP."""
    machine = _base(cores=4, threads=2)
    _intel(machine, range(8), "active")
    return machine


def intel_passive() -> KernelTree:
    """The same with the driver as intel_cpufreq: generic governors."""
    machine = _base(cores=4, threads=2)
    _intel(machine, range(8), "passive")
    return machine


def amd_pstate() -> KernelTree:
    """One socket, 4 cores, 8 threads, amd_pstate in its active (EPP) mode; nominal frequency by CPPC."""
    machine = _base(cores=4, threads=2)
    machine.put({f"{CPU}/amd_pstate/status": "active", f"{CPUFREQ}/boost": "1"})
    for cpu in range(8):
        _policy(machine, cpu, "amd-pstate-epp", "performance powersave", "powersave", 400_000, 4_500_000)
        machine.put(
            {
                f"{CPUFREQ}/policy{cpu}/energy_performance_preference": "balance_performance",
                f"{CPUFREQ}/policy{cpu}/energy_performance_available_preferences": _PREFERENCES,
                f"{CPU}/cpu{cpu}/acpi_cppc/nominal_freq": "3200",
            }
        )
    return machine


def acpi_cpufreq() -> KernelTree:
    """An older server: 4 cores without SMT, a table of frequencies whose first line is boost."""
    machine = _base(cores=4, threads=1)
    machine.put({f"{CPUFREQ}/boost": "1"})
    for cpu in range(4):
        governors = "conservative ondemand userspace powersave performance schedutil"
        _policy(machine, cpu, "acpi-cpufreq", governors, "ondemand", 1_200_000, 2_401_000)
        listed = "2401000 2400000 2000000 1600000 1200000"
        machine.put({f"{CPUFREQ}/policy{cpu}/scaling_available_frequencies": listed})
    return machine


def arm_cppc() -> KernelTree:
    """An ARM server: 16 cores, no SMT, cppc_cpufreq, no boost."""
    machine = _base(cores=16, threads=1)
    machine.put({f"{CPU}/smt/control": "notimplemented", f"{CPU}/smt/active": "0"})
    for cpu in range(16):
        governors = "conservative ondemand userspace powersave performance schedutil"
        _policy(machine, cpu, "cppc_cpufreq", governors, "schedutil", 1_000_000, 3_000_000)
        machine.put({f"{CPU}/cpu{cpu}/acpi_cppc/nominal_freq": "2800"})
    return machine


def two_sockets() -> KernelTree:
    """Two sockets, two nodes, 2 × 16 cores with SMT; card on the second node, managed interrupts."""
    machine = _base(cores=32, threads=2, sockets=2)
    _intel(machine, range(64), "active")
    machine.put({"/sys/class/net/eth0/device/numa_node": "1"})
    for number in (0, 1):
        folder = f"{CPU}/intel_uncore_frequency/package_0{number}_die_00"
        uncore = {"initial_max_freq_khz": "2400000", "max_freq_khz": "2400000", "min_freq_khz": "800000"}
        machine.put({f"{folder}/{name}": text for name, text in uncore.items()})
    for number in range(32, 64):
        machine.put({f"/proc/irq/{number}/smp_affinity_list": str(number)})
        machine.managed.add(str(number))
    return machine


def cloud_vm() -> KernelTree:
    """A virtual machine of a cloud: two CPUs, no frequencies, no SMT control, a virtio disk."""
    machine = _base(cores=2, threads=1)
    machine.put({f"{CPU}/smt/control": "notsupported", f"{CPU}/smt/active": "0"})
    return machine


MACHINES: dict[str, Callable[[], KernelTree]] = {
    one.__name__: one
    for one in (intel_active, intel_passive, amd_pstate, acpi_cpufreq, arm_cppc, two_sockets, cloud_vm)
}


def lay(machine: KernelTree, folder: Path) -> None:
    """Make a machine's files in a folder, for programs; it takes writes as a disk does, by no rules.

    Files that mark one of their words are left out: only a kernel moves the mark.
    """
    for path, text in machine.files.items():
        if "[" not in text:
            target = folder / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)


def _base(*, cores: int, threads: int, sockets: int = 1) -> KernelTree:
    machine = KernelTree()
    _topology(machine, cores, threads, sockets)
    machine.put(_sysctls())
    _interrupts(machine, cores * threads)
    _memory(machine)
    _disks(machine)
    _mounts(machine)
    _units(machine)
    machine.put({"/etc/machine-id": "0" * 31 + "1", "/dev/cpu_dma_latency": ""})
    mce = "/sys/devices/system/machinecheck/machinecheck0"
    machine.put({f"{mce}/check_interval": "300", f"{mce}/ignore_ce": "0"})
    return machine


def _topology(machine: KernelTree, cores: int, threads: int, sockets: int) -> None:
    """CPU n and n + cores are the threads of one core, as Linux numbers them on most servers."""
    total = cores * threads
    machine.put({f"{CPU}/online": f"0-{total - 1}", f"{CPU}/present": f"0-{total - 1}"})
    machine.put({f"{CPU}/smt/control": "on" if threads > 1 else "notsupported", f"{CPU}/smt/active": "1"})
    per_socket = cores // sockets
    members: dict[int, list[int]] = {}
    for cpu in range(total):
        core = cpu % cores
        socket = core // per_socket
        members.setdefault(socket, []).append(cpu)
        folder = f"{CPU}/cpu{cpu}/topology"
        siblings = ",".join(str(core + cores * thread) for thread in range(threads))
        machine.put({f"{folder}/core_cpus_list": siblings, f"{folder}/physical_package_id": str(socket)})
        machine.put({f"{CPU}/cpu{cpu}/power/energy_perf_bias": "6"} if threads > 1 else {})
    for socket, numbers in members.items():
        machine.put({f"/sys/devices/system/node/node{socket}/cpulist": ",".join(map(str, sorted(numbers)))})


def _intel(machine: KernelTree, numbers: range, mode: str) -> None:
    machine.put(
        {
            f"{CPU}/intel_pstate/status": mode,
            f"{CPU}/intel_pstate/no_turbo": "0",
            f"{CPU}/intel_pstate/min_perf_pct": "21",
            f"{CPU}/intel_pstate/max_perf_pct": "100",
        }
    )
    driver = "intel_pstate" if mode == "active" else "intel_cpufreq"
    governors = "performance powersave" + ("" if mode == "active" else " schedutil ondemand")
    for cpu in numbers:
        _idle_states(machine, cpu)
        governor = "powersave" if mode == "active" else "schedutil"
        _policy(machine, cpu, driver, governors, governor, 800_000, 3_800_000)
        machine.put(
            {
                f"{CPUFREQ}/policy{cpu}/base_frequency": "2400000",
                f"{CPUFREQ}/policy{cpu}/energy_performance_preference": "balance_performance",
                f"{CPUFREQ}/policy{cpu}/energy_performance_available_preferences": _PREFERENCES,
            }
        )


def _idle_states(machine: KernelTree, cpu: int) -> None:
    for number, (name, latency) in enumerate((("POLL", 0), ("C1", 2), ("C1E", 10), ("C6", 133))):
        folder = f"{CPU}/cpu{cpu}/cpuidle/state{number}"
        machine.put({f"{folder}/name": name, f"{folder}/latency": str(latency), f"{folder}/disable": "0"})


def _policy(
    machine: KernelTree, cpu: int, driver: str, governors: str, governor: str, low: int, high: int
) -> None:
    files = {
        "scaling_driver": driver,
        "scaling_available_governors": governors,
        "scaling_governor": governor,
        "scaling_min_freq": str(low),
        "scaling_max_freq": str(high),
        "cpuinfo_min_freq": str(low),
        "cpuinfo_max_freq": str(high),
    }
    machine.put({f"{CPUFREQ}/policy{cpu}/{name}": text for name, text in files.items()})


def _sysctls() -> dict[str, str]:
    kernel = {
        "timer_migration": "1",
        "sched_rt_runtime_us": "950000",
        "sched_autogroup_enabled": "1",
        "numa_balancing": "1",
        "randomize_va_space": "2",
        "nmi_watchdog": "1",
        "soft_watchdog": "1",
        "watchdog": "1",
        "hung_task_timeout_secs": "120",
        "perf_event_max_sample_rate": "63000",
        "perf_cpu_time_max_percent": "25",
    }
    memory = {
        "nr_hugepages": "0",
        "zone_reclaim_mode": "0",
        "swappiness": "60",
        "compaction_proactiveness": "20",
        "watermark_boost_factor": "15000",
        "watermark_scale_factor": "10",
        "overcommit_memory": "0",
        "stat_interval": "1",
        "max_map_count": "65530",
        "dirty_bytes": "0",
        "dirty_ratio": "20",
        "dirty_background_bytes": "0",
        "dirty_background_ratio": "10",
        "dirty_expire_centisecs": "3000",
        "dirty_writeback_centisecs": "500",
    }
    network = {
        "core/somaxconn": "4096",
        "core/rmem_max": "212992",
        "core/wmem_max": "212992",
        "core/busy_poll": "0",
        "core/busy_read": "0",
        "core/default_qdisc": "fq_codel",
        "ipv4/tcp_max_syn_backlog": "1024",
        "ipv4/ip_local_port_range": "32768\t60999",
        "ipv4/tcp_tw_reuse": "2",
        "ipv4/tcp_rmem": "4096\t131072\t6291456",
        "ipv4/tcp_wmem": "4096\t16384\t4194304",
        "ipv4/tcp_slow_start_after_idle": "1",
        "ipv4/tcp_no_metrics_save": "0",
        "ipv4/tcp_congestion_control": "cubic",
    }
    return {
        **{f"{KERNEL}/{name}": text for name, text in kernel.items()},
        **{f"{VM}/{name}": text for name, text in memory.items()},
        **{f"/proc/sys/net/{name}": text for name, text in network.items()},
        "/proc/sys/fs/aio-max-nr": "65536",
    }


def _interrupts(machine: KernelTree, total: int) -> None:
    width = -(-total // 4)
    everyone = f"{(1 << total) - 1:0{width}x}"
    first = len(everyone) % 8 or 8
    mask = ",".join([everyone[:first], *(everyone[at : at + 8] for at in range(first, width, 8))])
    machine.put({"/proc/irq/default_smp_affinity": mask})
    machine.put({f"/proc/irq/{number}/smp_affinity_list": f"0-{total - 1}" for number in range(24, 32)})
    machine.put(
        {
            "/sys/devices/virtual/workqueue/cpumask": mask,
            "/sys/devices/virtual/workqueue/writeback/cpumask": mask,
        }
    )


def _memory(machine: KernelTree) -> None:
    huge = "/sys/kernel/mm/transparent_hugepage"
    machine.put(
        {
            f"{huge}/enabled": "[always] madvise never",
            f"{huge}/defrag": "always defer defer+madvise [madvise] never",
            f"{huge}/khugepaged/defrag": "1",
            "/sys/kernel/mm/ksm/run": "0",
            "/sys/kernel/rcu_normal": "0",
            "/sys/kernel/rcu_expedited": "0",
        }
    )


def _disks(machine: KernelTree) -> None:
    for disk, turning, scheduler in (
        ("nvme0n1", "0", "[mq-deadline] none"),
        ("sda", "1", "mq-deadline [none]"),
    ):
        queue = {
            "scheduler": scheduler,
            "rotational": turning,
            "nr_requests": "777",  # by hand: neither scheduler's own
            "wbt_lat_usec": "2000",
            "read_ahead_kb": "4096",
            "rq_affinity": "1",
            "nomerges": "0",
            "io_timeout": "30000",
        }
        machine.put({f"/sys/block/{disk}/queue/{name}": text for name, text in queue.items()})
        machine.put({f"/sys/block/{disk}/device/model": "generated"})
    machine.put({"/sys/block/loop0/queue/scheduler": "[none]", "/sys/block/loop0/queue/read_ahead_kb": "128"})
    machine.put({"/sys/class/net/lo/mtu": "65536", "/sys/class/net/eth0/mtu": "1500"})
    machine.put({"/sys/class/net/eth0/device/numa_node": "-1", "/sys/class/net/eth0/carrier": "1"})
    machine.put({f"/sys/class/net/eth0/queues/rx-{queue}/rps_cpus": "3" for queue in (0, 1)})
    machine.calls.add_card("eth0")
    machine.put({"/sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc"})


def _mounts(machine: KernelTree) -> None:
    """Two areas of swap, one of them numbered by the kernel, and mounts of disks and of none."""
    machine.put({"/proc/meminfo": "MemTotal: 16000000 kB\nMemAvailable: 12000000 kB"})
    machine.put(
        {"/etc/fstab": "UUID=0-1 none swap sw,discard=once 0 0\n/swap\\040file none swap sw,pri=5 0 0"}
    )
    machine.links["/dev/disk/by-uuid/0-1"] = "../../sda2"
    machine.calls.swap_to(("/swap\\040file", "file", 5), ("/dev/sda2", "partition", -2))
    machine.put(
        {
            "/proc/self/mountinfo": (
                "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n"
                "23 22 0:5 / /proc rw,nosuid,nodev,noexec,relatime shared:2 - proc proc rw\n"
                "24 22 259:1 / /data\\040one rw,nosuid,nodev - xfs /dev/nvme0n1p1 rw,attr2\n"
                "25 22 7:0 / /snap ro,nodev,relatime - squashfs /dev/loop0 ro"
            )
        }
    )


def _units(machine: KernelTree) -> None:
    machine.put({f"/usr/lib/systemd/system/{name}": "[Unit]\n" for name in _UNITS})
    machine.put({"/proc/self/loginuid": "4294967295"})
    machine.put({"/run/systemd/system/.here": "", "/run/systemd/units/.here": ""})
    machine.put({"/usr/sbin/update-grub": "#!/bin/sh", "/etc/default/grub.d/init-select.cfg": ""})
    machine.put({"/boot/grub/grub.cfg": "linux /vmlinuz root=LABEL=ROOT ro quiet"})
    machine.reboot()
    machine.cgroups.begin(machine.text(f"{CPU}/online"))
    machine.set_units(_RUNNING, "active")
    machine.writes.clear()
