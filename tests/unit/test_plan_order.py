"""Randomised complete blocks: every property of the order, and one order recorded for ever."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from benchctl.model.experiment import Design
from benchctl.plan.order import shuffled, trials

DESIGNS = st.builds(
    Design,
    blocks=st.integers(1, 12),
    order=st.sampled_from(["randomised", "fixed"]),
    seed=st.integers(0, 2**32 - 1),
)
RECORDED = [
    ("t01", 428613483),
    ("t02", 428613483),
    ("t03", 428613483),
    ("t02", 1320815405),
    ("t03", 1320815405),
    ("t01", 1320815405),
    ("t02", 230017669),
    ("t01", 230017669),
    ("t03", 230017669),
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
def test_a_pair_shares_its_seed_and_blocks_do_not(treatments: list[str], design: Design) -> None:
    planned = trials(treatments, design)
    seeds = {trial.block: trial.seed for trial in planned}
    assert all(trial.seed == seeds[trial.block] for trial in planned)
    assert len(set(seeds.values())) == design.blocks
    assert all(0 <= seed < 2**31 for seed in seeds.values())


@given(DESIGNS)
def test_more_treatments_keep_the_seeds(design: Design) -> None:
    few = {trial.block: trial.seed for trial in trials(["t01"], design)}
    many = {trial.block: trial.seed for trial in trials(["t01", "t02", "t03"], design)}
    assert few == many


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
