from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchctl.statistics import significance

CALM = settings(deadline=None, derandomize=True)

RATIOS = st.lists(st.floats(-1, 1).filter(lambda x: x == 0 or abs(x) > 1e-6), min_size=6, max_size=12)


def normal(n: int, shift: float = 0.0) -> list[float]:
    values: list[float] = (np.random.default_rng(n).normal(size=n) + shift).tolist()
    return values


@pytest.mark.parametrize("n", [6, 9, 14])
def test_the_exact_sign_flip_p_is_the_one_of_scipy(n: int) -> None:
    values = normal(n, 0.4)
    peer = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=10**6, alternative="two-sided"
    )
    assert significance.sign_flip(values) == pytest.approx(peer.pvalue, rel=1e-12)


def test_more_pairs_are_sampled_and_come_close_to_the_exact_p(monkeypatch: pytest.MonkeyPatch) -> None:
    values = normal(16, 0.3)
    exact = significance.sign_flip(values)
    monkeypatch.setattr(significance, "EXACT_PAIRS", 5)
    sampled = significance.sign_flip(values)
    assert exact is not None
    assert sampled == pytest.approx(exact, abs=4 * (exact / significance.FLIPS) ** 0.5)
    assert sampled == significance.sign_flip(values)


def test_all_pairs_on_one_side_have_the_smallest_p() -> None:
    assert significance.sign_flip([0.1] * 6) == 2 / 2**6
    assert significance.signed_rank([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) == pytest.approx(2 / 2**6)


@pytest.mark.parametrize("values", [[], [1.0] * 5])
def test_five_pairs_cannot_reach_five_percent_and_are_not_asked(values: list[float]) -> None:
    assert significance.sign_flip(values) is None
    assert significance.signed_rank(values) is None


@pytest.mark.parametrize("n", [6, 11, 25, 50])
def test_the_rank_test_is_the_one_of_scipy(n: int) -> None:
    values = normal(n, 0.3)
    assert significance.signed_rank(values) == pytest.approx(stats.wilcoxon(values, method="exact").pvalue)


def test_the_rank_test_of_many_pairs_is_normal() -> None:
    values = normal(significance.EXACT_RANKS + 1, 0.1)
    peer = stats.wilcoxon(values, method="approx", correction=False).pvalue
    assert significance.signed_rank(values) == pytest.approx(peer, rel=1e-3)


def test_ties_share_their_ranks_and_zeros_leave() -> None:
    values = [1.0, 1.0, -1.0, 2.0, 2.0, 3.0, 0.0]
    # by hand: ranks 2, 2, 2, 4.5, 4.5, 6; negative 2; subsets of sum <= 2: none, or one of three twos
    assert significance.signed_rank(values) == pytest.approx(2 * 4 / 2**6)
    assert significance.signed_rank([0.0] * 6) == 1.0


@CALM
@given(RATIOS)
def test_a_mirrored_sample_has_the_same_p(ratios: list[float]) -> None:
    mirrored = [-ratio for ratio in ratios]
    for test in (significance.sign_flip, significance.signed_rank):
        assert test(mirrored) == pytest.approx(test(ratios))
        assert 0 < (test(ratios) or 0) <= 1


def test_holm_by_hand() -> None:
    assert significance.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert significance.holm([0.6, 0.7]) == [1.0, 1.0]
    assert significance.holm([]) == []


@CALM
@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_never_helps(ps: list[float]) -> None:
    adjusted = significance.holm(ps)
    assert all(p <= a <= 1 for p, a in zip(ps, adjusted, strict=True))
    ranked = [a for _, a in sorted(zip(ps, adjusted, strict=True))]
    assert ranked == sorted(ranked)
