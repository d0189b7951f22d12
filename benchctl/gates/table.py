"""The gates as data: what each measures, its limit, and how grave an objection is in which context.

Two kinds. `false`: the data are not what they claim to be (errors, death, a clock step, other settings, no
overlap, out of memory): an objection makes the trial invalid, anywhere. `noise`: something else than the
system under test may have shaped the numbers: invalid where load generator and DBMS have hosts of their own,
suspect where they share one or the grade is D.

Where they share a host, three figures have no limit and are only recorded: the busiest core and the pressure
on cpu and io. There the DBMS and its load drive cores to 92-98 % and pressure to 64-85 % in every sound
trial, for that is what a closed loop on one machine does; a limit would mark all trials and distinguish none.
What a shared host can tell apart keeps its limit: the load generator's own CPU time against the threads it
has, schedule lag, foreign processes, steal, throttling, swap and memory pressure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from benchctl.gates import measures
from benchctl.model.measurement import Finding

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchctl.gates.context import Context
    from benchctl.gates.evidence import Evidence
    from benchctl.gates.measures import Measurement
    from benchctl.model.measurement import Validity


class Gate(NamedTuple):
    """One row: objects when the figure is above the limit."""

    name: str
    doc: str  # what an objection means
    unit: str
    limit: float
    kind: Literal["false", "noise"]
    measure: Callable[[Evidence], Measurement | None]
    where: Literal["anywhere", "apart"] = "anywhere"  # apart: no limit where load and DBMS share a host

    def limit_in(self, context: Context) -> float | None:
        return None if self.where == "apart" and context.shared_host else self.limit

    def severity_in(self, context: Context) -> Validity:
        return "suspect" if self.kind == "noise" and context.lenient else "invalid"


GATES = (
    Gate("samples", "what the host did is not known", "1", 0, "noise", measures.samples),
    Gate("errors", "requests failed", "ratio", 0.0001, "false", measures.errors),
    Gate(
        "overlap", "the load did not run through the whole window", "ratio", 0.01, "false", measures.overlap
    ),
    Gate("settings", "the server runs with other settings", "1", 0, "false", measures.settings),
    Gate("service", "the server died", "1", 0, "false", measures.service),
    Gate("clock_step", "the wall clock was set while measuring", "s", 0.01, "false", measures.clock_step),
    Gate("oom", "the kernel killed processes for want of memory", "1", 0, "false", measures.oom),
    Gate("swap", "pages were swapped", "pages", 0, "noise", measures.swap),
    Gate("steal", "the hypervisor gave CPU time to others", "ratio", 0.01, "noise", measures.steal),
    Gate("thermal", "the CPU was throttled for its heat", "1", 0, "noise", measures.thermal),
    Gate("quota", "the cgroup's CPU quota ran out", "1", 0, "noise", measures.quota),
    Gate(
        "loader_cpu",
        "the load generator is saturated: more threads or another host may raise the numbers",
        "ratio",
        0.7,
        "noise",
        measures.loader_cpu,
    ),
    Gate(
        "schedule_lag",
        "the load generator could not keep its schedule",
        "ms",
        1,
        "noise",
        measures.schedule_lag,
    ),
    Gate("busiest_core", "a core is saturated", "ratio", 0.9, "noise", measures.busiest_core, "apart"),
    Gate("pressure_cpu", "tasks waited for a CPU", "ratio", 0.1, "noise", measures.pressure("cpu"), "apart"),
    Gate("pressure_io", "tasks waited for disks", "ratio", 0.1, "noise", measures.pressure("io"), "apart"),
    Gate("pressure_memory", "tasks waited for memory", "ratio", 0.01, "noise", measures.pressure("memory")),
    Gate("foreign", "other processes used the CPUs", "CPUs", 0.1, "noise", measures.foreign),
)


def judge(evidence: Evidence) -> tuple[Finding, ...]:
    """One finding for each gate that has a subject here, in the order of GATES.

    What cannot be judged is said: a finding without a figure that is ok and names the reason.
    """
    found = (_judge(gate, evidence) for gate in GATES)
    return tuple(finding for finding in found if finding is not None)


def _judge(gate: Gate, evidence: Evidence) -> Finding | None:
    limit = gate.limit_in(evidence.context)
    try:
        measured = gate.measure(evidence)
    except measures.UnjudgedError as error:
        return _finding(gate, "ok", None, limit, f"not judged: {error}")
    except (ValueError, KeyError, TypeError, ArithmeticError) as error:
        return _finding(gate, "suspect", None, limit, f"not judged: host.samples has another form: {error!r}")
    if measured is None:
        return None
    value = float(f"{measured.value:.6g}")
    if limit is None:
        return _finding(gate, "ok", value, None, "recorded only: load generator and DBMS share this host")
    if value <= limit:
        return _finding(gate, "ok", value, limit, "")
    reason = f"{gate.doc}: {measured.detail}" if measured.detail else gate.doc
    return _finding(gate, gate.severity_in(evidence.context), value, limit, reason)


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
