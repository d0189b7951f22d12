"""Trials over several load generators: what each of them measured, and how well they began together.

Figures for the reader; what is wrong with a start is for the gates to say.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from benchctl.analysis.drafts import value
from benchctl.analysis.numbers import rounded
from benchctl.model.comparison import HostMetric, StartSummary
from benchctl.statistics import intervals

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchctl.model.measurement import Trial
    from benchctl.model.plan import Plan


def host_metrics(plan: Plan, trials: Sequence[Trial]) -> Iterator[HostMetric]:
    """Each metric of each load generator by treatment, where trials had more than one.

    Geometric means over the trials that are not invalid; a value that one of them does not carry has none.
    """
    used = [trial for trial in trials if trial.validity != "invalid" and len(trial.loads) > 1]
    for treatment in plan.treatments:
        mine = [load for trial in used if trial.treatment == treatment.id for load in trial.loads]
        for host in dict.fromkeys(load.host for load in mine):
            results = [load.result for load in mine if load.host == host]
            for name in dict.fromkeys(name for result in results for name in result.metrics):
                found = [result.metrics[name] for result in results if name in result.metrics]
                values = [quantity.value for quantity in found if quantity.value is not None]
                whole = len(values) == len(results)
                yield HostMetric(
                    treatment=treatment.id,
                    host=host,
                    metric=name,
                    unit=found[0].unit,
                    n=len(values),
                    mean=rounded(intervals.centre(values).mean) if whole else None,
                )


def start_summary(trials: Sequence[Trial]) -> StartSummary | None:
    """How the loads of all trials began; None when no trial had more than one."""
    found = [(t.start, t) for t in trials if t.start is not None and len(t.loads) > 1]
    if not found:
        return None
    worst, trial = max(found, key=lambda pair: (pair[0].spread, -pair[1].ordinal))
    return StartSummary(
        trials=len(found),
        spread_median=round(median(start.spread for start, _ in found), 9),
        spread_worst=round(worst.spread, 9),
        worst_trial=trial.ordinal,
        uncertainty=round(max(start.uncertainty for start, _ in found), 9),
        overlap=round(min(start.overlap for start, _ in found), 9),
        late=sum(any(load.late for load in t.loads) for _, t in found),
    )


def typical(plan: Plan, trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """One trial of each treatment to show from near: valid, its primary metric nearest to their median."""
    metric = next((m.name for m in plan.experiment.metrics), "throughput")
    chosen = []
    for treatment in plan.treatments:
        mine = [trial for trial in trials if trial.treatment == treatment.id]
        best = [t for t in mine if t.validity == "ok"] or [t for t in mine if t.validity != "invalid"] or mine
        if best:
            values = [value(trial, metric) or 0.0 for trial in best]
            middle = median(values)
            chosen.append(min(zip(best, values, strict=True), key=lambda pair: abs(pair[1] - middle))[0])
    return tuple(chosen)
