"""Comparisons with their verdicts: paired by block, Holm over all of a run.

The t interval on paired log ratios decides, the adjusted p says between which words; the sign-flip and the
rank-based p stand beside it. `detectable` rests on the spread of this run's own pairs, for one comparison at
5 % with 80 % power.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from benchctl.analysis.numbers import rounded
from benchctl.analysis.pairs import contrasts, pair_up
from benchctl.model.comparison import Comparison
from benchctl.model.measurement import worst
from benchctl.statistics import intervals, power, significance, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchctl.analysis.pairs import Contrast, Pair, Pairing
    from benchctl.model.comparison import Summary
    from benchctl.model.experiment import Metric
    from benchctl.model.measurement import Trial
    from benchctl.model.plan import Plan
    from benchctl.statistics.intervals import Estimate


class Draft(NamedTuple):
    """A comparison before the correction for the others."""

    comparison: Comparison
    estimate: Estimate | None


def compare(plan: Plan, trials: Sequence[Trial]) -> tuple[Comparison, ...]:
    """Every comparison of a run: by metric, the primary one first, then by contrast."""
    return compare_contrasts(tuple(contrasts(plan)), plan.experiment.metrics, trials)


def compare_contrasts(
    chosen: Sequence[Contrast], metrics: Sequence[Metric], trials: Sequence[Trial]
) -> tuple[Comparison, ...]:
    """The given contrasts only: Holm goes over these and no others."""
    paired = [(contrast, pair_up(contrast, trials)) for contrast in chosen]
    return corrected(
        [_draft(contrast, pairing, metric) for metric in metrics for contrast, pairing in paired]
    )


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


def too_few(plan: Plan, summary: Summary) -> list[Comparison]:
    """Comparisons with fewer valid blocks than design.min_blocks (without one: all blocks), one per contrast.

    Valid blocks are those of the metric that has most: a percentile that small samples do not carry is
    missing in valid blocks too, and more blocks would not help.
    """
    design = plan.experiment.design
    wanted = design.blocks if design.min_blocks is None else design.min_blocks
    groups: dict[tuple[object, ...], list[Comparison]] = {}
    for found in summary.comparisons:
        groups.setdefault((found.factor, found.contender, *found.at.items()), []).append(found)
    return [group[0] for group in groups.values() if max(found.n for found in group) < wanted]


def _draft(contrast: Contrast, pairing: Pairing, metric: Metric) -> Draft:
    """Estimate one metric of one contrast, or say why that cannot be done."""
    measured = [pair for pair in pairing.pairs if all(_value(t, metric) is not None for t in pair)]
    sides = [[_value(pair[side], metric) or 0.0 for pair in measured] for side in (0, 1)]
    comparison = _blank(contrast, pairing, metric, len(measured))
    if len(measured) < len(pairing.pairs):
        lacking = f"{len(pairing.pairs) - len(measured)} valid pairs carry no {metric.name}"
        comparison = replace(comparison, reasons=(*comparison.reasons, lacking))
    if measured and min(min(side) for side in sides) <= 0:
        return _inconclusive(comparison, "some values are 0, which has no ratio")
    ratios = intervals.log_ratios(*sides)
    if len(ratios) < 2:
        effect = rounded(sides[1][0] / sides[0][0] - 1) if ratios else None
        return _inconclusive(replace(comparison, effect=effect), "fewer than two pairs have no interval")
    estimate = intervals.paired(ratios)
    return Draft(
        replace(
            comparison,
            effect=rounded(estimate.effect),
            low=rounded(estimate.low),
            high=rounded(estimate.high),
            p=rounded(estimate.p),
            p_permutation=rounded(significance.sign_flip(ratios)),
            p_rank=rounded(significance.signed_rank(ratios)),
            detectable=rounded(power.detectable_from_sd(estimate.n, estimate.sd)),
        ),
        estimate,
    )


def _decided(comparison: Comparison, estimate: Estimate, p_adjusted: float) -> Comparison:
    decision = verdict.decide(estimate, p_adjusted, better=comparison.better, delta=comparison.delta)
    reasons = (decision.reason, *comparison.reasons) if decision.reason else comparison.reasons
    return replace(comparison, verdict=decision.verdict, p_adjusted=rounded(p_adjusted), reasons=reasons)


def _inconclusive(comparison: Comparison, reason: str) -> Draft:
    return Draft(replace(comparison, reasons=(reason, *comparison.reasons)), None)


def _blank(contrast: Contrast, pairing: Pairing, metric: Metric, n: int) -> Comparison:
    return Comparison(
        factor=contrast.factor,
        at=contrast.at,
        baseline=contrast.baseline,
        contender=contrast.contender,
        metric=metric.name,
        unit=_unit(pairing.pairs, metric),
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
        paired=True,
        validity=worst(tuple(t.validity for pair in pairing.pairs for t in pair))
        if pairing.pairs
        else "invalid",
        reasons=pairing.reasons,
    )


def _value(trial: Trial, metric: Metric) -> float | None:
    quantity = trial.result.metrics.get(metric.name)
    return None if quantity is None else quantity.value


def _unit(pairs: Sequence[Pair], metric: Metric) -> str:
    units = (
        t.result.metrics[metric.name].unit for pair in pairs for t in pair if metric.name in t.result.metrics
    )
    return next(units, "")
