"""What each gate measures: one small function over the evidence, giving a figure and what is worth saying.

A function returns None where its gate has no subject (no DBMS, no rate). It raises Unjudged where the subject
is there and cannot be seen.
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from benchctl.gates import proc

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchctl.gates.evidence import Evidence, Sample

SLEW = 0.0005  # seconds per second: adjtime(3) never slews faster
PREEMPTION = 1.0  # seconds that a sampler may lose between two clocks
CAPACITY_SHARE = 0.5
LAG_SHARE = 0.01  # of the median latency
DISK_TROUBLE = re.compile(
    r"I/O error|critical (medium|target) error|(EXT4|XFS|BTRFS).*(error|corrupt|Shutdown)"
    r"|Remounting filesystem read-only|nvme\S*: (I/O|Abort|controller is down)"
    r"|ata\d[\w.]*: (exception|failed command|hard resetting)",
    re.IGNORECASE,
)
OWN_UNITS = ("benchctl", "bench.slice", "run-", "session-", "user-", "user@")


class Measurement(NamedTuple):
    value: float
    detail: str = ""  # names and numbers behind the figure


class UnjudgedError(Exception):
    """A gate's subject cannot be seen in this trial."""


def samples(evidence: Evidence) -> Measurement:
    """Problems of host.samples: none or one."""
    if evidence.problem and evidence.self_timed:
        raise UnjudgedError(evidence.problem)  # a command may end before the first sample
    return Measurement(float(bool(evidence.problem)), evidence.problem)


def samples_dropped(evidence: Evidence) -> Measurement:
    """Samples between the edges that are gone: what the window was as a whole is known from the edges."""
    return Measurement(float(evidence.dropped))


def errors(evidence: Evidence) -> Measurement | None:
    result = evidence.result
    if result is None:
        return None
    if result.requests == 0 and result.percentile_source == "loader":
        raise UnjudgedError("this load generator does not count requests")
    if result.requests == 0:
        return Measurement(1.0, "nothing was completed inside the window")
    return Measurement(
        result.errors / result.requests, f"{result.errors} of {result.requests} requests failed"
    )


def overlap(evidence: Evidence) -> Measurement | None:
    """The share of the window in which the load did not run."""
    window, load = evidence.window, evidence.load
    if load is None:
        return None
    if evidence.self_timed:
        raise UnjudgedError("the command measures by itself and ends when it wants")
    covered = max(0.0, min(window.end, load.end) - max(window.start, load.start))
    ran = f"it ran from {load.start - window.start:+.3f} s to {load.end - window.start:+.3f} s"
    return Measurement(1 - covered / window.seconds, f"{ran}, the window is {window.seconds:g} s long")


def settings(evidence: Evidence) -> Measurement | None:
    if evidence.server is None:
        return None
    pairs = [
        f"{name} is {found!r}, wanted {wanted!r}"
        for name, (wanted, found) in evidence.server.differing.items()
    ]
    return Measurement(float(len(pairs)), "; ".join(pairs))


def service(evidence: Evidence) -> Measurement | None:
    """Servers that were there at the window's start and not at its end."""
    if evidence.server is None:
        return None
    died = _both(evidence).first["service"]["cpu"] is not None and evidence.last["service"]["cpu"] is None
    return Measurement(float(died), f"{evidence.server.instance} was gone" if died else "")


def clock_step(evidence: Evidence) -> Measurement:
    """How far the wall clock moved against the monotonic one, beyond the fastest slew, in seconds.

    The two clocks are read one after the other; a sampler that is preempted in between makes one sample's
    difference too small. So what lies before and after each possible moment is represented by its largest
    difference, and a side of a single sample counts only for more than a preemption explains.
    """
    offsets = [sample["t"] - sample["m"] for sample in _both(evidence).samples]
    before = list(accumulate(offsets, max))[:-1]
    after = list(accumulate(reversed(offsets), max))[-2::-1]
    moved = [abs(late - early) for early, late in zip(before, after, strict=True)]
    if len(offsets) > 3:
        moved = [*moved[1:-1], *(edge for edge in (moved[0], moved[-1]) if edge > PREEMPTION)]
    return Measurement(max(0.0, max(moved) - SLEW * evidence.seconds))


def oom(evidence: Evidence) -> Measurement:
    return Measurement(_change(evidence, "vmstat", lambda text: proc.counter(text, "oom_kill")))


def swap(evidence: Evidence) -> Measurement:
    """Pages swapped in and out."""

    def pages(text: str) -> float:
        return proc.counter(text, "pswpin") + proc.counter(text, "pswpout")

    return Measurement(_change(evidence, "vmstat", pages))


def steal(evidence: Evidence) -> Measurement:
    """The share of CPU time that the hypervisor gave to others."""
    first, last = (proc.cpus(text)["cpu"] for text in _texts(evidence, "stat"))
    return Measurement((last.steal - first.steal) / max(1, last.total - first.total))


def busiest_core(evidence: Evidence) -> Measurement:
    first, last = (proc.cpus(text) for text in _texts(evidence, "stat"))
    shares = {
        name: (last[name].busy - first[name].busy) / max(1, last[name].total - first[name].total)
        for name in last
        if name != "cpu" and name in first
    }
    name = max(shares, key=shares.__getitem__)
    return Measurement(shares[name], name)


def pressure(resource: str) -> Callable[[Evidence], Measurement]:
    """The share of the window in which some task waited for cpu, io or memory."""

    def measure(evidence: Evidence) -> Measurement:
        return Measurement(_change(evidence, f"pressure_{resource}", proc.stalled) / evidence.seconds)

    return measure


def thermal(evidence: Evidence) -> Measurement:
    first, last = (sample["files"]["throttle"] for sample in (_both(evidence).first, evidence.last))
    if first is None or last is None:
        raise UnjudgedError("this host shows no thermal_throttle counters")
    return Measurement(float(last - first))


def quota(evidence: Evidence) -> Measurement:
    """Periods in which the cgroup's CPU quota ran out."""
    return Measurement(_change(evidence, "cgroup_cpu", lambda text: proc.counter(text, "nr_throttled")))


def loader_cpu(evidence: Evidence) -> Measurement | None:
    """The load generator's CPU time as a share of what it can use: its threads, at most the host's CPUs."""
    if evidence.result is None:
        return None
    first, last = _both(evidence).first["task"]["cpu"], evidence.last["task"]["cpu"]
    if first is None or last is None:
        raise UnjudgedError("the load generator's CPU time is not in the samples")
    count = len(proc.cpus(_texts(evidence, "stat")[0])) - 1
    placed = evidence.first["task"].get("cpus")
    if placed is not None:
        count = len(proc.listed(placed["wanted"]))
    usable = min(count, evidence.result.threads or count)
    used = max(0.0, last - first) / evidence.seconds
    return Measurement(used / usable, f"{used:.2f} CPUs of {usable}")


def placement(evidence: Evidence) -> Measurement | None:
    """Threads of load generator and DBMS that may run on other CPUs than those they were started on."""
    seen = [
        (what, sample[name]["cpus"])
        for sample in (_both(evidence).first, evidence.last)
        for name, what in (("service", "the DBMS"), ("task", "the load generator"))
        if sample[name].get("cpus")
    ]
    if not seen:
        return None
    elsewhere = {
        f"{what}: {count} may run on {found}, not only on {cpus['wanted']}": count
        for what, cpus in seen
        for found, count in cpus["threads"].items()
        if not proc.listed(found) <= proc.listed(cpus["wanted"])
    }
    return Measurement(float(sum(elsewhere.values())), "; ".join(elsewhere))


def loader_capacity(evidence: Evidence) -> Measurement | None:
    """Throughput as a share of what the load generator reaches here against a target that does nothing.

    Where that was slower than the load generator, its ceiling is at least what it reached: a share below the
    limit is one all the same, and one above it tells nothing.
    """
    result, capacity = evidence.result, evidence.capacity
    if result is None or result.threads is None:
        return None
    reached = result.metrics["throughput"].value if "throughput" in result.metrics else None
    if capacity is None or reached is None:
        raise UnjudgedError("this load was not run against a null target")
    share = reached / capacity.throughput
    if share > CAPACITY_SHARE and not capacity.is_ceiling:
        slower = "the null target was slower" if capacity.target_busy > capacity.busy else "it had to wait"
        raise UnjudgedError(
            f"its ceiling is not known: against a null target it reached {capacity.throughput:.6g}/s and was"
            f" busy for {capacity.busy:.0%} of the time; {slower}"
        )
    return Measurement(share, f"{reached:.6g}/s of {capacity.throughput:.6g}/s")


def schedule_lag(evidence: Evidence) -> Measurement | None:
    """p99 of how late requests started, in ms; 0 when that is below LAG_SHARE of the median latency."""
    if evidence.result is None:
        return None
    metrics = evidence.result.metrics
    if not evidence.result.open_loop or "schedule_lag_p99" not in metrics:
        return None
    lag, median = metrics["schedule_lag_p99"].value, metrics["latency_p50"].value
    if lag is None or median is None:
        raise UnjudgedError("too few requests for a p99 of the schedule lag")
    share = f"{lag:.3f} ms, {100 * lag / median:,.3g} % of the median latency"
    return Measurement(lag if lag > LAG_SHARE * median else 0.0, share)


def foreign(evidence: Evidence) -> Measurement:
    """CPUs kept busy by processes that are neither load, server nor agent; names the three busiest.

    Processes that were started and ended between two looks are not seen; kernel threads do not count, they
    mostly work for others.
    """
    before, after = _both(evidence).first.get("foreign"), evidence.last.get("foreign")
    if before is None or after is None:
        raise UnjudgedError("the samples name no other processes")
    base = {entry["pid"]: entry["cpu"] for entry in before}
    used = {(e["name"], e["pid"]): max(0.0, e["cpu"] - base.get(e["pid"], 0.0)) for e in after}
    busiest = sorted((key for key in used if used[key]), key=lambda key: (-used[key], key))[:3]
    names = ", ".join(f"{name} ({pid}) {used[name, pid] / evidence.seconds:.2f}" for name, pid in busiest)
    return Measurement(sum(used.values()) / evidence.seconds, names)


def retransmits(evidence: Evidence) -> Measurement:
    """The share of the TCP segments sent that had to be sent again."""
    first, last = (proc.table(text, "Tcp") for text in _texts(evidence, "snmp"))
    again, sent = (last[name] - first[name] for name in ("RetransSegs", "OutSegs"))
    return Measurement(again / max(1, sent), f"{again} of {sent} segments")


def listen_overflows(evidence: Evidence) -> Measurement:
    """Connections that a full queue turned away: each waits a second or more and asks again."""
    first, last = (proc.table(text, "TcpExt") for text in _texts(evidence, "netstat"))
    names = ("ListenOverflows", "ListenDrops")  # an overflow counts as a drop too
    return Measurement(float(max(last[name] - first[name] for name in names)))


def interrupts(evidence: Evidence) -> Measurement:
    """Interrupts per second on the CPU that took the most."""
    first, last = _at_edges(evidence, "irqs")
    rates = {cpu: (last[cpu] - first[cpu]) / evidence.seconds for cpu in last if cpu in first}
    busiest = max(rates, key=rates.__getitem__)
    return Measurement(rates[busiest], busiest)


def disk_errors(evidence: Evidence) -> Measurement:
    """New kernel messages of failing disks or file systems."""
    count, texts = _kernel_said(evidence)
    wrong = [text for text in texts if DISK_TROUBLE.search(text)]
    if len(texts) < count and not wrong:
        raise UnjudgedError(f"the kernel said more than the samples keep: {count} messages")
    return Measurement(float(len(wrong)), "; ".join(wrong))


def kernel_messages(evidence: Evidence) -> Measurement:
    count, texts = _kernel_said(evidence)
    return Measurement(float(count), "; ".join(texts))


def units(evidence: Evidence) -> Measurement:
    """Units of systemd that are active at the end and were not at the start; sessions are logins."""
    first, last = (set(found) for found in _at_edges(evidence, "units"))
    new = sorted(name for name in last - first if not name.startswith(OWN_UNITS))
    return Measurement(float(len(new)), ", ".join(new))


def logins(evidence: Evidence) -> Measurement:
    first, last = _at_edges(evidence, "logins")
    return Measurement(float(max(0, last - first)))


def _kernel_said(evidence: Evidence) -> tuple[int, list[str]]:
    """How many messages came while measuring, and the texts of the last of them."""
    first, last = _at_edges(evidence, "kmsg")
    count = int(last["count"]) - int(first["count"])
    return count, [str(text) for text in last["last"]][-count:] if count else []


def _at_edges(evidence: Evidence, name: str) -> tuple[Any, Any]:
    """What only the first and the last sample have."""
    first, last = _both(evidence).first.get(name), evidence.last.get(name)
    if first is None or last is None:
        raise UnjudgedError(f"this host does not show {name}")
    return first, last


def _both(evidence: Evidence) -> Evidence:
    """The evidence, given that it has a first and a last sample."""
    if evidence.problem:
        raise UnjudgedError("see samples")
    return evidence


def _texts(evidence: Evidence, name: str) -> tuple[str, str]:
    """A file at the first and the last sample."""
    first, last = (_text(sample, name) for sample in (_both(evidence).first, evidence.last))
    return first, last


def _text(sample: Sample, name: str) -> str:
    text: Any = sample["files"].get(name)
    if not isinstance(text, str):
        raise UnjudgedError(f"this host does not show {name}")
    return text


def _change(evidence: Evidence, name: str, number: Callable[[str], float]) -> float:
    first, last = _texts(evidence, name)
    return number(last) - number(first)
