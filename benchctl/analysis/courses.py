"""What happened inside the trials: the course of their one-second series, and what the DBMS counted.

Flags and figures for the reader; no trial leaves a comparison for what is found here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchctl.analysis.numbers import rounded
from benchctl.model.comparison import CounterSummary, SeriesClass
from benchctl.statistics.series import classify

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchctl.model.experiment import Direction
    from benchctl.model.measurement import Trial
    from benchctl.model.plan import Plan

DONE = "checkpointer.num_done"  # PostgreSQL 18 on; before, requested ones count also when nothing was done
CHECKPOINTS = (
    "checkpointer.num_timed",
    "checkpointer.num_requested",
    "bgwriter.checkpoints_timed",  # to PostgreSQL 16
    "bgwriter.checkpoints_req",
)
MOST_NAMED = 20  # trials in a sentence; the summary has them all
FLAGGED = ("warm-up", "slowdown", "unsteady")
ADVICE = {
    "warm-up": "a longer workload.warmup would leave it out",
    "slowdown": "a longer workload.duration shows where it ends",
}


def courses(plan: Plan, trials: Sequence[Trial]) -> Iterator[SeriesClass]:
    """Classify one series of each trial that has any: the primary metric's, else the first."""
    metrics = plan.experiment.metrics
    directions = {metric.name: metric.better for metric in metrics}
    for trial in trials:
        names = [*(m.name for m in metrics[:1] if m.name in trial.result.series), *trial.result.series]
        if names:
            better = directions.get(names[0], _usual(names[0]))
            course = classify(trial.result.series[names[0]], better=better)
            yield SeriesClass(
                ordinal=trial.ordinal,
                treatment=trial.treatment,
                series=names[0],
                klass=course.klass,
                detail=course.detail,
            )


def counters(plan: Plan, trials: Sequence[Trial]) -> Iterator[CounterSummary]:
    """By how much each counter grew, for those that changed in any trial that is not invalid."""
    grown = [(t.treatment, growth(t)) for t in trials if t.validity != "invalid"]
    names = {name: None for _, deltas in grown for name, delta in deltas.items() if delta}
    for treatment in plan.treatments:
        for name in names:
            found = [deltas[name] for tid, deltas in grown if tid == treatment.id and name in deltas]
            if found:
                yield CounterSummary(
                    treatment=treatment.id,
                    levels=treatment.levels,
                    counter=name,
                    n=len(found),
                    mean=rounded(sum(found) / len(found)) or 0.0,
                    least=min(found),
                    most=max(found),
                )


def growth(trial: Trial) -> dict[str, float]:
    """After minus before the load; a counter that was reset in between is left out."""
    deltas = {}
    for name, after in trial.counters_after.items():
        before = trial.counters_before.get(name)
        if _is_number(before) and _is_number(after) and after >= before:  # type: ignore[operator]
            deltas[name] = float(after) - float(before)  # type: ignore[arg-type]
    return deltas


def checkpoints(trial: Trial) -> int:
    """How many checkpoints happened between the two readings of the counters."""
    deltas = growth(trial)
    return round(deltas[DONE] if DONE in deltas else sum(deltas.get(name, 0.0) for name in CHECKPOINTS))


def course_notes(trials: Sequence[Trial], found: Sequence[SeriesClass]) -> Iterator[str]:
    """What a reader has to know of the courses, in sentences."""
    flagged = {klass: [c.ordinal for c in found if c.klass == klass] for klass in FLAGGED}
    told = [f"{klass} in {_trials(ordinals)}" for klass, ordinals in flagged.items() if ordinals]
    if told:
        advice = "".join(f"; {text}" for klass, text in ADVICE.items() if flagged[klass])
        name = next(c.series for c in found if c.klass in FLAGGED)
        yield f"Second by second, {name} is not flat: {', '.join(told)}; they count all the same{advice}."
    seen = [trial.ordinal for trial in trials if checkpoints(trial)]
    if seen:
        where = "every trial" if len(seen) == len(trials) > 1 else _trials(seen)
        yield f"A checkpoint of the DBMS happened under load in {where}."


def _trials(ordinals: Sequence[int]) -> str:
    more = f" and {len(ordinals) - MOST_NAMED} more" if len(ordinals) > MOST_NAMED else ""
    named = ", ".join(map(str, ordinals[:MOST_NAMED]))
    return f"trial{'s' if len(ordinals) > 1 else ''} {named}{more}"


def _usual(series: str) -> Direction:
    return "lower" if series.startswith("latency") else "higher"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
