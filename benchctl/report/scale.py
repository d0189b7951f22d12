"""How far the scale of a figure reaches: one very wide interval must not hide all that is beside it. Pure.

Ratios (minus one) are placed by their logarithm: half as fast is as far from no difference as twice as fast.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from benchctl.report import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchctl.model.comparison import Comparison

_LEAST = 1e-3  # of the baseline's value: nothing is drawn further away
_BEYOND = 3  # times as far as effects, limits and the middle interval: there an interval is cut off
_WIDEST = math.log(4)  # nor does one tell more that goes on beyond four times as fast or slow
_AROUND = 1.5  # ranges of the trials' values on each side of them: there an interval of a mean is cut off
_SMALL = 1.8  # as a logarithm: below, steps of equal size look right; above, equal factors do
_LONG = math.log(300)  # beyond, powers of ten are enough
_STEPS = (1, 2, 5, 10)


class Span(NamedTuple):
    """The ends of a scale, in places or in a metric's own unit."""

    low: float
    high: float

    def cut(self, value: float) -> float:
        return min(max(value, self.low), self.high)

    def is_inside(self, value: float) -> bool:
        return self.low <= value <= self.high


def place(ratio: float) -> float:
    """Where a ratio minus one stands."""
    return math.log(max(1 + ratio, _LEAST))


def of_comparisons(comparisons: Sequence[Comparison]) -> Span | None:
    """The places to show: every effect and limit whole, intervals as far as they leave room for the others.

    None where no comparison has an effect: an axis without anything on it would only puzzle.
    """
    effects = [c for c in comparisons if c.effect is not None]
    if not effects:
        return None
    whole = [0.0, *(place(x) for c in effects for x in (c.effect, *words.band(c)) if x is not None)]
    ends = [(place(c.low), place(c.high)) for c in effects if c.low is not None and c.high is not None]
    lengths = sorted(max(-low, high) for low, high in ends)
    middle = lengths[(len(lengths) - 1) // 2] if lengths else 0.0
    wanted = max(map(abs, whole))
    most = min(_BEYOND * max(middle, wanted), max(_WIDEST, 1.5 * wanted))
    shown = [*whole, *(Span(-most, most).cut(end) for pair in ends for end in pair)]
    return Span(min(shown), max(shown))


def of_values(values: Sequence[float]) -> Span:
    """Where trials lie, with some room for their means' intervals; never below 0 for values above it."""
    low, high = min(values), max(values)
    room = _AROUND * ((high - low) or abs(high) or 1.0)
    return Span(max(low - room, 0.0) if low >= 0 else low - room, high + room)


def ticks(span: Span) -> list[float]:
    """Ratios minus one for an axis of places: round percentages, or round factors on a long scale."""
    if span.high - span.low < _SMALL:
        low, high = math.expm1(span.low), math.expm1(span.high)
        step = _round_up((high - low) / 8)
        return [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
    powers = range(math.floor(span.low / math.log(10)), math.ceil(span.high / math.log(10)) + 1)
    digits = _STEPS[:3] if span.high - span.low < _LONG else _STEPS[:1]
    factors = [digit * 10.0**power for power in powers for digit in digits]
    return [factor - 1 for factor in factors if span.is_inside(math.log(factor))]


def _round_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in _STEPS if step * power >= value * (1 - 1e-9))
