"""What the analysis says: comparisons with their verdicts, and the summary of a run."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from benchctl.model.experiment import Direction
from benchctl.model.measurement import Validity
from benchctl.model.record import Record
from benchctl.model.tuning import KnobOutcome

Verdict = Literal["faster", "slower", "equivalent", "inconclusive"]
State = Literal["planned", "running", "finished", "failed", "interrupted"]
GOING_ON: tuple[State, ...] = ("planned", "running")  # what is there of the run is not yet its result


class Comparison(Record, frozen=True, kw_only=True):
    """A contender level against the baseline; effect, low, high, detectable, delta are ratios minus one."""

    factor: str
    at: dict[str, str]
    baseline: str
    contender: str
    metric: str
    unit: str
    better: Direction
    verdict: Verdict
    effect: float | None
    low: float | None
    high: float | None
    p: float | None
    p_adjusted: float | None  # Holm over all comparisons of the run
    p_permutation: float | None  # from n = 6 on
    p_rank: float | None
    n: int  # pairs that count
    detectable: float | None
    delta: float
    paired: bool
    validity: Validity
    reasons: tuple[str, ...] = ()


class MetricSummary(Record, frozen=True, kw_only=True):
    """One metric of one treatment over the trials that count."""

    treatment: str
    levels: dict[str, str]
    metric: str
    unit: str
    n: int
    mean: float | None  # geometric
    low: float | None
    high: float | None
    cv: float | None


class TrialCounts(Record, frozen=True, kw_only=True):
    planned: int
    ok: int = 0
    suspect: int = 0
    invalid: int = 0
    failed: int = 0


class GateSummary(Record, frozen=True, kw_only=True):
    """How often a gate objected, and the trial where it was worst."""

    gate: str
    validity: Validity
    trials: int
    worst_trial: int | None
    value: float | None
    limit: float | None
    unit: str
    reason: str


class SeriesClass(Record, frozen=True, kw_only=True):
    """What one trial's one-second series looks like; flagged, never dropped."""

    ordinal: int
    treatment: str
    series: str
    klass: Literal["flat", "warm-up", "slowdown", "unsteady", "too short"]
    detail: str  # what shows it, in words; empty when flat


class CounterSummary(Record, frozen=True, kw_only=True):
    """By how much one counter of the DBMS grew in a trial of one treatment, over the trials that count."""

    treatment: str
    levels: dict[str, str]
    counter: str
    n: int
    mean: float
    least: float
    most: float


EventKind = Literal["checkpoint", "vacuum", "analyze", "wal"]


class TrialEvent(Record, frozen=True, kw_only=True):
    """Something that the DBMS did on its own account under the load of one trial."""

    ordinal: int
    treatment: str
    host: str
    kind: EventKind
    at: float | None  # seconds from the window's start, below 0 in the warm-up; None: only counted
    seconds: float | None  # how long; None: unknown, or longer than the server's log
    count: int  # how many; of wal: bytes
    text: str  # why, or on what; empty when there is nothing to say


class HostMetric(Record, frozen=True, kw_only=True):
    """One metric of one load generator under one treatment, where several drove the system together."""

    treatment: str
    host: str
    metric: str
    unit: str
    n: int
    mean: float | None  # geometric; None where not every trial that counts carries a value


class StartSummary(Record, frozen=True, kw_only=True):
    """How well several load generators began together, over all trials; times in seconds."""

    trials: int
    spread_median: float  # from the first start to the last one
    spread_worst: float
    worst_trial: int
    uncertainty: float  # the largest doubt about where two starts lie
    overlap: float  # the least share of a window in which all loads ran at once
    late: int  # trials in which a host learned too late when to begin


class BlocksNeeded(Record, frozen=True, kw_only=True):
    """Blocks that find a difference of delta with this power; None: not known, or more than anybody runs."""

    power: float
    expected: int | None  # if the pilot's spread is the true one
    cautious: int | None  # if the truth lies at the pilot's upper bound


class PilotMetric(Record, frozen=True, kw_only=True):
    """How much one metric spreads at each level; coefficients of variation, None where not estimable."""

    metric: str
    delta: float
    trials: int
    cv_second: float | None  # between the seconds of a trial
    cv_trial: float | None  # between trials of a block: what the paired analysis has to live with
    cv_trial_high: float | None  # its upper bound: one time in five the truth lies beyond
    cv_block: float | None  # between blocks: pairing takes it out
    blocks: tuple[BlocksNeeded, ...]


class TunedHost(Record, frozen=True, kw_only=True):
    """What tuning came to on one host."""

    host: str
    grade: str
    profile: str
    counts: dict[str, int]  # outcome -> knobs that have it
    missing: tuple[KnobOutcome, ...]  # that are not as the profile wants them


class Summary(Record, frozen=True, kw_only=True):
    """summary.json: everything a report shows; derived from raw files and trial.json alone."""

    schema: int = 1
    run: str
    name: str
    state: State
    validity: Validity | None  # None: the run goes on, and no trial has finished yet
    grade: str
    trials: TrialCounts
    comparisons: tuple[Comparison, ...]
    metrics: tuple[MetricSummary, ...]
    gates: tuple[GateSummary, ...]
    notes: tuple[str, ...] = field(default_factory=tuple)
    series: tuple[SeriesClass, ...] = ()
    counters: tuple[CounterSummary, ...] = ()
    events: tuple[TrialEvent, ...] = ()
    hosts: tuple[HostMetric, ...] = ()
    start: StartSummary | None = None
    pilot: tuple[PilotMetric, ...] = ()  # of a pilot, which compares nothing
    tuning: tuple[TunedHost, ...] = ()  # hosts that were tuned for the run
