"""Randomised complete blocks: every property of the order, and one order recorded for ever."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from benchctl.model.experiment import Design
from benchctl.plan.order import make_up_block, shuffled, trials

DESIGNS = st.builds(
    Design,
    blocks=st.integers(1, 12),
    order=st.sampled_from(["randomised", "fixed"]),
    seed=st.integers(0, 2**32 - 1),
)
RECORDED = [
    ("t01", 428613483),
    ("t02", 1320815405),
    ("t03", 230017669),
    ("t02", 1943854719),
    ("t03", 412481635),
    ("t01", 990464860),
    ("t02", 1656218813),
    ("t01", 1949700933),
    ("t03", 1250304195),
]
TREATMENTS = st.integers(1, 8).map(lambda number: [f"t{n:02d}" for n in range(1, number + 1)])


@given(TREATMENTS, DESIGNS)
def test_each_block_has_each_treatment_once(treatments: list[str], design: Design) -> None:
    planned = trials(treatments, design)
    assert [trial.ordinal for trial in planned] == list(range(1, len(treatments) * design.blocks + 1))
    for block in range(1, design.blocks + 1):
        members = [trial for trial in planned if trial.block == block]
        assert sorted(trial.treatment for trial in members) == treatments
        assert [trial.position for trial in members] == list(range(1, len(treatments) + 1))


@given(TREATMENTS, DESIGNS)
def test_the_same_seed_gives_the_same_plan(treatments: list[str], design: Design) -> None:
    assert trials(treatments, design) == trials(treatments, design)


@given(TREATMENTS, DESIGNS)
def test_every_trial_has_a_seed_of_its_own(treatments: list[str], design: Design) -> None:
    seeds = [trial.seed for trial in trials(treatments, design)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)


@given(TREATMENTS, DESIGNS)
def test_a_make_up_block_is_the_one_that_would_come_next(treatments: list[str], design: Design) -> None:
    extra = make_up_block(treatments, design)
    longer = trials(treatments, replace(design, blocks=design.blocks + 1))
    assert trials(treatments, design) + extra == longer
    assert {trial.block for trial in extra} == {design.blocks + 1}


@settings(max_examples=20)
@given(st.integers(0, 2**31))
def test_another_seed_gives_another_order(seed: int) -> None:
    treatments = [f"t{n:02d}" for n in range(1, 7)]
    one, other = (trials(treatments, Design(blocks=10, seed=number)) for number in (seed, seed + 1))
    assert [trial.treatment for trial in one] != [trial.treatment for trial in other]


def test_a_fixed_order_is_the_given_one() -> None:
    planned = trials(["t01", "t02", "t03"], Design(blocks=2, order="fixed"))
    assert [trial.treatment for trial in planned] == ["t01", "t02", "t03"] * 2


def test_each_order_is_as_likely() -> None:
    random = Random(7)
    counts = Counter("".join(shuffled("abc", random)) for _ in range(6000))
    assert len(counts) == 6
    assert all(abs(count - 1000) < 150 for count in counts.values())  # five standard deviations


def test_the_recorded_order_never_changes() -> None:
    """A run must be the same on every Python version: only this test may say that it changed."""
    planned = trials(["t01", "t02", "t03"], Design(blocks=3, seed=42))
    assert [(trial.treatment, trial.seed) for trial in planned] == RECORDED
