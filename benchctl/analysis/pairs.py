"""Which trials stand against each other: each other level against the baseline, all else equal, by block."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from benchctl.model.measurement import Trial
    from benchctl.model.plan import FactorPlan, Plan

Pair = tuple["Trial", "Trial"]  # baseline, contender


class Contrast(NamedTuple):
    """Two levels of one factor where the remaining factors stand at `at`."""

    factor: str
    at: dict[str, str]
    baseline: str
    contender: str
    baseline_treatment: str
    contender_treatment: str


class Pairing(NamedTuple):
    """The blocks of a contrast: the pairs that count, and why others do not."""

    pairs: tuple[Pair, ...]
    reasons: tuple[str, ...]


def contrasts(plan: Plan) -> Iterator[Contrast]:
    """Every contrast, by factor, by the remaining factors' levels, by contender; in the plan's order."""
    by_levels = {_key(t.levels): t.id for t in plan.treatments}
    for factor in plan.factors:
        others = [other for other in plan.factors if other is not factor]
        for at in _combinations(others):
            for contender in factor.labels[1:]:
                sides = (factor.labels[0], contender)
                found = [by_levels.get(_key({**at, factor.name: label})) for label in sides]
                if found[0] is not None and found[1] is not None:
                    yield Contrast(factor.name, at, *sides, found[0], found[1])


def pair_up(contrast: Contrast, trials: Sequence[Trial]) -> Pairing:
    """Pair a contrast's trials by block; a block with an invalid or missing side leaves."""
    baseline, contender = (
        {trial.block: trial for trial in trials if trial.treatment == treatment}
        for treatment in (contrast.baseline_treatment, contrast.contender_treatment)
    )
    both = sorted(baseline.keys() & contender.keys())
    pairs = [(baseline[block], contender[block]) for block in both]
    invalid = [trial.ordinal for pair in pairs for trial in pair if trial.validity == "invalid"]
    reasons = []
    if invalid:
        reasons.append(f"pairs left out for invalid trials: {_list(invalid)}")
    single = sorted(baseline.keys() ^ contender.keys())
    if single:
        reasons.append(f"blocks with one side only: {_list(single)}")
    valid = tuple(pair for pair in pairs if all(trial.validity != "invalid" for trial in pair))
    return Pairing(valid, tuple(reasons))


def _combinations(factors: Sequence[FactorPlan]) -> Iterator[dict[str, str]]:
    names = [factor.name for factor in factors]
    for labels in product(*(factor.labels for factor in factors)):
        yield dict(zip(names, labels, strict=True))


def _key(levels: dict[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset(levels.items())


def _list(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
