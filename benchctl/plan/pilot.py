"""The pilot of an experiment: its baseline treatment against itself, in a few blocks.

Two trials of one treatment in each block are the least that tells the spread between trials of a block, which
the paired analysis has to live with, from the spread between blocks, which pairing takes out.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from msgspec.structs import replace

from benchctl.model.experiment import Factor, Level
from benchctl.model.plan import PilotOf
from benchctl.plan.make import make

if TYPE_CHECKING:
    from benchctl.model.plan import Plan
    from benchctl.spec import Spec

BLOCKS = 3
SUFFIX = "-pilot"
_LONGEST_NAME = 63


def make_pilot(spec: Spec, source: str) -> Plan:
    """Return the plan of the pilot: the baseline twice in each block, as an experiment named <name>-pilot.

    `source` is what a command line calls the experiment.
    """
    real = make(spec)
    baseline = real.treatments[0]
    staged = bool(spec.experiment.stages)  # whose templates name the levels of each factor
    levels = [replace(factor, levels=factor.levels[:1]) for factor in spec.experiment.factors if staged]
    experiment = replace(
        spec.experiment,
        name=spec.experiment.name[: _LONGEST_NAME - len(SUFFIX)] + SUFFIX,
        dbms=baseline.dbms,
        workload=None if staged else baseline.workload,
        factors=(
            *levels,
            Factor(name="pilot", levels=(Level(label="first", sets={}), Level(label="second", sets={}))),
        ),
        design=replace(spec.experiment.design, blocks=BLOCKS, min_blocks=BLOCKS),
    )
    about = PilotOf(
        experiment=source,
        comparisons=_comparisons(real),
        blocks=real.experiment.design.blocks,
        expected_seconds=real.expected_seconds,
    )
    return replace(make(spec._replace(experiment=experiment)), pilot=about)


def _comparisons(plan: Plan) -> int:
    """Each other level against the baseline, at each combination of the remaining factors."""
    counts = [len(factor.labels) for factor in plan.factors]
    return sum((count - 1) * prod(counts) // count for count in counts)
