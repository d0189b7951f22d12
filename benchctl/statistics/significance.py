"""p values that stand beside the deciding interval, and the correction for many comparisons.

All tests are two-sided and of the null hypothesis that log ratios lie symmetrically around zero.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_PAIRS = 6  # below, no sign pattern of n pairs reaches p < 0.05: the smallest p is 2 / 2**n
EXACT_PAIRS = 16  # 65,536 patterns
FLIPS = 20_000
SEED = 20_261_121  # fixed: the same data gives the same p
EXACT_RANKS = 200


def sign_flip(ratios: Sequence[float]) -> float | None:
    """Permutation p of the mean: the share of sign patterns with a mean at least as far from zero.

    Exact up to EXACT_PAIRS pairs, else from FLIPS random patterns with (1 + hits) / (1 + FLIPS); None below
    MIN_PAIRS pairs.
    """
    import numpy as np

    n = len(ratios)
    if n < MIN_PAIRS:
        return None
    values = np.asarray(ratios, dtype=np.float64)
    # sums in another order differ in their last bits: what is equal must count as equal
    bar = abs(values.sum()) - 1e-9 * np.abs(values).sum()
    if n <= EXACT_PAIRS:
        sums = values[:1]  # the first sign is fixed: the other half of the patterns mirrors this one
        for value in values[1:]:
            sums = np.concatenate((sums + value, sums - value))
        return float(np.mean(np.abs(sums) >= bar))
    signs = np.random.default_rng(SEED).integers(0, 2, size=(FLIPS, n), dtype=np.int8) * 2 - 1
    hits = np.count_nonzero(np.abs(signs @ values) >= bar)
    return (1 + float(hits)) / (1 + FLIPS)


def signed_rank(ratios: Sequence[float]) -> float | None:
    """Wilcoxon's signed-rank p: zeros leave, ties share their mean rank; None below MIN_PAIRS pairs.

    Exact up to EXACT_RANKS pairs, by counting the sign patterns of the ranks at hand; then normal.
    """
    if len(ratios) < MIN_PAIRS:
        return None
    values = [value for value in ratios if value]
    doubled = _doubled_ranks([abs(value) for value in values])
    above = sum(rank for rank, value in zip(doubled, values, strict=True) if value > 0)
    low = min(above, sum(doubled) - above)
    if len(values) <= EXACT_RANKS:
        return min(1.0, 2 * _share_at_most(doubled, low))
    spread = math.sqrt(math.fsum(rank**2 for rank in doubled) / 4)
    return min(1.0, math.erfc((sum(doubled) / 2 - low) / spread / math.sqrt(2)))


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: keeps the chance of any false alarm among all of them at alpha."""
    adjusted = [0.0] * len(ps)
    reached = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        reached = max(reached, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = reached
    return adjusted


def _doubled_ranks(values: Sequence[float]) -> list[int]:
    """Twice the mean rank of each value, so that ties stay integers."""
    ordered = sorted(values)
    first = {value: rank for rank, value in reversed(list(enumerate(ordered)))}
    last = {value: rank for rank, value in enumerate(ordered)}
    return [first[value] + last[value] + 2 for value in values]


def _share_at_most(ranks: Sequence[int], limit: int) -> float:
    """The share of all subsets of ranks whose sum is at most limit."""
    import numpy as np

    shares = np.zeros(sum(ranks) + 1)
    shares[0] = 1.0
    for rank in ranks:
        moved = np.zeros_like(shares)
        moved[rank:] = shares[: len(shares) - rank]
        shares = (shares + moved) / 2
    return float(shares[: limit + 1].sum())
