"""The spread inside and between blocks: known answers, and how often the bound holds."""

from __future__ import annotations

import math
import random

import pytest
from scipy import stats

from benchctl.statistics.components import CONFIDENCE, components


def test_by_hand() -> None:
    e = math.e
    found = components([[1, e**0.2], [e**0.4, e**0.6]])  # logs: 0, 0.2 and 0.4, 0.6
    # inside: squares 0.02 + 0.02 over 2; between: blocks' means 0.1, 0.5, mean square 0.16, less 0.02, by 2
    assert found.inside == pytest.approx(math.sqrt(math.expm1(0.02)))
    assert found.between == pytest.approx(math.sqrt(math.expm1(0.07)))
    assert found.degrees == 2
    bound = 0.04 / stats.chi2.ppf(1 - CONFIDENCE, 2)
    assert found.inside_high == pytest.approx(math.sqrt(math.expm1(bound)))


def test_blocks_that_differ_less_than_their_trials_have_no_spread_of_their_own() -> None:
    assert components([[1, 2], [1, 2], [1, 2]]).between == 0


@pytest.mark.parametrize("blocks", [[], [[]], [[5.0]], [[5.0], [6.0], [7.0]]])
def test_without_two_trials_in_a_block_nothing_is_told(blocks: list[list[float]]) -> None:
    assert components(blocks) == (None, None, 0, None)


def test_one_block_has_no_spread_between_blocks() -> None:
    found = components([[1.0, 2.0, 3.0]])
    assert found.inside is not None
    assert found.between is None


def test_values_without_a_logarithm_are_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        components([[1.0, 0.0]])


def test_estimates_are_right_on_average_and_the_bound_holds_as_told() -> None:
    """2,000 pilots of 3 blocks with 2 trials: 5 % inside, 10 % between."""
    source = random.Random(20_261_121)
    inside, between, held = [], [], 0
    for _ in range(2000):
        shifts = [source.gauss(0, 0.10) for _ in range(3)]
        found = components([[math.exp(s + source.gauss(0, 0.05)) for _ in range(2)] for s in shifts])
        assert found.inside is not None
        assert found.inside_high is not None
        assert found.between is not None
        inside.append(math.log1p(found.inside**2))
        between.append(math.log1p(found.between**2))
        held += found.inside_high >= math.sqrt(math.expm1(0.05**2))
    assert sum(inside) / 2000 == pytest.approx(0.05**2, rel=0.06)
    assert sum(between) / 2000 == pytest.approx(0.10**2, rel=0.1)
    assert held / 2000 == pytest.approx(CONFIDENCE, abs=0.03)
