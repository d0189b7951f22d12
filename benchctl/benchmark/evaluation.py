"""From a trial's raw files and facts to its numbers and its validity; the same code online and offline.

Owns the pairing of parser and gates. Must not look at anything but the raw folder and the given facts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from benchctl import gates, loaders
from benchctl.errors import ParseError
from benchctl.model.measurement import HostLoad, worst

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchctl.model.experiment import Workload
    from benchctl.model.measurement import (
        Capacity,
        Finding,
        LoaderResult,
        ServerFacts,
        Start,
        TaskResult,
        Trial,
        Validity,
        Window,
    )


class Ran(NamedTuple):
    """One host's part of the load before its output is read; the fields are those of HostLoad."""

    host: str
    task: TaskResult
    window: Window
    began: float = 0.0
    uncertainty: float = 0.0
    late: bool = False
    capacity: Capacity | None = None


class Measured(NamedTuple):
    """The facts of a trial that its raw files do not hold."""

    host: str  # the measured one
    window: Window
    loads: tuple[Ran, ...]
    start: Start | None
    server: ServerFacts | None


class Evaluation(NamedTuple):
    loads: tuple[HostLoad, ...]
    result: LoaderResult
    findings: tuple[Finding, ...]
    validity: Validity


def measured(trial: Trial) -> Measured:
    """The facts of a finished trial, for deriving the rest again."""
    loads = tuple(
        Ran(load.host, load.task, load.window, load.began, load.uncertainty, load.late, load.capacity)
        for load in trial.loads
    )
    return Measured(trial.host, trial.window, loads, trial.start, trial.server)


def evaluate(
    raw: Path, facts: Measured, *, workload: Workload, units: Mapping[str, str], context: gates.Context
) -> Evaluation:
    """Parse each loader's output below raw/<host>, then judge the trial.

    `units` are those that the load generator's role declares, by metric; none: it declares no metrics.
    Raises ParseError for output that is not understood, and for metrics that are not as declared.
    """
    loads = tuple(_read(raw, ran, workload, units) for ran in facts.loads)
    parts = [loaders.Part(load.host, raw / load.host, load.window, load.result) for load in loads]
    result = loaders.merge(loaders.get(workload.role), parts)
    findings = _findings(raw, facts, loads, context, states_window=workload.options.get("window") is True)
    return Evaluation(loads, result, findings, worst(tuple(f.validity for f in findings)))


def _findings(
    raw: Path,
    facts: Measured,
    loads: tuple[HostLoad, ...],
    context: gates.Context,
    *,
    states_window: bool,
) -> tuple[Finding, ...]:
    """Of each host by itself, then of all loads together; hosts are named where there are several.

    `states_window`: the loads are asked to run through the window, also where they report by themselves.
    """
    by_host = {load.host: load for load in loads}
    folders = {path.name for path in raw.iterdir() if path.is_dir()}
    self_timed = not states_window and all(load.result.percentile_source == "loader" for load in loads)
    hosts = sorted(folders | {facts.host, *by_host})
    found: list[Finding] = []
    for host in hosts:
        load = by_host.get(host)
        evidence = gates.read(
            raw / host,
            window=facts.window if load is None else load.window,
            load=None if load is None else load.task,
            server=facts.server if host == facts.host else None,
            result=None if load is None else load.result,
            capacity=None if load is None else load.capacity,
            context=context.on(host),
            self_timed=self_timed,
        )
        named = host if len(hosts) > 1 else ""
        found += [msgspec.structs.replace(one, host=named) for one in gates.judge(evidence)]
    whole = gates.Together(loads, facts.start, facts.window.seconds, self_timed, context)
    return (*found, *gates.judge_together(whole))


def _read(raw: Path, ran: Ran, workload: Workload, units: Mapping[str, str]) -> HostLoad:
    parsed = loaders.get(workload.role).parse(raw / ran.host, ran.window, workload, ran.task)
    if units:
        _require_declared(workload.role, parsed, units)
    return HostLoad(**ran._asdict(), result=parsed)


def _require_declared(role: str, result: LoaderResult, units: Mapping[str, str]) -> None:
    """Raise ParseError for metrics in another unit than the role declares, and for those it does not have."""
    wrong = [
        f"{name} in {quantity.unit or 'no unit'}, and the role declares {units.get(name, 'no such metric')}"
        for name, quantity in result.metrics.items()
        if quantity.unit != units.get(name)
    ]
    if wrong:
        raise ParseError(
            f"{role}: its parser gives {'; '.join(wrong)}",
            remedy="metrics of the role's meta/bench.yml and its parser have to agree; its output is kept",
        )
