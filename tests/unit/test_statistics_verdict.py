"""The verdict, and by simulation what it promises: seeds are fixed, so each figure is the same every time."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchctl.statistics import intervals, significance
from benchctl.statistics.intervals import Estimate
from benchctl.statistics.verdict import decide, equivalent

CALM = settings(deadline=None, derandomize=True)

EXPERIMENTS = 4000
CV = 0.02
MIRROR = {"faster": "slower", "slower": "faster"}


def estimate(low: float, high: float, p: float = 0.01) -> Estimate:
    effect = math.sqrt((1 + low) * (1 + high)) - 1
    return Estimate(n=10, effect=effect, low=low, high=high, p=p, sd=0.01)


def experiments(n: int, effect: float = 0.0) -> list[list[float]]:
    """Log ratios of paired trials: log-normal, with blocks that share their good and bad times."""
    rng = np.random.default_rng(1000 + n)
    block = rng.normal(0, 2 * CV, (EXPERIMENTS, n))
    baseline = np.exp(block + rng.normal(0, CV, (EXPERIMENTS, n)))
    contender = np.exp(block + rng.normal(math.log1p(effect), CV, (EXPERIMENTS, n)))
    return [intervals.log_ratios(b, c) for b, c in zip(baseline.tolist(), contender.tolist(), strict=True)]


@pytest.mark.parametrize("n", [5, 10, 20])
def test_a_against_a_is_decided_in_five_percent(n: int) -> None:
    verdicts = [
        decide(e, e.p, better="higher", delta=0).verdict for e in map(intervals.paired, experiments(n))
    ]
    alarms = sum(verdict != "inconclusive" for verdict in verdicts) / EXPERIMENTS
    assert 0.03 <= alarms <= 0.06
    assert 0.3 < verdicts.count("faster") / (alarms * EXPERIMENTS) < 0.7


@pytest.mark.parametrize("n", [5, 10, 20])
@pytest.mark.parametrize("effect", [0.0, 0.05])
def test_the_interval_covers_the_truth_in_95_percent(n: int, effect: float) -> None:
    found = [intervals.paired(ratios) for ratios in experiments(n, effect)]
    covered = sum(e.low <= effect <= e.high for e in found) / EXPERIMENTS
    assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize("n", [6, 10])
def test_the_tests_beside_keep_their_level_too(n: int) -> None:
    samples = experiments(n)[:2000]
    for test in (significance.sign_flip, significance.signed_rank):
        alarms = sum((test(ratios) or 0) < 0.05 for ratios in samples) / len(samples)
        assert alarms <= 0.06


def test_twenty_comparisons_of_nothing_give_a_false_alarm_in_five_percent_of_runs() -> None:
    ps = [intervals.paired(ratios).p for ratios in experiments(10)]
    runs = [ps[first : first + 20] for first in range(0, EXPERIMENTS, 20)]
    corrected = sum(min(significance.holm(run)) < 0.05 for run in runs) / len(runs)
    assert corrected <= 0.08
    assert sum(min(run) < 0.05 for run in runs) / len(runs) > 0.5


def test_a_difference_at_the_margin_is_called_equivalent_in_at_most_five_percent() -> None:
    found = [intervals.paired(ratios) for ratios in experiments(20, 0.02)]
    assert sum(equivalent(e.low, e.high, 0.02) for e in found) / EXPERIMENTS <= 0.05


@pytest.mark.parametrize(
    ("low", "high", "p", "better", "verdict"),
    [
        (-0.01, 0.015, 0.4, "higher", "equivalent"),
        (0.005, 0.015, 0.001, "higher", "equivalent"),  # significant and too small to matter
        (0.01, 0.03, 0.001, "higher", "faster"),
        (0.01, 0.03, 0.001, "lower", "slower"),
        (-0.03, -0.01, 0.001, "higher", "slower"),
        (-0.03, -0.01, 0.001, "lower", "faster"),
        (-0.03, 0.01, 0.2, "higher", "inconclusive"),
    ],
)
def test_equivalence_comes_first_then_the_direction_of_the_metric(
    low: float, high: float, p: float, better: str, verdict: str
) -> None:
    found = decide(estimate(low, high, p), p, better="higher" if better == "higher" else "lower", delta=0.02)
    assert found.verdict == verdict
    assert bool(found.reason) == (verdict == "inconclusive")


def test_what_holms_correction_takes_away_is_said() -> None:
    found = decide(estimate(0.01, 0.05, 0.02), 0.2, better="higher", delta=0.02)
    assert found.verdict == "inconclusive"
    assert "0.2 after Holm" in found.reason


@CALM
@given(st.floats(-0.2, 0.2), st.floats(0, 0.2), st.floats(0, 1), st.floats(0, 0.1))
def test_swapping_the_sides_mirrors_the_verdict(middle: float, reach: float, p: float, delta: float) -> None:
    low, high = math.expm1(middle - reach), math.expm1(middle + reach)
    there = decide(estimate(low, high, p), p, better="higher", delta=delta).verdict
    swapped = estimate(1 / (1 + high) - 1, 1 / (1 + low) - 1, p)
    back = decide(swapped, p, better="higher", delta=delta * 1.0000001).verdict
    at_margin = min(
        abs(abs(middle - reach) - math.log1p(delta)), abs(abs(middle + reach) - math.log1p(delta))
    )
    if at_margin > 1e-6 and abs(middle) > 1e-9:
        assert back == MIRROR.get(there, there)


def test_importing_the_statistics_loads_neither_numpy_nor_scipy() -> None:
    rooms = "intervals, percentiles, power, significance, verdict"
    loaded = "{'numpy', 'scipy'} & set(sys.modules)"
    code = f"import sys; from benchctl.statistics import {rooms}; print({loaded})"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "set()"
