"""Two sides against each other: paired by block inside one run, Welch on log values across runs.

Trials inside a run share its installation, data image, boot and hour: they are no replicates of the run. So
across runs the geometric mean of a run is one value, and a side needs two of them. Told to, trial values
stand for runs instead; the result says so, and its interval leaves the spread between runs out.
"""

from __future__ import annotations

import math
from itertools import chain
from typing import TYPE_CHECKING, Literal, NamedTuple

from msgspec.structs import replace

from benchctl.analysis import sides
from benchctl.analysis.comparisons import compare_contrasts
from benchctl.analysis.drafts import Subject, blank, corrected, estimated, undecided, value
from benchctl.analysis.key import Difference, differences, mismatches
from benchctl.analysis.numbers import rounded
from benchctl.errors import UsageError
from benchctl.statistics import intervals

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchctl.analysis.drafts import Draft
    from benchctl.analysis.sides import Cell, Side
    from benchctl.model.comparison import Comparison
    from benchctl.model.experiment import Metric
    from benchctl.model.measurement import Trial

Unit = Literal["blocks", "runs", "trials"]
ENOUGH_RUNS = 2  # on a side, for an interval
FEW_RUNS = "fewer than two runs on a side: the spread between runs is unknown"
SINGLE = "trial values stand for runs: the spread between runs is not in the interval"
FORCED = "the sides are not comparable, and were compared by force"
OTHER_HOST = "grade D, and not the same host"


class Outcome(NamedTuple):
    """What `compare` found. `mismatches` forbid a comparison; `differences` are what it is about."""

    baseline: Side
    contender: Side
    unit: Unit
    primary: str
    mismatches: tuple[Difference, ...]
    differences: tuple[Difference, ...]
    comparisons: tuple[Comparison, ...]
    short: tuple[str, ...]  # who has fewer valid blocks than its design.min_blocks
    few: bool = False  # too few runs on a side for any verdict


def compare_sides(baseline: Side, contender: Side, *, single_run: bool = False) -> Outcome:
    """Compare two sides; across runs, mismatches make every comparison suspect at best.

    Raises UsageError for sides that cannot stand against each other.
    """
    metrics = _metrics(baseline, contender)
    if sides.one_run(baseline, contender):
        return _inside(baseline, contender, metrics)
    cells = sides.cells_across(baseline, contender)
    found = _mismatches(baseline, contender)
    doubts = ((FORCED,) if found else ()) + ((OTHER_HOST,) if _other_host(baseline, contender) else ())
    unit: Unit = "trials" if single_run else "runs"
    drafts = [
        _draft(cell, metric, (baseline.label, contender.label), unit, doubts)
        for metric in metrics
        for cell in cells
    ]
    return Outcome(
        baseline, contender, unit, metrics[0].name, found, _differences(baseline, contender),
        corrected(drafts), tuple(_short(baseline, contender, cells)),
        unit == "runs" and min(len(baseline.runs), len(contender.runs)) < ENOUGH_RUNS,
    )  # fmt: skip


def slower(outcome: Outcome) -> tuple[Comparison, ...]:
    """The comparisons that make a regression: only the primary metric decides."""
    return tuple(c for c in outcome.comparisons if c.metric == outcome.primary and c.verdict == "slower")


def _inside(baseline: Side, contender: Side, metrics: tuple[Metric, ...]) -> Outcome:
    (view,) = baseline.runs
    contrasts = sides.contrasts_inside(baseline, contender)
    comparisons = compare_contrasts(contrasts, metrics, view.trials)
    design = view.plan.experiment.design
    wanted = design.blocks if design.min_blocks is None else design.min_blocks
    short = [
        f"{contrast.factor}={contrast.contender}: {valid} of {wanted}"
        for contrast in contrasts
        for valid in (max(c.n for c in comparisons if c.at == contrast.at),)
        if valid < wanted
    ]
    return Outcome(
        baseline, contender, "blocks", metrics[0].name, (), _differences(baseline, contender),
        comparisons, tuple(short),
    )  # fmt: skip


def _metrics(baseline: Side, contender: Side) -> tuple[Metric, ...]:
    """The metrics of the first baseline run that every run compares. Raises UsageError when there is none."""
    views = [*baseline.runs, *contender.runs]
    known = [{metric.name: metric for metric in view.plan.experiment.metrics} for view in views]
    shared = [metric for name, metric in known[0].items() if all(name in other for other in known)]
    if not shared:
        listed = "; ".join(
            f"{view.summary.run}: {', '.join(k) or 'none'}" for view, k in zip(views, known, strict=True)
        )
        raise UsageError(
            f"the runs compare no metric in common ({listed})", remedy="name one in both experiments"
        )
    for metric in shared:
        if len({other[metric.name].better for other in known}) > 1:
            raise UsageError(
                f"{metric.name}: one run says that higher is better, another that lower is",
                remedy="mend `better` in one of the experiments and run it again",
            )
    return tuple(shared)


def _mismatches(baseline: Side, contender: Side) -> tuple[Difference, ...]:
    """Each run against the first baseline run; inside a side, not even what is measured may differ."""
    first = baseline.runs[0]
    found = [d for view in (*baseline.runs, *contender.runs) for d in mismatches(first, view)]
    for side in (baseline, contender):
        for other in side.runs[1:]:
            found += [
                Difference(f"{d.what} (inside {side.label})", d.baseline, d.contender)
                for d in differences(side.runs[0], other, (side.fixed, side.fixed))
                if not d.what.endswith("host.name")
            ]
    return tuple(dict.fromkeys(found))


def _differences(baseline: Side, contender: Side) -> tuple[Difference, ...]:
    known = {d.what for d in mismatches(baseline.runs[0], contender.runs[0])}
    found = differences(baseline.runs[0], contender.runs[0], (baseline.fixed, contender.fixed))
    return tuple(d for d in found if d.what not in known)


def _other_host(baseline: Side, contender: Side) -> bool:
    """Names of hosts of grade D: a neighbour's load belongs to the place, so another host is a doubt."""
    views = [*baseline.runs, *contender.runs]
    names = {
        tuple(str(known.get("host.name")) for known in view.fingerprints.values())
        for view in views
        if view.summary.grade == "D"
    }
    return len(names) > 1


def _short(baseline: Side, contender: Side, cells: Sequence[Cell]) -> Iterator[str]:
    """Runs with fewer valid trials of a treatment than their own design.min_blocks."""
    for cell in cells:
        members = zip(chain(baseline.runs, contender.runs), chain(cell.baseline, cell.contender), strict=True)
        for view, trials in members:
            design = view.plan.experiment.design
            wanted = design.blocks if design.min_blocks is None else design.min_blocks
            if len(trials) < wanted:
                yield f"{view.summary.run}: {len(trials)} of {wanted}"


def _draft(cell: Cell, metric: Metric, labels: tuple[str, str], unit: Unit, doubts: tuple[str, ...]) -> Draft:
    """Estimate one metric of one cell, or say why that cannot be done."""
    values = [[_values(trials, metric.name) for trials in side] for side in (cell.baseline, cell.contender)]
    flat = list(chain.from_iterable(chain.from_iterable(values)))
    comparison = blank(
        Subject("run", cell.at, *labels, paired=False),
        metric,
        chain(*cell.baseline, *cell.contender),
        reasons=doubts,
        doubts=("suspect",) if doubts else (),
    )
    if not all(any(run for run in side) for side in values):
        return undecided(comparison, f"a side has no valid value of {metric.name}")
    if min(flat) <= 0:
        return undecided(comparison, "some values are 0, which has no ratio")
    units = [_units(side, unit) for side in values]
    n = min(map(len, units))
    comparison = replace(comparison, n=n, effect=rounded(_mean(units[1]) / _mean(units[0]) - 1))
    if n < ENOUGH_RUNS:
        return undecided(comparison, FEW_RUNS if unit == "runs" else "fewer than two trials on a side")
    if unit == "trials":
        comparison = replace(comparison, reasons=(SINGLE, *comparison.reasons))
    return estimated(comparison, intervals.unpaired(*units))


def _units(runs: Sequence[Sequence[float]], unit: Unit) -> list[float]:
    """What counts as one observation: the geometric mean of a run, or each trial."""
    return [_mean(run) for run in runs if run] if unit == "runs" else list(chain.from_iterable(runs))


def _values(trials: Sequence[Trial], metric: str) -> list[float]:
    found = (value(trial, metric) for trial in trials)
    return [known for known in found if known is not None]


def _mean(values: Sequence[float]) -> float:
    return math.exp(math.fsum(map(math.log, values)) / len(values))
