"""The classes of one-second series: known shapes, and how often noise is mistaken for one."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchctl.statistics.series import ALPHA, CRITICAL, MIN_SECONDS, classify, critical, likeliest_change
from tests.unit.test_statistics_intervals import CALM

if TYPE_CHECKING:
    from collections.abc import Sequence


def noise(source: random.Random, levels: Sequence[float | None], cv: float) -> list[float | None]:
    return [None if level is None else level * math.exp(source.gauss(0, cv)) for level in levels]


SHAPES: Sequence[tuple[str, Sequence[float | None], str]] = [
    ("flat", [1000.0] * 30, "flat"),
    ("steps up", [700.0] * 10 + [1000.0] * 20, "warm-up"),
    ("stairs up", [500.0] * 10 + [800.0] * 10 + [1000.0] * 20, "warm-up"),
    ("ramp", [500.0 + 20 * second for second in range(40)], "warm-up"),
    ("steps down", [1000.0] * 20 + [700.0] * 15, "slowdown"),
    ("up and down", [700.0] * 15 + [1000.0] * 15 + [600.0] * 15, "unsteady"),
    ("stalls", [*([1000.0] * 12 + [200.0]) * 3], "unsteady"),
    ("one stall", [1000.0] * 20 + [10.0] + [1000.0] * 20, "flat"),
    ("small step", [1000.0] * 20 + [1010.0] * 20, "flat"),
    ("short", [1000.0] * 9, "too short"),
    ("gaps", [None, None, *[1000.0] * 9], "too short"),
    ("nothing", [], "too short"),
]


@pytest.mark.parametrize(("levels", "klass"), [shape[1:] for shape in SHAPES], ids=[s[0] for s in SHAPES])
def test_known_shapes_without_noise(levels: Sequence[float | None], klass: str) -> None:
    assert classify(levels).klass == klass


@pytest.mark.parametrize(("levels", "klass"), [shape[1:] for shape in SHAPES], ids=[s[0] for s in SHAPES])
def test_known_shapes_through_noise(levels: Sequence[float | None], klass: str) -> None:
    source = random.Random(7)
    found = [classify(noise(source, levels, 0.03)).klass for _ in range(100)]
    assert sum(found_one == klass for found_one in found) >= 95


def test_where_lower_is_better_the_words_turn() -> None:
    falling = [9.0] * 10 + [5.0] * 20
    assert classify(falling, better="lower").klass == "warm-up"
    assert classify(falling, better="higher").klass == "slowdown"


def test_the_detail_names_levels_and_seconds_as_a_reader_counts() -> None:
    assert classify([700.0] * 10 + [1000.0] * 20).detail == "median 700, 1000 from second 11"
    assert classify([None] * 3 + [700.0] * 10 + [1000.0] * 20).detail == "median 700, 1000 from second 14"
    stalls = [1000.0] * 9 + [200.0] + [1000.0] * 9 + [100.0]
    assert classify(stalls).detail == "2 seconds stand out, most second 20: -90% of the median"


def test_the_likeliest_change_by_hand() -> None:
    at, z = likeliest_change([1, 2, 3, 4, 15, 16, 17, 18])
    assert at == 4
    assert z == pytest.approx(16 / math.sqrt(4 * 4 * 9 / 3))  # ranks 1 to 4: 2 * 10 - 4 * 9
    at, z = likeliest_change([5, 5, 5, 9, 9, 9])
    assert at == 3
    assert z == pytest.approx(9 / math.sqrt(3 * 3 * 7 / 3))  # tied ranks: 2 * 6 - 3 * 7
    assert likeliest_change([1, 1, 1, 1, 1, 1]) == (0, 0.0)
    assert likeliest_change([1, 9, 9, 9, 9]) == (0, 0.0)  # no place leaves three values on both sides


def test_critical_values_rise_with_the_length() -> None:
    values = [critical(n) for n in range(10, 5000)]
    assert values == sorted(values)
    assert critical(10) == CRITICAL[0][1]
    assert critical(100) == pytest.approx(3.22)
    assert critical(10**6) == CRITICAL[-1][1]


@pytest.mark.parametrize(("n", "slow"), [(10, 4), (12, 5), (30, 5), (60, 5), (120, 8)])
def test_a_warm_up_of_a_fifth_is_found(n: int, slow: int) -> None:
    source = random.Random(n)
    levels = [800.0] * slow + [1000.0] * (n - slow)
    found = [classify(noise(source, levels, 0.05)).klass for _ in range(500)]
    assert found.count("warm-up") >= 475


@pytest.mark.parametrize("n", [10, 15, 29, 30, 60, 300])
def test_random_orders_reach_the_critical_value_as_often_as_told(n: int) -> None:
    source = random.Random(n)
    repeats = 8000 if n < 100 else 1500
    hits = sum(
        likeliest_change([source.random() for _ in range(n)])[1] >= critical(n) for _ in range(repeats)
    )
    assert hits / repeats <= ALPHA + 3 * math.sqrt(ALPHA / repeats)
    assert hits / repeats >= ALPHA / 3


@pytest.mark.parametrize("cv", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("n", [10, 20, 60])
def test_flat_noise_is_rarely_flagged(n: int, cv: float) -> None:
    source = random.Random(1000 * n + round(100 * cv))
    found = [classify(noise(source, [1000.0] * n, cv)).klass for _ in range(2000)]
    assert found.count("flat") / 2000 >= 0.965


@CALM
@given(st.lists(st.floats(0.0, 1e6), max_size=60))
def test_any_series_has_a_class_and_turns_with_its_direction(values: list[float]) -> None:
    higher, lower = (classify(values, better=better) for better in ("higher", "lower"))
    turned = {"warm-up": "slowdown", "slowdown": "warm-up"}
    assert lower.klass == turned.get(higher.klass, higher.klass)
    assert (higher.klass == "too short") == (len(values) < MIN_SECONDS)
    assert bool(higher.detail) == (higher.klass != "flat")
