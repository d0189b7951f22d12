from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import nctdtr, stdtrit

from benchctl.statistics import intervals, power
from benchctl.statistics.percentiles import carries

CALM = settings(max_examples=30, deadline=None, derandomize=True)


@pytest.mark.parametrize(("cv", "unpaired"), [(0.005, 2), (0.01, 6), (0.02, 22), (0.03, 48), (0.05, 132)])
def test_trials_needed_are_those_of_the_unpaired_formula_and_a_few_for_the_pairs(
    cv: float, unpaired: int
) -> None:
    assert unpaired <= power.pairs_needed(0.02, cv, power=0.9) <= unpaired + 4


@pytest.mark.parametrize(("pairs", "noncentrality"), [(5, 3.0), (10, 3.1), (51, 2.0)])
def test_power_is_that_of_the_noncentral_t(pairs: int, noncentrality: float) -> None:
    df = pairs - 1
    critical = stdtrit(df, 0.975)
    peer = 1 - nctdtr(df, noncentrality, critical) + nctdtr(df, noncentrality, -critical)
    sd = 0.01
    effect = power.detectable_from_sd(pairs, sd, power=float(peer))
    assert math.log1p(effect) / sd * math.sqrt(pairs) == pytest.approx(noncentrality, rel=1e-4)


@pytest.mark.parametrize(("pairs", "cv"), [(5, 0.03), (10, 0.03), (20, 0.01)])
def test_the_detectable_effect_is_found_four_times_in_five(pairs: int, cv: float) -> None:
    rng = np.random.default_rng(pairs)
    effect = power.detectable_effect(pairs, cv)
    spread = math.sqrt(2 * math.log1p(cv**2))
    samples = rng.normal(math.log1p(effect), spread, (2000, pairs)).tolist()
    found = sum(intervals.paired(ratios).p < 0.05 for ratios in samples)
    assert 0.77 < found / 2000 < 0.83


@CALM
@given(st.floats(0.005, 0.3), st.floats(0.005, 0.2))
def test_needed_pairs_and_detectable_effect_are_each_others_inverse(effect: float, cv: float) -> None:
    pairs = power.pairs_needed(effect, cv)
    assert power.detectable_effect(pairs, cv) <= effect * 1.001
    assert pairs == 2 or power.detectable_effect(pairs - 1, cv) > effect * 0.999


@pytest.mark.parametrize("alpha", [0.05, 0.0025])
def test_more_pairs_find_less_also_where_the_critical_value_is_large(alpha: float) -> None:
    effects = [power.detectable_effect(pairs, 0.01, alpha=alpha) for pairs in (2, 3, 4, 6, 10, 100)]
    assert effects == sorted(effects, reverse=True)
    assert len(set(effects)) == len(effects)


def test_what_cannot_be_answered_is_refused() -> None:
    with pytest.raises(ValueError, match="two pairs"):
        power.detectable_effect(1, 0.01)
    with pytest.raises(ValueError, match="positive"):
        power.detectable_effect(5, 0.0)
    with pytest.raises(ValueError, match="more than"):
        power.pairs_needed(1e-9, 0.5)
    assert power.detectable_from_sd(2, 1e6) == math.inf
    assert power.detectable_from_sd(5, 0.0) == 0


@pytest.mark.parametrize(("q", "least"), [(0.5, 20), (0.95, 200), (0.99, 1000), (0.999, 10_000), (0.05, 200)])
def test_a_percentile_needs_ten_observations_beyond_it(q: float, least: int) -> None:
    assert carries(least, q)
    assert not carries(least - 1, q)
