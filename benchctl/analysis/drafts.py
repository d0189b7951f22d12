"""Comparisons before the correction for the others: what both kinds, paired and across runs, have in common.

Owns how an estimate and a decision enter a Comparison. Must not know where the values come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from benchctl.analysis.numbers import rounded
from benchctl.model.comparison import Comparison
from benchctl.model.measurement import worst
from benchctl.statistics import power, significance, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchctl.model.experiment import Metric
    from benchctl.model.measurement import Trial, Validity
    from benchctl.statistics.intervals import Estimate


class Subject(NamedTuple):
    """What is compared: two sides by name, where other factors stand, and whether blocks pair the values."""

    factor: str
    at: dict[str, str]
    baseline: str
    contender: str
    paired: bool


class Draft(NamedTuple):
    """A comparison before the correction; without an estimate it stays inconclusive."""

    comparison: Comparison
    estimate: Estimate | None


def blank(
    subject: Subject,
    metric: Metric,
    trials: Iterable[Trial],
    *,
    n: int = 0,
    reasons: tuple[str, ...] = (),
    doubts: tuple[Validity, ...] = (),
) -> Comparison:
    """A comparison of these trials that says nothing yet; `doubts` make it no better than they are."""
    used = tuple(trials)
    units = (t.result.metrics[metric.name].unit for t in used if metric.name in t.result.metrics)
    return Comparison(
        factor=subject.factor,
        at=subject.at,
        baseline=subject.baseline,
        contender=subject.contender,
        metric=metric.name,
        unit=next(units, ""),
        better=metric.better,
        verdict="inconclusive",
        effect=None,
        low=None,
        high=None,
        p=None,
        p_adjusted=None,
        p_permutation=None,
        p_rank=None,
        n=n,
        detectable=None,
        delta=metric.delta,
        paired=subject.paired,
        validity=worst((*(t.validity for t in used), *doubts)) if used else "invalid",
        reasons=reasons,
    )


def estimated(comparison: Comparison, estimate: Estimate) -> Draft:
    """With effect, interval, p and what could have been found."""
    return Draft(
        replace(
            comparison,
            effect=rounded(estimate.effect),
            low=rounded(estimate.low),
            high=rounded(estimate.high),
            p=rounded(estimate.p),
            detectable=rounded(power.detectable_from_sd(estimate.n, estimate.sd)),
        ),
        estimate,
    )


def undecided(comparison: Comparison, reason: str) -> Draft:
    """For good: no correction makes a verdict of it."""
    return Draft(replace(comparison, reasons=(reason, *comparison.reasons)), None)


def corrected(drafts: Sequence[Draft]) -> tuple[Comparison, ...]:
    """Put the verdict on each draft, its p adjusted by Holm over all that have one."""
    estimates = [draft.estimate for draft in drafts if draft.estimate is not None]
    adjusted = iter(significance.holm([estimate.p for estimate in estimates]))
    return tuple(
        draft.comparison
        if draft.estimate is None
        else _decided(draft.comparison, draft.estimate, next(adjusted))
        for draft in drafts
    )


def value(trial: Trial, metric: str) -> float | None:
    """What a trial says of a metric; None where it does not carry it."""
    quantity = trial.result.metrics.get(metric)
    return None if quantity is None else quantity.value


def _decided(comparison: Comparison, estimate: Estimate, p_adjusted: float) -> Comparison:
    decision = verdict.decide(estimate, p_adjusted, better=comparison.better, delta=comparison.delta)
    reasons = (decision.reason, *comparison.reasons) if decision.reason else comparison.reasons
    return replace(comparison, verdict=decision.verdict, p_adjusted=rounded(p_adjusted), reasons=reasons)
