"""The order of trials: randomised complete blocks, and the seed that each trial hands to its load generator.

Every trial has a seed of its own, drawn from a stream apart from the order's: what a load generator makes of
one seed is sampled like everything else, and a fixed order has the same seeds as a random one.

Only `Random.random` is used: it is the one method whose sequence Python promises to keep for a seed
(https://docs.python.org/3/library/random.html#notes-on-reproducibility); `shuffle` and `randrange` are not.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from msgspec.structs import replace

from benchctl.model.plan import PlannedTrial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchctl.model.experiment import Design

_SEEDS = 2**31  # what every load generator's seed option takes


def trials(treatments: Sequence[str], design: Design) -> tuple[PlannedTrial, ...]:
    """Return every trial: in each block each treatment once, in random or in the given order."""
    order = Random(2 * design.seed)  # noqa: S311  a design, no secret
    seeds = Random(2 * design.seed + 1)  # noqa: S311  a stream of its own
    planned: list[PlannedTrial] = []
    for block in range(1, design.blocks + 1):
        members = shuffled(treatments, order) if design.order == "randomised" else treatments
        for position, treatment in enumerate(members, start=1):
            planned.append(
                PlannedTrial(
                    ordinal=len(planned) + 1,
                    block=block,
                    position=position,
                    treatment=treatment,
                    seed=_below(seeds, _SEEDS),
                )
            )
    return tuple(planned)


def make_up_block(treatments: Sequence[str], design: Design) -> tuple[PlannedTrial, ...]:
    """Return the block that would come after the last; the blocks before it are those of `trials`."""
    longer = trials(treatments, replace(design, blocks=design.blocks + 1))
    return longer[len(treatments) * design.blocks :]


def shuffled(items: Sequence[str], random: Random) -> list[str]:
    """Return the items in random order (Fisher-Yates)."""
    result = list(items)
    for last in range(len(result) - 1, 0, -1):
        other = _below(random, last + 1)
        result[last], result[other] = result[other], result[last]
    return result


def _below(random: Random, limit: int) -> int:
    """Return a whole number below the limit, which is so far below 2**53 that all are as likely."""
    return int(random.random() * limit)
