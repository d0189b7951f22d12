"""All of one run in memory, as reports and analysis read it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchctl.model.comparison import Summary
    from benchctl.model.measurement import Trial
    from benchctl.model.plan import Plan
    from benchctl.model.tuning import HostTuning
    from benchctl.results.detail import TrialDetail


class Failure(NamedTuple):
    """A trial that did not finish, and why."""

    ordinal: int
    reason: str


class RunView(NamedTuple):
    """What a report may show; nothing in it is computed by the report."""

    path: Path
    summary: Summary
    plan: Plan
    experiment_text: str
    trials: tuple[Trial, ...]  # finished ones, by ordinal
    failures: tuple[Failure, ...]
    fingerprints: dict[str, dict[str, Any]]  # host -> facts
    started: float  # seconds since the epoch
    ended: float | None
    benchctl_version: str
    reason: str = ""  # why a run that failed did
    groups: tuple[tuple[str, tuple[str, ...]], ...] = ()  # host groups with the names of their hosts
    details: tuple[TrialDetail, ...] = ()  # of one trial for each treatment, where a report shows them
    tunings: Mapping[str, HostTuning] = MappingProxyType({})  # tuned host -> what became of each knob
