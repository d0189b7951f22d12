"""The knobs as data: one row for each host setting that tuning owns or records.

Owns the rows, what excludes what, and the document that each follows. Must not read or write any of them:
tuning does, from these rows alone. Adding a sysctl is one row and one case.
"""

from typing import Any, Dict, Optional, Tuple

from benchctl.agent.knob import Conflict, Knob, Place

AREAS = ("cpu", "isolation", "memory", "disk", "network", "quiet", "state")

CPU = "/sys/devices/system/cpu"
POLICY = f"{CPU}/cpufreq/{{policy}}"
UNCORE = f"{CPU}/intel_uncore_frequency/{{uncore}}"
QUEUE = "/sys/block/{disk}/queue"
HUGE = "/sys/kernel/mm/transparent_hugepage"
MCE = "/sys/devices/system/machinecheck/machinecheck0"
NET = "net/ipv4"

SLICES = ("system.slice", "user.slice", "machine.slice", "init.scope", "bench.slice")
MEASURED = "/sys/fs/cgroup/benchctl"

ADMIN = "Documentation/admin-guide"
PM = f"{ADMIN}/pm"
VM = f"{ADMIN}/sysctl/vm.rst"
KERNEL = f"{ADMIN}/sysctl/kernel.rst"
BLOCK = "Documentation/ABI/stable/sysfs-block"
IP = "Documentation/networking/ip-sysctl.rst"
NET_CORE = f"{ADMIN}/sysctl/net.rst"
SYSTEMD = "systemctl(1), systemd.unit(5)"


def _sysctl(  # noqa: PLR0913, PLR0917 - the columns of a row
    key: str,
    name: str,
    number: int,
    area: str,
    doc: str,
    effect: str,
    source: str,
    low: Optional[int] = None,
    high: Optional[int] = None,
    beside: Tuple[str, ...] = (),
    **rest: Any,  # noqa: ANN401 - fields of Knob, which checks them
) -> Knob:
    place = Place(f"/proc/sys/{key}", beside=tuple(f"/proc/sys/{other}" for other in beside))
    return Knob(name, number, area, doc, effect, source, (place,), low=low, high=high, **rest)


def _recorded(  # noqa: PLR0913 - same
    name: str,
    number: int,
    area: str,
    doc: str,
    effect: str,
    source: str,
    *paths: str,
    why: str,
    reboot: bool = False,
    cost: str = "",
) -> Knob:
    places = tuple(Place(path) for path in paths)
    rest: Any = {"reboot": reboot, "cost": cost, "why": why}
    return Knob(name, number, area, doc, effect, source, places, "recorded", "text", **rest)


def _nic(
    name: str, doc: str, what: str, choices: Tuple[str, ...], low: Optional[int], order: int, cost: str
) -> Knob:
    rest: Any = {"choices": choices, "low": low, "order": order, "own": True, "cost": cost}
    form = "number" if low is not None else "word"
    places = (Place(f"ethtool:{{nic}}/{what}"),)
    return Knob(name, 42, "network", doc, "MT", "ethtool(8)", places, "nic", form, **rest)


def _limit(name: str, number: int, doc: str, file: str, form: str, words: Tuple[str, ...]) -> Knob:
    place = Place(f"/sys/fs/cgroup/bench.slice/{file}", (("max", "max 100000"),) if form == "words" else ())
    rest: Any = {"form": form, "choices": words, "own": True}
    return Knob(name, number, "isolation", doc, "L", f"{ADMIN}/cgroup-v2.rst", (place,), **rest)


def _units(name: str, number: int, doc: str, effect: str, units: str, order: int, cost: str) -> Knob:
    places = tuple(Place(unit) for unit in units.split())
    rest: Any = {"choices": ("masked",), "order": order, "own": True, "cost": cost}
    return Knob(name, number, "quiet", doc, effect, SYSTEMD, places, "unit", "unit", **rest)


# A row is a line: the formatter would make a page of each.
# fmt: off

_CPU = (
    Knob("smt", 8, "cpu", "Two threads of one core share it, and disturb each other.", "L", f"{ADMIN}/kernel-parameters.txt (nosmt)", (Place(f"{CPU}/smt/control"),), form="word", choices=("on", "off"), order=1, cost="half of the logical CPUs go; throughput of busy servers falls by up to a third"),
    Knob("pstate_mode", 5, "cpu", "Whether the driver or a governor chooses the frequency.", "M", f"{PM}/intel_pstate.rst, amd-pstate.rst", (Place(f"{CPU}/intel_pstate/status"), Place(f"{CPU}/amd_pstate/status")), form="word", choices=("active", "passive", "guided"), order=5, first=True, cost="all settings of frequency begin anew"),
    Knob("epp", 4, "cpu", "How eagerly the hardware raises the frequency.", "M", f"{PM}/intel_pstate.rst, amd-pstate.rst", (Place(f"{POLICY}/energy_performance_preference"),), form="word", choices=("default", "performance", "balance_performance", "balance_power", "power"), order=20, cost="power"),
    Knob("epb", 4, "cpu", "The same on CPUs without a preference by name: 0 performance, 15 saving.", "M", f"{PM}/intel_epb.rst", (Place(f"{CPU}/{{cpu}}/power/energy_perf_bias"),), low=0, high=15, order=20, cost="power"),
    Knob("governor", 1, "cpu", "Who chooses the frequency; all but performance follow the load, late.", "L", f"{PM}/cpufreq.rst", (Place(f"{POLICY}/scaling_governor", beside=(f"{POLICY}/energy_performance_preference",)),), form="word", choices=("performance", "powersave", "schedutil", "ondemand", "conservative", "userspace"), order=30, cost="power and heat"),
    Knob("boost", 3, "cpu", "Whether CPUs go above their base frequency while power and heat allow.", "L", f"{PM}/cpufreq.rst, intel_pstate.rst", (Place(f"{CPU}/intel_pstate/no_turbo", (("on", "0"), ("off", "1"))), Place(f"{CPU}/cpufreq/boost", (("on", "1"), ("off", "0"))), Place(f"{POLICY}/boost", (("on", "1"), ("off", "0")))), choices=("on", "off"), order=35, first=True, cost="10 to 40 % of the speed, for numbers that repeat"),
    Knob("max_freq", 2, "cpu", "The highest frequency in kHz; base and max are the CPU's own.", "L", f"{PM}/cpufreq.rst", (Place(f"{POLICY}/scaling_max_freq"),), choices=("base", "max"), low=1, order=40, cost="speed above it"),
    Knob("min_freq", 2, "cpu", "The lowest frequency in kHz; base and max are the CPU's own.", "L", f"{PM}/cpufreq.rst", (Place(f"{POLICY}/scaling_min_freq"),), choices=("base", "max"), low=1, order=40, cost="power and heat"),
    Knob("max_perf_pct", 2, "cpu", "intel_pstate's own limit, in percent of the highest frequency.", "L", f"{PM}/intel_pstate.rst", (Place(f"{CPU}/intel_pstate/max_perf_pct"),), low=1, high=100, order=41),
    Knob("min_perf_pct", 2, "cpu", "intel_pstate's own lower limit, in percent of the highest frequency.", "L", f"{PM}/intel_pstate.rst", (Place(f"{CPU}/intel_pstate/min_perf_pct"),), low=0, high=100, order=41),
    Knob("uncore_max_freq", 7, "cpu", "The highest frequency of caches and memory controller, in kHz.", "M", f"{PM}/intel_uncore_frequency_scaling.rst", (Place(f"{UNCORE}/max_freq_khz"),), choices=("max",), low=1, order=42, cost="power"),
    Knob("uncore_min_freq", 7, "cpu", "The lowest frequency of caches and memory controller, in kHz.", "M", f"{PM}/intel_uncore_frequency_scaling.rst", (Place(f"{UNCORE}/min_freq_khz"),), choices=("max",), low=1, order=42, cost="power"),
    Knob("idle_states", 6, "cpu", "The longest that an idle state may take to wake up, in µs; deeper ones are off.", "MT", f"{PM}/cpuidle.rst", (Place(f"{CPU}/{{cpu}}/cpuidle/state*/disable"),), kind="idle", low=0, order=44, cost="power; at 0 an idle thread takes from its sibling"),
    Knob("wakeup_latency", 6, "cpu", "The longest that an idle CPU may take to wake up, in µs: a held request.", "MT", "Documentation/power/pm_qos_interface.rst", (Place("/dev/cpu_dma_latency"),), kind="held", low=0, high=2000000000, order=45, cost="power; at 0 an idle thread takes from its sibling"),
)

_ISOLATION = (
    _units("irqbalance", 13, "It moves interrupts between CPUs as it likes.", "M", "irqbalance.service", 10, "interrupts stay where they are"),
    Knob("irq_affinity", 12, "isolation", "Which CPUs serve interrupts; housekeeping keeps them off the measured ones.", "MT", "Documentation/core-api/irq/irq-affinity.rst", (Place("/proc/irq/{irq}/smp_affinity_list"),), form="cpus", choices=("housekeeping",), order=60, cost="fast networks and disks may need more CPUs for their interrupts"),
    Knob("default_irq_affinity", 12, "isolation", "The same for interrupts that come later.", "S", "Documentation/core-api/irq/irq-affinity.rst", (Place("/proc/irq/default_smp_affinity"),), form="mask", choices=("housekeeping",), order=60),
    _sysctl("kernel/timer_migration", "timer_migration", 14, "isolation", "Whether timers move to other CPUs.", "ST", KERNEL, 0, 1),
    Knob("workqueue_cpus", 15, "isolation", "Which CPUs do the kernel's unbound work.", "ST", "Documentation/core-api/workqueue.rst", (Place("/sys/devices/virtual/workqueue/cpumask"),), form="mask", choices=("housekeeping",)),
    Knob("writeback_cpus", 15, "isolation", "Which CPUs write dirty pages back.", "ST", "Documentation/core-api/workqueue.rst", (Place("/sys/devices/virtual/workqueue/writeback/cpumask"),), form="mask", choices=("housekeeping",)),
    _sysctl("kernel/sched_rt_runtime_us", "rt_runtime", 16, "isolation", "How much of a second real-time threads may take, in µs; -1 all.", "S", "Documentation/scheduler/sched-rt-group.rst", -1, 1000000),
    _sysctl("kernel/sched_autogroup_enabled", "autogroup", 17, "isolation", "Whether sessions share CPUs as groups.", "SM", "sched(7)", 0, 1),
    Knob("rcu_normal", 49, "isolation", "Whether RCU never hurries other CPUs with interrupts.", "S", "Documentation/ABI/testing/sysfs-kernel-rcu", (Place("/sys/kernel/rcu_normal"),), low=0, high=1),
    Knob("rcu_expedited", 49, "isolation", "Whether RCU always hurries other CPUs with interrupts.", "S", "Documentation/ABI/testing/sysfs-kernel-rcu", (Place("/sys/kernel/rcu_expedited"),), low=0, high=1),
    Knob("cpu_sets", 9, "isolation", "Whether what is measured has CPUs for itself, by the plan, and all other processes keep to housekeeping.", "L", f"{ADMIN}/cgroup-v2.rst, systemd.resource-control(5)", tuple(Place(unit) for unit in (*SLICES, MEASURED)), kind="cpuset", form="text", choices=("plan",), order=62, cost="the CPUs of housekeeping"),
    Knob("isolated_partition", 10, "isolation", "What the scheduler makes of those CPUs: root balances load among them alone, isolated not at all.", "MT", f"{ADMIN}/cgroup-v2.rst", (Place(f"{MEASURED}/cpuset.cpus.partition"),), kind="partition", form="word", choices=("isolated", "root"), order=63, cost="isolated: threads stay where they began, so only for servers of one thread"),
    Knob("numa_nodes", 19, "isolation", "From which NUMA nodes what is measured gets memory; plan: from those of its CPUs.", "L", f"{ADMIN}/cgroup-v2.rst", (Place(f"{MEASURED}/cpuset.mems"),), kind="nodes", form="text", choices=("plan",), order=64, cost="the memory of the other nodes"),
    Knob("boot_isolation", 11, "isolation", "Whether the kernel keeps timer ticks and RCU's work away from the measured CPUs: nohz_full, rcu_nocbs, skew_tick; isolcpus as well, its load balancing.", "MT", f"{ADMIN}/kernel-parameters.txt, Documentation/timers/no_hz.rst", (Place("/etc/default/grub.d/benchctl.cfg"),), kind="boot", form="text", choices=("plan", "isolcpus"), order=90, reboot=True, cost="a reboot, and another one to undo it; isolcpus: threads stay where they began, so only for servers of one thread"),
    Knob("mitigations", 45, "isolation", "What the kernel does against faults of the CPU: bias, not noise, and always recorded with the host.", "L", f"{ADMIN}/hw-vuln/index.rst, {ADMIN}/kernel-parameters.txt", (Place("/etc/default/grub.d/benchctl-mitigations.cfg"),), kind="boot", form="text", choices=("off", "auto"), order=91, reboot=True, cost="a reboot, and another one to undo it; off is unsafe where others compute"),
    Knob("background_weight", 52, "isolation", "Share of CPU time of system and user slices against the measured one's 100.", "S", f"{ADMIN}/cgroup-v2.rst", (Place("/sys/fs/cgroup/system.slice/cpu.weight"), Place("/sys/fs/cgroup/user.slice/cpu.weight")), low=1, high=10000, own=True, cost="all else waits when CPUs are short; systemd may write it again"),
)

_MEMORY = (
    Knob("thp", 21, "memory", "Huge pages without being asked for.", "MT", f"{ADMIN}/mm/transhuge.rst", (Place(f"{HUGE}/enabled"),), form="bracket", choices=("always", "madvise", "never"), cost="none for PostgreSQL and Redis, whose vendors say so"),
    Knob("thp_defrag", 21, "memory", "Whether who faults waits until memory is compacted.", "MT", f"{ADMIN}/mm/transhuge.rst", (Place(f"{HUGE}/defrag"),), form="bracket", choices=("always", "defer", "defer+madvise", "madvise", "never")),
    Knob("khugepaged_defrag", 21, "memory", "Whether khugepaged compacts memory.", "MT", f"{ADMIN}/mm/transhuge.rst", (Place(f"{HUGE}/khugepaged/defrag"),), low=0, high=1),
    _sysctl("vm/nr_hugepages", "huge_pages", 22, "memory", "Huge pages set aside.", "M", f"{ADMIN}/mm/hugetlbpage.rst", 0, cost="memory that nothing else can use"),
    Knob("ksm", 24, "memory", "Merging of equal pages; 2 also takes merged ones apart.", "S", f"{ADMIN}/mm/ksm.rst", (Place("/sys/kernel/mm/ksm/run"),), low=0, high=2, cost="memory, where pages were merged"),
    _sysctl("kernel/numa_balancing", "numa_balancing", 18, "memory", "Moving pages after the threads that use them.", "M", KERNEL, 0, 3, cost="threads far from their memory stay so"),
    _sysctl("vm/zone_reclaim_mode", "zone_reclaim", 20, "memory", "Whether a node drops its page cache before it asks another.", "M", VM, 0, 7),
    _sysctl("vm/swappiness", "swappiness", 23, "memory", "How soon memory is swapped out.", "L", VM, 0, 200),
    _sysctl("vm/compaction_proactiveness", "compaction", 25, "memory", "Compaction of memory in the background.", "ST", VM, 0, 100),
    _sysctl("vm/watermark_boost_factor", "watermark_boost", 25, "memory", "Reclaim beyond need after fragmentation.", "ST", VM, 0),
    _sysctl("vm/watermark_scale_factor", "watermark_scale", 25, "memory", "How early memory is reclaimed in the background.", "ST", VM, 1, 3000),
    _sysctl("vm/overcommit_memory", "overcommit", 26, "memory", "Whether more memory is promised than there is.", "V", VM, 0, 2),
    _sysctl("kernel/randomize_va_space", "aslr", 27, "memory", "Random addresses; with a restart in each trial their luck is sampled, so it stays 2.", "M", KERNEL, 2, 2),
    _sysctl("vm/stat_interval", "stat_interval", 30, "memory", "Seconds between two updates of the counters of memory.", "ST", VM, 1, 3600),
    _sysctl("vm/max_map_count", "max_map_count", 48, "memory", "Memory areas that a process may have.", "V", VM, 65530),
    _sysctl("vm/dirty_background_bytes", "dirty_background_bytes", 32, "memory", "Dirty memory from which it is written back.", "L", VM, 1, beside=("vm/dirty_background_ratio",)),
    _sysctl("vm/dirty_bytes", "dirty_bytes", 32, "memory", "Dirty memory from which writers wait.", "L", VM, 8192, beside=("vm/dirty_ratio",)),
    _sysctl("vm/dirty_background_ratio", "dirty_background_ratio", 32, "memory", "The same as a share of memory, in percent.", "L", VM, 0, 100, beside=("vm/dirty_background_bytes",)),
    _sysctl("vm/dirty_ratio", "dirty_ratio", 32, "memory", "The same as a share of memory, in percent.", "L", VM, 0, 100, beside=("vm/dirty_bytes",)),
    _sysctl("vm/dirty_expire_centisecs", "dirty_expire", 32, "memory", "Age from which dirty memory is written back, in 1/100 s.", "L", VM, 1),
    _sysctl("vm/dirty_writeback_centisecs", "dirty_writeback", 32, "memory", "Pause between two rounds of writing back, in 1/100 s.", "L", VM, 0),
    Knob("swap", 23, "memory", "Where memory is swapped to; off takes all areas away for the time.", "L", "swapon(2)", (Place("/proc/swaps"),), kind="swap", form="text", choices=("off",), cost="what needs more memory than there is gets killed"),
)

_DISK = (
    Knob("io_scheduler", 33, "disk", "The order of requests; device means none for flash, mq-deadline for disks that turn.", "M", "Documentation/block/switching-sched.rst", (Place(f"{QUEUE}/scheduler", beside=(f"{QUEUE}/nr_requests", f"{QUEUE}/wbt_lat_usec")),), form="bracket", choices=("device", "none", "mq-deadline", "bfq", "kyber"), order=49),
    Knob("read_ahead", 34, "disk", "How much is read ahead, in KiB.", "SM", BLOCK, (Place(f"{QUEUE}/read_ahead_kb"),), low=0),
    Knob("nr_requests", 34, "disk", "Requests that may wait in a queue.", "SM", BLOCK, (Place(f"{QUEUE}/nr_requests"),), low=1),
    Knob("rq_affinity", 34, "disk", "On which CPU a request is completed.", "SM", BLOCK, (Place(f"{QUEUE}/rq_affinity"),), low=0, high=2),
    Knob("wbt_latency", 34, "disk", "The latency that throttled writing back keeps to, in µs; 0 is off.", "SM", BLOCK, (Place(f"{QUEUE}/wbt_lat_usec"),), low=0),
    Knob("nomerges", 34, "disk", "Whether neighbouring requests are merged: 0 always, 2 never.", "SM", BLOCK, (Place(f"{QUEUE}/nomerges"),), low=0, high=2),
    Knob("io_timeout", 34, "disk", "When a request counts as lost, in ms.", "S", BLOCK, (Place(f"{QUEUE}/io_timeout"),), low=1),
    _sysctl("fs/aio-max-nr", "aio_max_nr", 48, "disk", "Asynchronous requests that all processes may have.", "V", f"{ADMIN}/sysctl/fs.rst", 65536),
    Knob("atime", 35, "disk", "Whether reading a file of a disk writes its time of access.", "SM", "mount(2)", (Place("mount:{mount}"),), kind="mount", form="word", choices=("noatime", "relatime", "strictatime"), own=True, cost="none but for programs that ask when a file was read last"),
    _recorded("disk_health", 36, "disk", "Wear and temperature of disks.", "L", "nvme-smart-log(1)", "/sys/class/hwmon/*/name", why="trimming and filling a disk cannot be taken back", cost="trim, then wait, by hand"),
    _recorded("page_cache", 37, "disk", "What of the files is in memory.", "L", VM, why="it is no setting: the reset and restart of each trial decide what is in it"),
)

_DOWN = "the link may go for seconds, with what is on its way"

_NETWORK = (
    _sysctl("net/core/somaxconn", "somaxconn", 43, "network", "Connections that may wait to be accepted.", "VM", NET_CORE, 1, own=True),
    _sysctl(f"{NET}/tcp_max_syn_backlog", "syn_backlog", 43, "network", "Connections that may be half open.", "VM", IP, 1, own=True),
    _sysctl(f"{NET}/ip_local_port_range", "port_range", 43, "network", 'Ports for outgoing connections, as "low high".', "VM", IP, form="words", own=True),
    _sysctl(f"{NET}/tcp_tw_reuse", "tw_reuse", 43, "network", "Whether ports of closed connections serve again.", "VM", IP, 0, 2, own=True),
    _sysctl("net/core/rmem_max", "rmem_max", 43, "network", "The largest buffer for receiving that a program may ask for.", "VM", NET_CORE, 2304),
    _sysctl("net/core/wmem_max", "wmem_max", 43, "network", "The largest buffer for sending that a program may ask for.", "VM", NET_CORE, 4608),
    _sysctl(f"{NET}/tcp_rmem", "tcp_rmem", 43, "network", 'TCP\'s buffers for receiving, as "min default max".', "VM", IP, form="words", own=True),
    _sysctl(f"{NET}/tcp_wmem", "tcp_wmem", 43, "network", 'TCP\'s buffers for sending, as "min default max".', "VM", IP, form="words", own=True),
    _sysctl("net/core/busy_poll", "busy_poll", 43, "network", "How long poll and select wait by spinning, in µs.", "MT", NET_CORE, 0, cost="CPU time"),
    _sysctl("net/core/busy_read", "busy_read", 43, "network", "How long reads wait by spinning, in µs.", "MT", NET_CORE, 0, cost="CPU time"),
    _sysctl(f"{NET}/tcp_slow_start_after_idle", "slow_start_after_idle", 43, "network", "Whether an idle connection begins slowly again.", "M", IP, 0, 1, own=True),
    _sysctl(f"{NET}/tcp_no_metrics_save", "no_metrics_save", 43, "network", "1: what connections learned is forgotten, not carried into the next trial.", "VM", IP, 0, 1, own=True),
    _sysctl(f"{NET}/tcp_congestion_control", "congestion_control", 43, "network", "How fast TCP sends.", "M", IP, form="word", own=True),
    _sysctl("net/core/default_qdisc", "default_qdisc", 43, "network", "The queue that new interfaces get.", "M", NET_CORE, form="word"),
    Knob("mtu", 44, "network", "The largest packet of an interface, in bytes.", "S", "Documentation/ABI/testing/sysfs-class-net", (Place("/sys/class/net/{nic}/mtu"),), kind="nic", low=68, high=65535, order=56, own=True, cost="both ends and all between must agree; the link may go for seconds"),
    _nic("nic_channels", "Queues of a network card that receive and send.", "channels/combined", ("max",), 1, 53, f"interrupts begin anew; {_DOWN}"),
    _nic("nic_rx_channels", "The same, for cards whose queues only receive.", "channels/rx", ("max",), 1, 53, f"interrupts begin anew; {_DOWN}"),
    _nic("nic_tx_channels", "The same, for cards whose queues only send.", "channels/tx", ("max",), 1, 53, f"interrupts begin anew; {_DOWN}"),
    _nic("nic_rx_ring", "Packets that may wait in a queue before they are taken.", "ring/rx", ("max",), 1, 54, _DOWN),
    _nic("nic_tx_ring", "Packets that may wait in a queue before they are sent.", "ring/tx", ("max",), 1, 54, _DOWN),
    _nic("nic_adaptive_rx", "Whether the card changes by itself how long interrupts of receiving wait.", "coalesce/adaptive-rx", ("on", "off"), None, 57, "more interrupts at full load, or later ones at little"),
    _nic("nic_adaptive_tx", "The same for sending.", "coalesce/adaptive-tx", ("on", "off"), None, 57, "more interrupts at full load, or later ones at little"),
    _nic("nic_rx_usecs", "How long an interrupt of receiving waits for more packets, in µs.", "coalesce/rx-usecs", (), 0, 58, "latency, or interrupts"),
    _nic("nic_tx_usecs", "The same for sending.", "coalesce/tx-usecs", (), 0, 58, "latency, or interrupts"),
    _nic("nic_gro", "Whether received packets of a connection are joined by the kernel.", "offload/gro", ("on", "off"), None, 59, "CPU time without it"),
    _nic("nic_lro", "The same by the card, which waits for it.", "offload/lro", ("on", "off"), None, 59, "CPU time without it"),
    Knob("rps_cpus", 42, "network", "Which CPUs take received packets from the one that was interrupted; none keeps them there.", "MT", "Documentation/networking/scaling.rst", (Place("/sys/class/net/{nic}/queues/rx-*/rps_cpus", (("none", "0"),)),), form="mask", choices=("none", "housekeeping"), own=True),
    Knob("xps_cpus", 42, "network", "Which CPUs send by which queue.", "MT", "Documentation/networking/scaling.rst", (Place("/sys/class/net/{nic}/queues/tx-*/xps_cpus", (("none", "0"),)),), form="mask", choices=("none", "housekeeping"), own=True),
)

_TIMERS = "apt-daily.timer apt-daily-upgrade.timer fstrim.timer man-db.timer logrotate.timer e2scrub_all.timer dpkg-db-backup.timer systemd-tmpfiles-clean.timer motd-news.timer fwupd-refresh.timer plocate-updatedb.timer mlocate-updatedb.timer update-notifier-download.timer dnf-makecache.timer sysstat-collect.timer anacron.timer"

_QUIET = (
    _units("other_tuners", 13, "Programs that set the same knobs as they like.", "V", "tuned.service power-profiles-daemon.service tlp.service auto-cpufreq.service ksmtuned.service", 10, "what they set is given back to them at the end"),
    _units("timers", 38, "Work that begins by itself.", "L", _TIMERS, 12, "that work waits"),
    _units("services", 38, "Services that work in the background.", "L", "unattended-upgrades.service packagekit.service snapd.service cron.service crond.service anacron.service", 12, "updates and cron jobs wait"),
    _sysctl("kernel/nmi_watchdog", "nmi_watchdog", 29, "quiet", "A watch for CPUs that hang, by a hardware counter.", "S", KERNEL, 0, 1, cost="a CPU that hangs is not noticed"),
    _sysctl("kernel/soft_watchdog", "soft_watchdog", 29, "quiet", "A watch for CPUs that hang, by a thread on each.", "S", KERNEL, 0, 1, cost="a CPU that hangs is not noticed"),
    _sysctl("kernel/watchdog", "watchdog", 29, "quiet", "Both watches together.", "S", KERNEL, 0, 1, order=51, cost="a CPU that hangs is not noticed"),
    _sysctl("kernel/hung_task_timeout_secs", "hung_task_timeout", 29, "quiet", "Seconds after which a task that waits is told; 0 never.", "S", KERNEL, 0),
    _sysctl("kernel/perf_event_max_sample_rate", "perf_sample_rate", 28, "quiet", "Samples in a second that perf may take.", "S", KERNEL, 1),
    _sysctl("kernel/perf_cpu_time_max_percent", "perf_cpu_time", 28, "quiet", "Percent of a CPU that perf may take.", "S", KERNEL, 0, 100, order=52),
    Knob("mce_interval", 31, "quiet", "Seconds between two looks for corrected machine errors; 0 never.", "S", "Documentation/ABI/testing/sysfs-mce", (Place(f"{MCE}/check_interval"),), form="number", low=0),
    Knob("mce_ignore_corrected", 31, "quiet", "Whether corrected machine errors are ignored.", "S", "Documentation/ABI/testing/sysfs-mce", (Place(f"{MCE}/ignore_ce"),), low=0, high=1, cost="failing memory is not noticed"),
    Knob("clocksource", 41, "quiet", "What the time of day is read from.", "L", f"{ADMIN}/kernel-parameters.txt (clocksource)", (Place("/sys/devices/system/clocksource/clocksource0/current_clocksource"),), form="word"),
    _units("loggers", 39, "Programs that write what is logged into files, beside the journal.", "SM", "rsyslog.service syslog-ng.service", 12, "what is logged meanwhile is in the journal only"),
    Knob("journald", 39, "quiet", "Where the journal is written to: volatile is memory alone.", "SM", "journald.conf(5)", (Place("/run/systemd/journald.conf.d/zz-benchctl.conf", (("volatile", "Storage=volatile"),)),), kind="journald", form="text", choices=("volatile",), order=13, own=True, cost="journald starts anew; a crash takes what was logged since"),
    Knob("audit", 39, "quiet", "Whether the kernel notes what programs do, for auditd or the journal.", "SM", "auditctl(8)", (Place("audit:enabled"),), kind="audit", low=0, high=1, order=14, cost="a gap in the audit trail"),
    _units("time_sync", 40, "Programs that keep the clock right, and may step it.", "V", "systemd-timesyncd.service chrony.service chronyd.service ntpsec.service ntp.service ntpd.service openntpd.service", 12, "clocks of hosts drift apart, by up to 50 µs in a second"),
)

_STATE = (
    _recorded("firmware", 46, "state", "Microcode and BIOS; its power profile is set there.", "V", "dmidecode(8)", "/sys/class/dmi/id/bios_version", "/sys/devices/system/cpu/cpu0/microcode/version", why="only the BIOS or its vendor sets it", reboot=True, cost="in the BIOS: performance profile, power limits"),
    _recorded("temperature", 47, "state", "Temperatures, and how often heat has throttled CPUs.", "M", "Documentation/hwmon/sysfs-interface.rst", "/sys/class/thermal/thermal_zone*/temp", "/sys/devices/system/cpu/cpu*/thermal_throttle/core_throttle_count", why="it is no setting; a gate judges each trial by the throttling that it counts", cost="better cooling"),
    _recorded("loader_hosts", 50, "state", "The same knobs, on hosts of load generators as well.", "L", f"{PM}/cpufreq.rst", why="it has no file of its own: the rows of 1 to 6 are set on every host that is tuned"),
    _limit("bench_cpu_max", 51, "Whether the slice of what is measured has a quota of CPU time.", "cpu.max", "words", ("max",)),
    _limit("bench_memory_high", 51, "The memory from which what is measured is slowed down.", "memory.high", "word", ("max",)),
    _limit("bench_memory_max", 51, "The memory that what is measured may have.", "memory.max", "word", ("max",)),
    _limit("bench_swap_max", 23, "The swap that what is measured may have.", "memory.swap.max", "word", ("0", "max")),
    _recorded("uptime", 53, "state", "How long this boot lasts: memory gets fragmented.", "M", "proc(5)", "/proc/uptime", why="only a reboot begins anew", reboot=True, cost="a reboot"),
)

CONFLICTS = (
    Conflict("numa_nodes", "*", "cpu_sets", "", "the nodes are those of the CPUs that cpu_sets gives to what is measured"),
    Conflict("boot_isolation", "*", "cpu_sets", "", "nothing would be put on the CPUs that it keeps free; set it to plan"),
    Conflict("boot_isolation", "*", "min_freq", "", "with nohz_full intel_pstate no longer sees how busy a CPU is: fix the frequency first, set it to base"),
    Conflict("isolated_partition", "*", "cpu_sets", "", "the partition is made of the CPUs that cpu_sets takes from all others"),
    Conflict("irq_affinity", "*", "irqbalance", "", "irqbalance would move the interrupts again; set it to masked"),
    Conflict("min_freq", "*", "boost", "on", "a fixed frequency and boost exclude each other: boost leaves the fixed one whenever heat and power allow"),
    Conflict("max_freq", "base", "boost", "on", "a fixed frequency and boost exclude each other: boost leaves the fixed one whenever heat and power allow"),
    Conflict("governor", "performance", "epp", "!performance", "the governor performance fixes the preference: the kernel refuses any other (EBUSY)"),
    Conflict("perf_cpu_time", "0", "perf_sample_rate", "*", "at 0 and at 100 percent the kernel refuses to change the sample rate (EINVAL)"),
    Conflict("perf_cpu_time", "100", "perf_sample_rate", "*", "at 0 and at 100 percent the kernel refuses to change the sample rate (EINVAL)"),
    Conflict("dirty_bytes", "*", "dirty_ratio", "*", "they are one limit in two units: writing one sets the other to 0"),
    Conflict("dirty_background_bytes", "*", "dirty_background_ratio", "*", "they are one limit in two units: writing one sets the other to 0"),
    Conflict("rcu_normal", "1", "rcu_expedited", "1", "rcu_normal wins over rcu_expedited: the second would do nothing"),
    Conflict("nic_rx_usecs", "*", "nic_adaptive_rx", "!off", "an adaptive card changes the time by itself; set it to off"),
    Conflict("nic_tx_usecs", "*", "nic_adaptive_tx", "!off", "an adaptive card changes the time by itself; set it to off"),
    Conflict("swap", "off", "bench_swap_max", "max", "without swap there is none to have"),
    Conflict("watchdog", "0", "nmi_watchdog", "1", "watchdog switches both watches off"),
    Conflict("watchdog", "0", "soft_watchdog", "1", "watchdog switches both watches off"),
)

# fmt: on

ELSEWHERE = {50: ("governor", "min_freq", "max_freq", "boost", "epp", "pstate_mode", "wakeup_latency")}
"""Numbers of the table that ask for no knob of their own: the rows that do it."""

KNOBS: Dict[str, Knob] = {
    knob.name: knob for knob in (*_CPU, *_ISOLATION, *_MEMORY, *_DISK, *_NETWORK, *_QUIET, *_STATE)
}
