"""What a pilot run teaches: how much values spread at each level, and how many blocks the real run needs."""

from __future__ import annotations

from statistics import mean, median, stdev
from typing import TYPE_CHECKING

from benchctl.analysis.numbers import rounded
from benchctl.model.comparison import BlocksNeeded, PilotMetric
from benchctl.statistics.components import components
from benchctl.statistics.power import ALPHA, pairs_needed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchctl.model.experiment import Metric
    from benchctl.model.measurement import Trial
    from benchctl.model.plan import Plan

POWERS = (0.8, 0.9)


def evaluate(plan: Plan, trials: Sequence[Trial]) -> tuple[PilotMetric, ...]:
    """Each metric over the pilot's trials that are not invalid; nothing for a plan that is no pilot.

    The real run's pairs lie inside blocks, so the spread between trials of one block decides. Blocks are
    counted for the strictest p of Holm's correction over all comparisons of the real run: on the safe side.
    """
    if plan.pilot is None:
        return ()
    used = [trial for trial in trials if trial.validity != "invalid"]
    metrics = plan.experiment.metrics
    alpha = ALPHA / (len(metrics) * max(1, plan.pilot.comparisons))
    return tuple(_metric(metric, used, alpha) for metric in metrics)


def _metric(metric: Metric, trials: Sequence[Trial], alpha: float) -> PilotMetric:
    blocks: dict[int, list[float]] = {}
    for trial in trials:
        quantity = trial.result.metrics.get(metric.name)
        if quantity is not None and quantity.value is not None and quantity.value > 0:
            blocks.setdefault(trial.block, []).append(quantity.value)
    found = components(list(blocks.values()))
    return PilotMetric(
        metric=metric.name,
        delta=metric.delta,
        trials=sum(map(len, blocks.values())),
        cv_second=rounded(_second(metric.name, trials)),
        cv_trial=rounded(found.inside),
        cv_trial_high=rounded(found.inside_high),
        cv_block=rounded(found.between),
        blocks=tuple(
            BlocksNeeded(
                power=power,
                expected=_needed(metric.delta, found.inside, alpha, power),
                cautious=_needed(metric.delta, found.inside_high, alpha, power),
            )
            for power in POWERS
        ),
    )


def _second(metric: str, trials: Sequence[Trial]) -> float | None:
    """The median over trials of the spread of their seconds."""
    series = ([x for x in t.result.series.get(metric, ()) if x is not None] for t in trials)
    spreads = [stdev(values) / mean(values) for values in series if len(values) > 1 and mean(values)]
    return median(spreads) if spreads else None


def _needed(delta: float, cv: float | None, alpha: float, power: float) -> int | None:
    """None without a spread or a delta, and for more blocks than anybody runs."""
    if not cv or not delta:
        return None
    try:
        return pairs_needed(delta, cv, alpha=alpha, power=power)
    except ValueError:
        return None
