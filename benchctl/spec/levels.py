"""Dotted paths into `dbms` and `workload`: what a level sets, and the parts as they stand under it.

A path is a section, a key, and for free-form mappings everything after that as one more key:
`dbms.settings.pg_stat_statements.max` sets the setting `pg_stat_statements.max`. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from benchctl.model.experiment import Dbms, Measure, Workload

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from benchctl.model.experiment import Experiment, Level, StageSpec, TaskSpec, Value
    from benchctl.model.role import RoleMeta, Scope

Part = TypeVar("Part", Dbms, Workload)


class Path(NamedTuple):
    """A path in its parts; `entry` is the key inside a free-form mapping, or empty."""

    section: str
    key: str
    entry: str


class Parts(NamedTuple):
    """What a treatment changes, as it stands under its levels."""

    dbms: Dbms | None
    workload: Workload


def measured(experiment: Experiment) -> StageSpec:
    """Return the stage that is measured, of an experiment that has stages."""
    return next(stage for stage in experiment.stages if stage.measure is not None)


def as_workload(stage: StageSpec) -> Workload:
    """Return what the measured stage is to gates and parsers: a load generator and a window.

    It is the one whose role `parse` names, else `command`. The option `window` says that the window is
    stated, and does not end with the command.
    """
    task = stage.tasks[0]
    measure = stage.measure or Measure()
    if reader := reader_of(task):
        given = {name: value for name, value in (task.parse or {}).items() if name != "role"}
        return Workload(
            role=reader,
            warmup=measure.warmup,
            duration=measure.duration,
            options={**given, "window": True},
        )
    options: dict[str, Value] = {"run": task.run, "window": True}
    options |= {"values": dict(task.values), "units": dict(task.units)}
    if task.parse is not None:
        options["parse"] = task.parse
    return Workload(role="command", warmup=measure.warmup, duration=measure.duration, options=options)


def reader_of(task: TaskSpec) -> str:
    """Return the load generator's role whose module reads the output of a task; empty for `command`."""
    given = (task.parse or {}).get("role")
    return str(given) if given not in {None, "json"} else ""


def units_missing(experiment: Experiment, workload: Workload) -> Iterator[tuple[str, str, str]]:
    """Yield place, name and remedy of each metric that is compared while nothing states its unit.

    The workload is one of the load generator `command`, which refuses `units` that are no mapping.
    """
    units = workload.options.get("units", {})
    for index, metric in enumerate(experiment.metrics):
        if metric.name not in {"seconds", *(units if isinstance(units, dict) else ())}:
            remedy = f"add units: {{{metric.name}: 1/s}} beside parse, in the unit that the program prints"
            yield f"metrics.{index}", metric.name, remedy


def split(path: str) -> Path:
    """Return the parts of a dotted path."""
    section, _, rest = path.partition(".")
    key, _, entry = rest.partition(".")
    return Path(section, key, entry)


def under(experiment: Experiment, levels: Iterable[Level]) -> Parts:
    """Return the experiment's parts with all that these levels set."""
    dbms, workload = experiment.dbms, experiment.workload or as_workload(measured(experiment))
    for level in levels:
        for path, value in level.sets.items():
            where = split(path)
            if where.section == "workload":
                workload = _with(workload, where, value)
            elif dbms is not None:
                dbms = _with(dbms, where, value)
    return Parts(dbms, workload)


def scope_of(path: str, roles: Mapping[str, RoleMeta]) -> Scope:
    """Return what a changed value at a path costs; `roles` maps a section's name to its role."""
    where = split(path)
    meta = roles[where.section]
    if where.key in meta.options:
        return meta.options[where.key].scope
    if where.section == "dbms" and where.key == "settings":
        return meta.settings or "install"
    return "run"  # the workload's own window


def _with(part: Part, where: Path, value: Value) -> Part:
    if where.key in part.__struct_fields__ and where.key != "options":
        found: Any = getattr(part, where.key)
        new = {**found, where.entry: value} if where.entry else value
        return msgspec.structs.replace(part, **{where.key: new})
    options: dict[str, Any] = dict(part.options)
    options[where.key] = {**options.get(where.key, {}), where.entry: value} if where.entry else value
    return msgspec.structs.replace(part, options=options)
