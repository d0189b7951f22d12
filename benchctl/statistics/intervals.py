"""Intervals on the log scale: of a centre, of paired ratios, of two unpaired sides.

Effects are ratios minus one, contender against baseline. Log-ratio t intervals keep their coverage at n = 5
to 20 (simulated: 94.5-95.4 %), where bootstrap intervals do not (88-91 %). Sums are math.fsum's, so that
equal input gives equal bits anywhere.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """An effect with its interval, its two-sided p, and what they rest on."""

    n: int  # pairs, or the smaller side
    effect: float
    low: float
    high: float
    p: float
    sd: float  # of the log ratios; unpaired: of the difference of logs, times sqrt(n)


class Centre(NamedTuple):
    """Where one side lies: geometric mean with its interval, and the coefficient of variation."""

    n: int
    mean: float | None  # None when values are not all positive and not all equal: they have no geometric mean
    low: float | None  # None below two values
    high: float | None
    cv: float | None


def log_ratios(baseline: Sequence[float], contender: Sequence[float]) -> list[float]:
    """log(contender / baseline), pair by pair. Raises ValueError for values that have no ratio."""
    if min([*baseline, *contender], default=1.0) <= 0:
        raise ValueError("a ratio needs positive values")
    return [math.log(c) - math.log(b) for b, c in zip(baseline, contender, strict=True)]


def paired(ratios: Sequence[float], *, confidence: float = CONFIDENCE) -> Estimate:
    """The t interval of the mean log ratio. Raises ValueError below two pairs."""
    n = len(ratios)
    mean, sd = _mean_sd(ratios)
    return _estimate(n, mean, sd / math.sqrt(n), n - 1, sd, confidence)


def unpaired(
    baseline: Sequence[float], contender: Sequence[float], *, confidence: float = CONFIDENCE
) -> Estimate:
    """Welch's interval of the difference of mean logs. Raises ValueError below two values on a side."""
    if min([*baseline, *contender], default=1.0) <= 0:
        raise ValueError("a ratio needs positive values")
    mean_b, sd_b = _mean_sd([math.log(value) for value in baseline])
    mean_c, sd_c = _mean_sd([math.log(value) for value in contender])
    part_b, part_c = sd_b**2 / len(baseline), sd_c**2 / len(contender)
    error = math.sqrt(part_b + part_c)
    degrees = part_b**2 / (len(baseline) - 1) + part_c**2 / (len(contender) - 1)
    df = (part_b + part_c) ** 2 / degrees if degrees else 1.0
    n = min(len(baseline), len(contender))
    return _estimate(n, mean_c - mean_b, error, df, error * math.sqrt(n), confidence)


def centre(values: Sequence[float], *, confidence: float = CONFIDENCE) -> Centre:
    """Describe one side; fewer than two values have a mean and nothing else."""
    n = len(values)
    if n == 0:
        return Centre(0, None, None, None, None)
    if min(values) == max(values):
        return Centre(n, values[0], *((values[0], values[0], 0.0) if n > 1 else (None, None, None)))
    mean, sd = _mean_sd(values)
    cv = sd / mean if mean else None
    if min(values) <= 0:
        return Centre(n, None, None, None, cv)
    log_mean, log_sd = _mean_sd([math.log(value) for value in values])
    reach = _critical(n - 1, confidence) * log_sd / math.sqrt(n)
    return Centre(n, math.exp(log_mean), math.exp(log_mean - reach), math.exp(log_mean + reach), cv)


def _estimate(n: int, mean: float, error: float, df: float, sd: float, confidence: float) -> Estimate:
    from scipy.special import stdtr

    reach = _critical(df, confidence) * error
    certain = 0.0 if mean else 1.0  # for values without any variation
    p = float(2 * stdtr(df, -abs(mean) / error)) if error else certain
    return Estimate(n, math.expm1(mean), math.expm1(mean - reach), math.expm1(mean + reach), p, sd)


def _critical(df: float, confidence: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(df, (1 + confidence) / 2))


def _mean_sd(values: Sequence[float]) -> tuple[float, float]:
    n = len(values)
    if n < 2:
        raise ValueError("one value has no spread: at least two are needed")
    mean = math.fsum(values) / n
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
