"""How often each stage runs: once in a run, when a level that it depends on changes, or in each trial.

A stage depends on the factors that its templates name and on all that earlier rows depend on: what they set
up changes with those levels. The measured stage, and all after it, run in each trial. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from benchctl.spec.templates import Known, known_names, used_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchctl.model.experiment import Experiment, StageSpec

Scope = Literal["once", "level", "trial"]
SCOPES: tuple[Scope, ...] = ("once", "level", "trial")  # the rarest first


class Placed(NamedTuple):
    """A stage in its row, with how often it must run and how often it does."""

    stage: StageSpec
    row: int
    needed: Scope
    scope: Scope
    depends: tuple[str, ...]  # factors, in the order of the file


def rows(experiment: Experiment) -> tuple[tuple[str, ...], ...]:
    """Return the pipeline; without one the stages run one by one, as they stand in the file."""
    return experiment.pipeline or tuple((stage.name,) for stage in experiment.stages)


def placed(experiment: Experiment) -> tuple[Placed, ...]:
    """Return the stages in the order of the pipeline, each with its scope."""
    return tuple(_placed(experiment, known_names(experiment)))


def _placed(experiment: Experiment, known: Known) -> Iterator[Placed]:
    stages = {stage.name: stage for stage in experiment.stages}
    earlier: set[str] = set()
    floor: Scope = "once"
    for number, row in enumerate(rows(experiment)):
        members = [_place(stages[name], number, known, earlier, floor) for name in row]
        yield from members
        earlier = earlier.union(*(member.depends for member in members))
        floor = max((floor, *(member.scope for member in members)), key=SCOPES.index)


def _place(stage: StageSpec, row: int, known: Known, earlier: set[str], floor: Scope) -> Placed:
    used = used_by(stage, known)
    depends = tuple(name for name in known.levels if name in earlier | used.levels)
    own: Scope = "level" if depends else "once"
    if stage.measure is not None or used.trial:
        own = "trial"
    needed = max(own, floor, key=SCOPES.index)
    scope = max(needed, stage.scope or needed, key=SCOPES.index)
    return Placed(stage, row, needed, scope, known.levels if scope == "level" and not depends else depends)
