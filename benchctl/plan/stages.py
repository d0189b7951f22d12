"""How often each part of a run happens: factors with their scope, stages with what makes them run again.

Must not order trials; a stage here is what the plan prints, the benchmark room executes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchctl.model.plan import FactorPlan, Stage
from benchctl.spec.levels import scope_of, split
from benchctl.spec.scopes import placed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchctl.model.experiment import Experiment, Factor
    from benchctl.model.role import RoleMeta, Scope
    from benchctl.spec.scopes import Placed

_COST: tuple[Scope, ...] = ("run", "start", "prepare", "install")  # cheapest first


def factor_plans(experiment: Experiment, roles: Mapping[str, RoleMeta]) -> tuple[FactorPlan, ...]:
    """Return each factor with the scope of the costliest thing that its levels set."""
    sections = _sections(experiment, roles)
    return tuple(
        FactorPlan(
            name=factor.name,
            labels=tuple(level.label for level in factor.levels),
            scope=max((scope for _, scope in _effects(factor, sections)), key=_COST.index, default=None),
        )
        for factor in experiment.factors
    )


def stages(experiment: Experiment, roles: Mapping[str, RoleMeta]) -> tuple[Stage, ...]:
    """Return the stages in order: installation, data images, then what the roles bring to each trial.

    With stages in the experiment: those, in the order of its pipeline.
    """
    if experiment.stages:
        return tuple(_written_out(one) for one in placed(experiment))
    sections = _sections(experiment, roles)
    install: set[tuple[str, Scope]] = {("dbms", "install"), ("dbms", "prepare")}
    found = [_changing("install-loader", "loader", ())]
    if "dbms" in sections:
        image: set[tuple[str, Scope]] = {*install, ("workload", "prepare")}
        found.insert(0, _changing("install", "dbms", _factors(experiment, sections, install)))
        found.append(_changing("image", "dbms", _factors(experiment, sections, image)))
    for section, meta in sections.items():
        found.extend(_each_trial(experiment, section, meta))
    return tuple(found)


def _written_out(one: Placed) -> Stage:
    """Return a stage of the file; it counts as a service when it leaves any behind."""
    stage = one.stage
    return Stage(
        name=stage.name,
        group=stage.group,
        kind="service" if any(task.kind == "service" for task in stage.tasks) else "finish",
        scope=one.scope,
        depends=one.depends,
        together=stage.start == "together",
        measured=stage.measure is not None,
        row=one.row,
        spec=stage,
    )


def _each_trial(experiment: Experiment, section: str, meta: RoleMeta) -> Iterator[Stage]:
    depends = tuple(
        factor.name
        for factor in experiment.factors
        if any(split(path).section == section for level in factor.levels for path in level.sets)
    )
    for stage in meta.stages:
        yield Stage(
            name=stage.name,
            group="dbms" if section == "dbms" else "loader",
            kind=stage.kind,
            scope="trial",
            depends=depends,
            together=stage.together,
            measured=stage.measured,
        )


def _changing(name: str, group: str, depends: tuple[str, ...]) -> Stage:
    return Stage(name=name, group=group, kind="finish", scope="level" if depends else "once", depends=depends)


def _sections(experiment: Experiment, roles: Mapping[str, RoleMeta]) -> dict[str, RoleMeta]:
    parts = (("dbms", experiment.dbms), ("workload", experiment.workload))
    return {section: roles[part.role] for section, part in parts if part is not None}


def _effects(factor: Factor, sections: Mapping[str, RoleMeta]) -> set[tuple[str, Scope]]:
    paths = {path for level in factor.levels for path in level.sets}
    return {(split(path).section, scope_of(path, sections)) for path in paths}


def _factors(
    experiment: Experiment, sections: Mapping[str, RoleMeta], wanted: set[tuple[str, Scope]]
) -> tuple[str, ...]:
    return tuple(factor.name for factor in experiment.factors if _effects(factor, sections) & wanted)
