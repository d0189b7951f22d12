"""The gates as data: what each measures, its limit, and how grave an objection is in which context.

Three kinds. `false`: the data are not what they claim to be (errors, death, a clock step, other settings, no
overlap, out of memory): an objection makes the trial invalid, anywhere. `noise`: something else than the
system under test may have shaped the numbers: invalid where load generator and DBMS have hosts of their own,
suspect where they share one or the grade is D. `hint`: something happened that mostly does no harm (a message
of the kernel, a unit that started, a login): suspect, anywhere.

The busiest core and the pressure on cpu and io have a limit only on hosts that carry a load generator and
nothing else; elsewhere they are recorded. A DBMS may use all it has: that is what is measured. Where it
shares a host with its load, they drive cores to 92-98 % and pressure to 64-85 % in every sound trial, for
that is what a closed loop on one machine does; a limit would mark all trials and distinguish none. What a
shared host can tell apart keeps its limit: the load generator's own CPU time against the threads it has,
schedule lag, foreign processes, steal, throttling, swap and memory pressure. Nor does its TCP traffic say
anything there: load and DBMS talk over a socket or the loopback, what is lost is other people's.

Where each limit comes from: docs/design/gates.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from benchctl.gates import knobs, measures, together
from benchctl.model.measurement import Finding

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchctl.gates.context import Context
    from benchctl.gates.evidence import Evidence
    from benchctl.gates.measures import Measurement
    from benchctl.gates.together import Together
    from benchctl.model.measurement import Validity


class Gate(NamedTuple):
    """One row: objects when the figure is above the limit."""

    name: str
    doc: str  # what an objection means
    unit: str
    limit: float | None  # None: the figure is recorded
    kind: Literal["false", "noise", "hint"]
    measure: Callable[[Any], Measurement | None]  # of Evidence; in TOGETHER, of Together
    where: Literal["anywhere", "apart", "loader"] = "anywhere"
    """`apart`: no limit where load and DBMS share a host; `loader`: nor on hosts without a load generator."""

    def limit_in(self, context: Context, *, loads: bool) -> float | None:
        """The limit on a host; `loads`: a load generator runs there."""
        shared = context.shared_host and self.where != "anywhere"
        return None if shared or (self.where == "loader" and not loads) else self.limit

    def severity_in(self, context: Context) -> Validity:
        lenient = self.kind == "hint" or (self.kind == "noise" and context.lenient)
        return "suspect" if lenient else "invalid"


ON_HOSTS = (
    Gate("samples", "what the host did is not known", "1", 0, "noise", measures.samples),
    Gate(
        "samples_dropped",
        "the host had no room for all samples: the window's course is not known from its begin on",
        "1",
        0,
        "hint",
        measures.samples_dropped,
    ),
    Gate("errors", "requests failed", "ratio", 0.0001, "false", measures.errors),
    Gate(
        "overlap", "the load did not run through the whole window", "ratio", 0.01, "false", measures.overlap
    ),
    Gate("settings", "the server runs with other settings", "1", 0, "false", measures.settings),
    Gate("service", "the server died", "1", 0, "false", measures.service),
    Gate("knobs", "a knob was not as it was set", "1", 0, "false", knobs.drift),
    Gate("clock_step", "the wall clock was set while measuring", "s", 0.01, "false", measures.clock_step),
    Gate("oom", "the kernel killed processes for want of memory", "1", 0, "false", measures.oom),
    Gate("swap", "pages were swapped", "pages", 0, "noise", measures.swap),
    Gate("steal", "the hypervisor gave CPU time to others", "ratio", 0.01, "noise", measures.steal),
    Gate("thermal", "the CPU was throttled for its heat", "1", 0, "noise", measures.thermal),
    Gate("quota", "the cgroup's CPU quota ran out", "1", 0, "noise", measures.quota),
    Gate("placement", "threads may run on CPUs that others have", "threads", 0, "noise", measures.placement),
    Gate(
        "loader_cpu",
        "the load generator is saturated: more threads or another host may raise the numbers",
        "ratio",
        0.7,
        "noise",
        measures.loader_cpu,
    ),
    Gate(
        "loader_capacity",
        "the load generator does more than half of what it can do on this host at most",
        "ratio",
        measures.CAPACITY_SHARE,
        "noise",
        measures.loader_capacity,
    ),
    Gate(
        "schedule_lag",
        "the load generator could not keep its schedule",
        "ms",
        1,
        "noise",
        measures.schedule_lag,
    ),
    Gate("busiest_core", "a core is saturated", "ratio", 0.9, "noise", measures.busiest_core, "loader"),
    Gate("pressure_cpu", "tasks waited for a CPU", "ratio", 0.1, "noise", measures.pressure("cpu"), "loader"),
    Gate("pressure_io", "tasks waited for disks", "ratio", 0.1, "noise", measures.pressure("io"), "loader"),
    Gate("pressure_memory", "tasks waited for memory", "ratio", 0.01, "noise", measures.pressure("memory")),
    Gate("foreign", "other processes used the CPUs", "CPUs", 0.1, "noise", measures.foreign),
    Gate("retransmits", "TCP sent segments again", "ratio", 0.001, "noise", measures.retransmits, "apart"),
    Gate(
        "listen_overflows",
        "connections were turned away",
        "1",
        0,
        "noise",
        measures.listen_overflows,
        "apart",
    ),
    Gate("disk_errors", "a disk or a file system failed", "1", 0, "false", measures.disk_errors),
    Gate("kernel_messages", "the kernel had something to say", "1", 0, "hint", measures.kernel_messages),
    Gate("units", "units were started", "1", 0, "hint", measures.units),
    Gate("logins", "somebody logged in", "1", 0, "hint", measures.logins),
    Gate("interrupts", "interrupts on the CPU with the most", "1/s", None, "hint", measures.interrupts),
)

TOGETHER = (
    Gate("start_skew", "the loads did not begin together", "ms", 10, "noise", together.start_skew),
    Gate(
        "steady_overlap",
        "not all loads ran through the whole window",
        "ratio",
        0.01,
        "false",
        together.steady_overlap,
    ),
    Gate("clocks", "the hosts' clocks are not known well enough", "ratio", 0.01, "noise", together.clocks),
)

GATES = (*ON_HOSTS, *TOGETHER)


def judge(evidence: Evidence) -> tuple[Finding, ...]:
    """One finding for each gate that has a subject on this host, in the order of the gates.

    What cannot be judged is said: a finding without a figure that is ok and names the reason.
    """
    loads = evidence.load is not None
    found = (_judge(gate, evidence, evidence.context, loads=loads) for gate in ON_HOSTS)
    return tuple(finding for finding in found if finding is not None)


def judge_together(whole: Together) -> tuple[Finding, ...]:
    """The same for all loads of a trial; nothing where there is one."""
    found = (_judge(gate, whole, whole.context, loads=True) for gate in TOGETHER)
    return tuple(finding for finding in found if finding is not None)


def _judge(gate: Gate, subject: Evidence | Together, context: Context, *, loads: bool) -> Finding | None:
    limit = gate.limit_in(context, loads=loads)
    try:
        measured = gate.measure(subject)
    except measures.UnjudgedError as error:
        return _finding(gate, "ok", None, limit, f"not judged: {error}")
    except (ValueError, KeyError, TypeError, ArithmeticError) as error:
        return _finding(gate, "suspect", None, limit, f"not judged: host.samples has another form: {error!r}")
    if measured is None:
        return None
    value = float(f"{measured.value:.6g}")
    if limit is None:
        return _finding(gate, "ok", value, None, f"recorded only: {_why(gate, context)}")
    if value <= limit:
        return _finding(gate, "ok", value, limit, "")
    reason = f"{gate.doc}: {measured.detail}" if measured.detail else gate.doc
    return _finding(gate, gate.severity_in(context), value, limit, reason)


def _why(gate: Gate, context: Context) -> str:
    if gate.limit is None:
        return "no limit is known that tells good trials from bad ones"
    if context.shared_host:
        return "load generator and DBMS share this host"
    return "no load generator runs here"


def _finding(
    gate: Gate, validity: Validity, value: float | None, limit: float | None, reason: str
) -> Finding:
    return Finding(
        gate=gate.name,
        validity=validity,
        value=value,
        limit=None if limit is None else float(limit),
        unit=gate.unit,
        reason=reason,
    )
