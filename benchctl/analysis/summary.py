"""The summary of a run: counts, comparisons, treatments, gates and what a reader has to know besides."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from benchctl.analysis.comparisons import compare
from benchctl.analysis.courses import counters, course_notes, courses
from benchctl.analysis.hosts import host_metrics, start_summary
from benchctl.analysis.numbers import rounded
from benchctl.analysis.pilot import evaluate
from benchctl.gates import GATES
from benchctl.model.comparison import (
    GOING_ON,
    GateSummary,
    MetricSummary,
    Summary,
    TrialCounts,
    TunedHost,
)
from benchctl.model.measurement import worst
from benchctl.statistics import intervals

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchctl.model.comparison import Comparison, State, TrialEvent
    from benchctl.model.measurement import Finding, Trial, Validity
    from benchctl.model.plan import Plan, Treatment
    from benchctl.model.tuning import HostTuning


def summarise(  # noqa: PLR0913 - what a summary says of a run, each by its name
    plan: Plan,
    trials: Sequence[Trial],
    *,
    run: str,
    state: State,
    failed: int,
    planned: int,
    grade: str,
    events: Sequence[TrialEvent] = (),
    tuning: Sequence[TunedHost] = (),
) -> Summary:
    """Analyse the finished trials of a run, in any order; the rest is handed through."""
    trials = sorted(trials, key=lambda trial: trial.ordinal)
    counts = Counter(trial.validity for trial in trials)
    comparisons = () if plan.pilot else compare(plan, trials)  # a pilot has one treatment twice
    if state in GOING_ON:  # what is not measured yet is not invalid
        comparisons = tuple(comparison for comparison in comparisons if comparison.effect is not None)
    found = tuple(courses(plan, trials))
    return Summary(
        run=run,
        name=plan.experiment.name,
        state=state,
        validity=_validity(comparisons, trials, state),
        grade=grade,
        trials=TrialCounts(
            planned=planned,
            ok=counts["ok"],
            suspect=counts["suspect"],
            invalid=counts["invalid"],
            failed=failed,
        ),
        comparisons=comparisons,
        metrics=tuple(_metrics(plan, trials)),
        gates=tuple(_gates(trials)),
        notes=(*_notes(plan, trials, comparisons), *course_notes(trials, found)),
        series=found,
        counters=tuple(counters(plan, trials)),
        events=tuple(events),
        hosts=tuple(host_metrics(plan, trials)),
        start=start_summary(trials),
        pilot=evaluate(plan, trials),
        tuning=tuple(tuning),
    )


def tuned_host(host: str, tuning: HostTuning, grade: str) -> TunedHost:
    """Count what became of the knobs of one host."""
    return TunedHost(
        host=host,
        grade=grade,
        profile=tuning.profile,
        counts=dict(Counter(knob.outcome for knob in tuning.knobs).most_common()),
        missing=tuning.missing,
    )


def _validity(comparisons: Sequence[Comparison], trials: Sequence[Trial], state: State) -> Validity | None:
    """The worst of the comparisons, whose invalid trials have left already; without any, of the trials."""
    if comparisons:
        return worst(tuple(comparison.validity for comparison in comparisons))
    if trials:
        return worst(tuple(trial.validity for trial in trials))
    return None if state in GOING_ON else "invalid"


def _metrics(plan: Plan, trials: Sequence[Trial]) -> Iterator[MetricSummary]:
    """Every metric that was reported, the compared ones first, over the trials that are not invalid."""
    used = [trial for trial in trials if trial.validity != "invalid"]
    compared = [metric.name for metric in plan.experiment.metrics]
    names = dict.fromkeys([*compared, *(name for trial in used for name in trial.result.metrics)])
    for treatment in plan.treatments:
        mine = [trial for trial in used if trial.treatment == treatment.id]
        for name in names:
            yield _metric(treatment, name, mine)


def _metric(treatment: Treatment, name: str, trials: Sequence[Trial]) -> MetricSummary:
    quantities = [trial.result.metrics[name] for trial in trials if name in trial.result.metrics]
    centre = intervals.centre([q.value for q in quantities if q.value is not None])
    return MetricSummary(
        treatment=treatment.id,
        levels=treatment.levels,
        metric=name,
        unit=quantities[0].unit if quantities else "",
        n=centre.n,
        mean=rounded(centre.mean),
        low=rounded(centre.low),
        high=rounded(centre.high),
        cv=rounded(centre.cv),
    )


def _gates(trials: Sequence[Trial]) -> Iterator[GateSummary]:
    """Each gate that looked at any trial, with the trial where it was worst."""
    for gate in GATES:
        found = [(t.ordinal, finding) for t in trials for finding in t.findings if finding.gate == gate.name]
        if found:
            objected = {ordinal for ordinal, finding in found if finding.validity != "ok"}
            yield _gate(len(objected), *max(found, key=_gravity))


def _gravity(found: tuple[int, Finding]) -> tuple[int, float, int]:
    """Validity first, then the figure, then the earlier trial."""
    ordinal, finding = found
    severity = ("ok", "suspect", "invalid").index(finding.validity)
    return severity, -1.0 if finding.value is None else finding.value, -ordinal


def _gate(trials: int, ordinal: int, finding: Finding) -> GateSummary:
    """What the gate says where it is worst; several hosts may have a finding each."""
    where = f"{finding.host}: " if finding.host and finding.reason else ""
    return GateSummary(
        gate=finding.gate,
        validity=finding.validity,
        trials=trials,
        worst_trial=ordinal,
        value=finding.value,
        limit=finding.limit,
        unit=finding.unit,
        reason=f"{where}{finding.reason}",
    )


def _notes(plan: Plan, trials: Sequence[Trial], comparisons: Sequence[Comparison]) -> Iterator[str]:
    tested = sum(comparison.p is not None for comparison in comparisons)
    if tested > 1:
        yield f"Verdicts take p values adjusted by Holm over {tested} comparisons; intervals are 95 % each."
    if any(not t.result.open_loop and any(map(_is_latency, t.result.metrics)) for t in trials):
        yield "The load was a closed loop: latency is service time, without waiting before a request."
    if plan.experiment.design.order == "fixed":
        yield "The order of treatments was fixed: drift of the host can look like an effect."
    if plan.factors and not plan.experiment.metrics:
        yield "No metric is compared: the experiment names none."
    unseen = {f.gate: f.reason for t in trials for f in t.findings if f.reason.startswith("not judged")}
    if unseen:
        named = "; ".join(
            f"{gate} ({reason.removeprefix('not judged: ')})" for gate, reason in unseen.items()
        )
        yield f"Gates that could not judge every trial: {named}."


def _is_latency(metric: str) -> bool:
    return metric.startswith("latency")
