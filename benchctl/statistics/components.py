"""How much of the spread of values comes from blocks, and how much from trials inside them.

One-way random effects on logs (Searle, Casella, McCulloch, Variance Components, 1992, chapter 3), so that the
standard deviations are coefficients of variation for small ones. Few blocks give rough figures: the bound
says how much larger the truth may be.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIDENCE = 0.8  # of the bound: one time in five the truth lies beyond


class Components(NamedTuple):
    """Coefficients of variation; None where the values do not carry them."""

    inside: float | None  # between trials of the same block
    inside_high: float | None  # upper bound of `inside`
    degrees: int  # of freedom behind `inside`
    between: float | None  # between blocks, what trials do not explain


def components(blocks: Sequence[Sequence[float]]) -> Components:
    """Split the spread of positive values, given block by block. Raises ValueError for others."""
    groups = [[_log(value) for value in block] for block in blocks if block]
    sizes = [len(group) for group in groups]
    total = sum(sizes)
    degrees = total - len(groups)
    if degrees < 1:
        return Components(None, None, 0, None)
    means = [math.fsum(group) / len(group) for group in groups]
    squares = math.fsum(
        (value - mean) ** 2 for group, mean in zip(groups, means, strict=True) for value in group
    )
    variance = squares / degrees
    inside = _cv(variance)
    high = _cv(squares / _chi2_quantile(degrees, 1 - CONFIDENCE))
    if len(groups) < 2:
        return Components(inside, high, degrees, None)
    grand = math.fsum(value for group in groups for value in group) / total
    spread = math.fsum(size * (mean - grand) ** 2 for size, mean in zip(sizes, means, strict=True))
    per_block = (total - sum(size**2 for size in sizes) / total) / (len(groups) - 1)
    between = max(0.0, (spread / (len(groups) - 1) - variance) / per_block)
    return Components(inside, high, degrees, _cv(between))


def _log(value: float) -> float:
    if value <= 0:
        raise ValueError("a coefficient of variation needs positive values")
    return math.log(value)


def _cv(log_variance: float) -> float:
    """The coefficient of variation of a log-normal value."""
    return math.sqrt(math.expm1(log_variance))


def _chi2_quantile(degrees: int, q: float) -> float:
    from scipy.special import gammaincinv

    return 2 * float(gammaincinv(degrees / 2, q))
