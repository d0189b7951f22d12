from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchctl.statistics import intervals

CALM = settings(deadline=None, derandomize=True)

VALUES = st.floats(0.5, 2.0)
SIDES = st.integers(2, 12).flatmap(
    lambda n: st.tuples(st.lists(VALUES, min_size=n, max_size=n), st.lists(VALUES, min_size=n, max_size=n))
)
BASELINE = [101.0, 98.5, 103.2, 99.9, 100.4, 97.7]
CONTENDER = [105.2, 101.0, 104.1, 104.4, 103.9, 99.5]


def test_the_paired_interval_is_the_one_of_scipy() -> None:
    ratios = intervals.log_ratios(BASELINE, CONTENDER)
    found = intervals.paired(ratios)
    peer = stats.ttest_rel([math.log(c) for c in CONTENDER], [math.log(b) for b in BASELINE])
    bounds = peer.confidence_interval(0.95)
    assert found.p == pytest.approx(peer.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx(
        (math.expm1(bounds.low), math.expm1(bounds.high)), rel=1e-9
    )
    assert found.effect == pytest.approx(math.prod(CONTENDER) ** (1 / 6) / math.prod(BASELINE) ** (1 / 6) - 1)


def test_the_unpaired_interval_is_welchs() -> None:
    baseline, contender = BASELINE, CONTENDER[:4]
    found = intervals.unpaired(baseline, contender)
    peer = stats.ttest_ind([math.log(c) for c in contender], [math.log(b) for b in baseline], equal_var=False)
    bounds = peer.confidence_interval(0.95)
    assert found.p == pytest.approx(peer.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx(
        (math.expm1(bounds.low), math.expm1(bounds.high)), rel=1e-9
    )
    assert found.n == 4


@CALM
@given(SIDES)
def test_swapping_the_sides_mirrors_the_paired_interval(sides: tuple[list[float], list[float]]) -> None:
    there = intervals.paired(intervals.log_ratios(*sides))
    back = intervals.paired(intervals.log_ratios(*sides[::-1]))
    assert there.p == pytest.approx(back.p, abs=1e-12)
    assert 1 + there.effect == pytest.approx(1 / (1 + back.effect), rel=1e-9)
    assert 1 + there.low == pytest.approx(1 / (1 + back.high), rel=1e-6)


@CALM
@given(SIDES, st.floats(1e-3, 1e3))
def test_another_unit_changes_nothing(sides: tuple[list[float], list[float]], scale: float) -> None:
    scaled = intervals.log_ratios(*([value * scale for value in side] for side in sides))
    there, here = intervals.paired(intervals.log_ratios(*sides)), intervals.paired(scaled)
    assert (here.low, here.high) == pytest.approx((there.low, there.high), rel=1e-5, abs=1e-9)


@CALM
@given(SIDES)
def test_the_effect_lies_inside_its_interval(sides: tuple[list[float], list[float]]) -> None:
    for found in (intervals.paired(intervals.log_ratios(*sides)), intervals.unpaired(*sides)):
        assert found.low <= found.effect + 1e-12
        assert found.effect <= found.high + 1e-12
        assert 0 <= found.p <= 1


def test_values_without_variation_are_certain() -> None:
    same = intervals.paired(intervals.log_ratios([2.0] * 3, [2.0] * 3))
    double = intervals.paired(intervals.log_ratios([2.0] * 3, [4.0] * 3))
    assert (same.effect, same.low, same.high, same.p) == (0, 0, 0, 1)
    assert [double.low, double.high, double.p] == pytest.approx([1, 1, 0])
    assert intervals.unpaired([2.0] * 2, [2.0] * 2).p == 1


@pytest.mark.parametrize("values", [[], [0.1]])
def test_one_pair_has_no_interval(values: list[float]) -> None:
    with pytest.raises(ValueError, match="at least two"):
        intervals.paired(values)


@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_what_has_no_ratio_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        intervals.log_ratios([1.0, bad], [1.0, 1.0])
    with pytest.raises(ValueError, match="positive"):
        intervals.unpaired([1.0, bad], [1.0, 1.0])


def test_the_centre_is_geometric_with_a_t_interval() -> None:
    found = intervals.centre(BASELINE)
    logs = [math.log(value) for value in BASELINE]
    low, high = stats.t.interval(0.95, 5, loc=sum(logs) / 6, scale=stats.sem(logs))
    assert found.mean == pytest.approx(stats.gmean(BASELINE))
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)))
    assert found.cv == pytest.approx(stats.variation(BASELINE, ddof=1))


def test_the_centre_of_little_says_no_more_than_it_knows() -> None:
    assert intervals.centre([]) == (0, None, None, None, None)
    assert intervals.centre([3.0]) == (1, 3.0, None, None, None)
    assert intervals.centre([0.0, 0.0]) == (2, 0.0, 0.0, 0.0, 0.0)
    some_zero = intervals.centre([0.0, 2.0])
    assert (some_zero.mean, some_zero.low) == (None, None)
    assert some_zero.cv == pytest.approx(math.sqrt(2))
