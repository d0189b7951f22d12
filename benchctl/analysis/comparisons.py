"""Comparisons with their verdicts: paired by block, Holm over all of a run.

The t interval on paired log ratios decides, the adjusted p says between which words; the sign-flip and the
rank-based p stand beside it. `detectable` rests on the spread of this run's own pairs, for one comparison at
5 % with 80 % power.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from benchctl.analysis.drafts import Subject, blank, corrected, estimated, undecided, value
from benchctl.analysis.numbers import rounded
from benchctl.analysis.pairs import contrasts, pair_up
from benchctl.statistics import intervals, significance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchctl.analysis.drafts import Draft
    from benchctl.analysis.pairs import Contrast, Pairing
    from benchctl.model.comparison import Comparison, Summary
    from benchctl.model.experiment import Metric
    from benchctl.model.measurement import Trial
    from benchctl.model.plan import Plan


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
    measured = [pair for pair in pairing.pairs if all(value(t, metric.name) is not None for t in pair)]
    sides = [[value(pair[side], metric.name) or 0.0 for pair in measured] for side in (0, 1)]
    subject = Subject(contrast.factor, contrast.at, contrast.baseline, contrast.contender, paired=True)
    lacking = len(pairing.pairs) - len(measured)
    reasons = (f"{lacking} valid pairs carry no {metric.name}",) if lacking else ()
    comparison = blank(
        subject,
        metric,
        (trial for pair in pairing.pairs for trial in pair),
        n=len(measured),
        reasons=(*pairing.reasons, *reasons),
    )
    if measured and min(min(side) for side in sides) <= 0:
        return undecided(comparison, "some values are 0, which has no ratio")
    ratios = intervals.log_ratios(*sides)
    if len(ratios) < 2:
        effect = rounded(sides[1][0] / sides[0][0] - 1) if ratios else None
        return undecided(replace(comparison, effect=effect), "fewer than two pairs have no interval")
    tested = replace(
        comparison,
        p_permutation=rounded(significance.sign_flip(ratios)),
        p_rank=rounded(significance.signed_rank(ratios)),
    )
    return estimated(tested, intervals.paired(ratios))
