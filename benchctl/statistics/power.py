"""How small an effect a design can find, and how many blocks an effect needs.

Both answer for the deciding test: the two-sided paired t test on log ratios, one comparison at level alpha.
With k comparisons Holm's correction asks alpha / k of the strictest one; pass that to be on the safe side.

Assumption: the trials of a block are independent, each side with coefficient of variation `cv` between
trials. Then log ratios have the standard deviation sqrt(2) * cv, exactly sqrt(2 * log(1 + cv**2)) for
log-normal values. Blocks that share good and bad times make pairs correlate, and the truth better than this.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALPHA = 0.05
POWER = 0.8
MAX_PAIRS = 2**20
MAX_LOG = 700.0  # of a float
POINTS = 4000


def detectable_effect(pairs: int, cv: float, *, alpha: float = ALPHA, power: float = POWER) -> float:
    """The smallest true effect, as a ratio minus one, that is found with the given power.

    Raises ValueError for fewer than two pairs, which have no variance, and for a cv that is not positive.
    """
    return detectable_from_sd(pairs, _paired_sd(cv), alpha=alpha, power=power)


def detectable_from_sd(pairs: int, sd: float, *, alpha: float = ALPHA, power: float = POWER) -> float:
    """As detectable_effect, from the standard deviation of the log ratios themselves."""
    if pairs < 2:
        raise ValueError("an effect needs at least two pairs to be detected")
    ratio = _noncentrality(pairs - 1, alpha, power) * sd / math.sqrt(pairs)
    return math.expm1(ratio) if ratio < MAX_LOG else math.inf


def pairs_needed(effect: float, cv: float, *, alpha: float = ALPHA, power: float = POWER) -> int:
    """The smallest number of pairs that finds the effect (a ratio minus one) with the given power.

    Raises ValueError for an effect of nothing, and when not even MAX_PAIRS are enough.
    """
    wanted = abs(math.log1p(effect))
    sd = _paired_sd(cv)
    low, high = 1, 2
    while not _finds(high, wanted, sd, alpha, power):
        low, high = high, high * 2
        if high > MAX_PAIRS:
            raise ValueError(f"an effect of {effect:g} needs more than {MAX_PAIRS} pairs at a CV of {cv:g}")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _finds(middle, wanted, sd, alpha, power) else (middle, high)
    return high


def _finds(pairs: int, wanted: float, sd: float, alpha: float, power: float) -> bool:
    return _power(pairs - 1, wanted * math.sqrt(pairs) / sd, alpha) >= power


def _paired_sd(cv: float) -> float:
    if cv <= 0:
        raise ValueError("a coefficient of variation is positive")
    return math.sqrt(2 * math.log1p(cv**2))


def _power(df: int, noncentrality: float, alpha: float) -> float:
    """The chance that |T| exceeds its critical value, T noncentral t.

    By quadrature over the quantiles of the estimated standard deviation: scipy's nctdtr gives NaN where the
    critical value is large, for two or three pairs with a corrected alpha.
    """
    from scipy.special import ndtr, stdtrit

    reach = stdtrit(df, 1 - alpha / 2) * _sd_quantiles(df)
    return float((ndtr(noncentrality - reach) + ndtr(-noncentrality - reach)).mean())


@lru_cache(maxsize=1)
def _sd_quantiles(df: int) -> NDArray[np.float64]:
    """Estimated over true standard deviation, at the middles of POINTS equal parts of its distribution."""
    import numpy as np
    from scipy.special import gammaincinv

    parts = (np.arange(POINTS) + 0.5) / POINTS
    return np.sqrt(gammaincinv(df / 2, parts) * 2 / df)


def _noncentrality(df: int, alpha: float, power: float) -> float:
    """Invert _power by bisection; it rises with the noncentrality."""
    low, high = 0.0, 1.0
    while _power(df, high, alpha) < power:
        low, high = high, high * 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _power(df, middle, alpha) < power else (low, middle)
    return high
