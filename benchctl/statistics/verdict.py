"""One of four words for a comparison, and the reason when the word is inconclusive.

Order of the questions: is the 95 % interval inside the margin (equivalent)? Is the difference significant
after Holm's correction (faster or slower, by the metric's own direction)? Else it is inconclusive.

- Equivalence by an interval of 95 % is the two one-sided tests at 2.5 % each. The margin is symmetric as a
  ratio, 1 / (1 + delta) to 1 + delta, so that swapping the sides mirrors the answer.
- The interval that is printed is not corrected: it says how large this one effect is. The decision takes the
  adjusted p. So an interval may exclude zero and the verdict still be inconclusive; the reason says so.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from benchctl.statistics.intervals import Estimate

ALPHA = 0.05


class Decision(NamedTuple):
    verdict: Literal["faster", "slower", "equivalent", "inconclusive"]
    reason: str = ""


def equivalent(low: float, high: float, delta: float) -> bool:
    """Whether the interval (ratios minus one) lies inside 1 / (1 + delta) … 1 + delta."""
    margin = math.log1p(delta)
    return -margin < math.log1p(low) and math.log1p(high) < margin


def decide(
    estimate: Estimate, p_adjusted: float, *, better: Literal["higher", "lower"], delta: float
) -> Decision:
    """Put the word on an estimate; p_adjusted is its p after Holm over all comparisons of the run."""
    if equivalent(estimate.low, estimate.high, delta):
        return Decision("equivalent")
    if p_adjusted < ALPHA:
        improved = (estimate.effect > 0) == (better == "higher")
        return Decision("faster" if improved else "slower")
    if estimate.p < ALPHA:
        return Decision(
            "inconclusive", f"p is {estimate.p:.3g} by itself, {p_adjusted:.3g} after Holm's correction"
        )
    return Decision("inconclusive", "the interval holds both no difference and one that matters")
