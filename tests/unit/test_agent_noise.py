"""What is left of noise: the arithmetic of gaps, blocks and counters, and what is refused."""

from __future__ import annotations

from itertools import accumulate, repeat
from typing import TYPE_CHECKING

import pytest

from benchctl.agent import jitter, noise
from benchctl.agent.refusal import RefusalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

INTERRUPTS = """           CPU0       CPU2
  1:          9          0   IO-APIC   1-edge      i8042
 24:        100          7  PCI-MSI 49152-edge      virtio0-input.0
LOC:       1000       2000   Local timer interrupts
ERR:          0
MIS:          0
"""


def clock(steps: Iterable[int]) -> Callable[[], int]:
    """A clock that goes on by these steps."""
    return iter(accumulate(steps)).__next__


def test_gaps_are_counted_by_their_length_and_what_lies_in_them_is_lost() -> None:
    # Read by read: 50, a gap of 1500 and the second look after it, 50, one of 30,000 with its look, the end.
    steps = [0, 50, 1_500, 10, 50, 30_000, 10, *repeat(50, 2000)]
    told = jitter.gaps((1_000, 2_000, 20_000), 100e-6, clock(steps))
    assert told["edges"] == {"1000": 2, "2000": 1, "20000": 1}
    assert told["longest"] == 30_000
    assert told["lost"] == pytest.approx(31_500 / 100_020, rel=0.001)


def test_a_quiet_loop_has_no_gaps() -> None:
    told = jitter.gaps((1_000,), 10e-6, clock(repeat(60, 1000)))
    assert told == {"edges": {"1000": 0}, "longest": 0, "lost": 0.0}


def test_the_floor_is_what_most_reads_take() -> None:
    assert jitter.floor_of([60, 61, 60, 70_000, 59]) == 60


def test_blocks_have_a_spread() -> None:
    assert jitter.spread([100, 100, 100, 100]) == {"blocks": 4, "block": 100, "cv": 0.0, "ratio": 1.0}
    told = jitter.spread([90, 110, 100])
    assert (told["block"], told["cv"]) == (100, pytest.approx(0.1))
    assert told["ratio"] == pytest.approx(110 / 90)
    assert jitter.spread([5])["cv"] == 0.0


def test_work_is_done_at_least_once() -> None:
    assert jitter.work(0)["blocks"] == 1


def test_columns_keep_the_numbers_of_their_cpus() -> None:
    found = noise.counts(INTERRUPTS)
    assert found == {"1 i8042": [9, 0, 0], "24 virtio0-input.0": [100, 0, 7], "LOC": [1000, 0, 2000]}
    assert noise.counts("") == {}


def test_what_happened_on_a_cpu_is_told_by_how_often() -> None:
    before = noise.counts(INTERRUPTS)
    after = noise.counts(INTERRUPTS.replace("2000 ", "2250 ").replace("  7 ", " 10 "))
    changed = noise.difference(before, after)
    assert noise.on_cpu(changed, 2) == {"LOC": 250, "24 virtio0-input.0": 3}
    assert noise.on_cpu(changed, 0) == {}
    assert noise.on_cpu(changed, 9) == {}


def test_an_interrupt_that_is_new_counts_from_nothing() -> None:
    after = noise.counts(INTERRUPTS)
    assert noise.difference({}, after) == after


@pytest.mark.parametrize(
    ("cpus", "why"), [("0-9999", "this host has the CPUs"), ("a-b", "no list of CPUs"), (",", "no list")]
)
def test_cpus_that_are_not_there_are_refused(cpus: str, why: str) -> None:
    with pytest.raises(RefusalError, match=why):
        noise.check_cpus(cpus)
