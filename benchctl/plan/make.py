"""Puts the plan together: treatments, order, stages, how long it takes and what it can find.

Must not read or write anything.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from benchctl.model.plan import DataCost, Detectable, Plan
from benchctl.plan.order import trials
from benchctl.plan.placement import Placement, digest, loaders, place
from benchctl.plan.stages import factor_plans, stages
from benchctl.spec.levels import as_workload, measured
from benchctl.spec.scopes import rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchctl.model.experiment import Experiment
    from benchctl.model.plan import PlannedTrial, Treatment
    from benchctl.model.role import RoleMeta
    from benchctl.model.tuning import GroupPlan
    from benchctl.spec import Spec

DEFAULT_CVS = (0.01, 0.03, 0.05)  # trials of a quiet host, an ordinary one, a shared one
# Seconds, as seen on two shared cores (docs of the test bed): enough for a plan, no promise.
INSTALL_SECONDS = 6.0  # one Ansible play for each distinct installation, a second one for the load generator
IMAGE_SECONDS = 4.0  # initdb 0.6, first start, the loader's prepare, checkpoint, sync
RESET_SECONDS = 2.0  # clone and its write-back 1.8 to 2.6
SERVER_SECONDS = 0.5  # start 0.1, read back, counters, stop 0.2
FETCH_SECONDS = 0.2  # raw files copied, hashed, parsed, synced


def make(spec: Spec, *, cvs: Sequence[float] = ()) -> Plan:
    """Return the plan of an experiment: the same spec gives the same plan, byte for byte.

    Args:
        spec: a checked experiment.
        cvs: coefficients of variation between trials, as fractions, for what can be found; 1, 3, 5 %.
    """
    experiment = spec.experiment
    placement = place(experiment, spec.roles)
    order = trials([treatment.id for treatment in placement.treatments], experiment.design)
    return Plan(
        experiment=experiment,
        origins=spec.origins,
        factors=factor_plans(experiment, spec.roles),
        instances=placement.instances,
        images=placement.images,
        treatments=placement.treatments,
        stages=stages(experiment, spec.roles),
        trials=order,
        expected_seconds=expected_seconds(placement, order, installs=_installs(experiment, placement)),
        detectable=_detectable(experiment, tuple(cvs) or DEFAULT_CVS),
        design_hash=design_hash(experiment, spec.files, spec.tuning),
        tuning=dict(spec.tuning),
        loaders=loaders(experiment, spec.roles),
        units=_units(experiment, spec.roles),
        sets=spec.sets,
        files=dict(spec.files),
        role_folders=tuple(map(str, spec.role_folders)),
    )


def _units(experiment: Experiment, roles: Mapping[str, RoleMeta]) -> dict[str, str]:
    """Return the unit of each metric as the load generator's role declares it; none: it declares none."""
    workload = experiment.workload or as_workload(measured(experiment))
    meta = roles.get(workload.role)
    return {metric.name: metric.unit for metric in meta.metrics} if meta is not None else {}


def _installs(experiment: Experiment, placement: Placement) -> int:
    """Count what configure installs: each instance and the load generator, or what stages name."""
    if experiment.stages:
        return sum(stage.install is not None for stage in experiment.stages)
    return len(placement.instances) + 1


def with_costs(plan: Plan, costs: Mapping[str, DataCost]) -> Plan:
    """Return the plan with what its data took in earlier runs, by image; its length is that of these."""
    placement = Placement(plan.treatments, plan.instances, plan.images)
    seconds = expected_seconds(
        placement, plan.trials, installs=_installs(plan.experiment, placement), costs=costs
    )
    return replace(plan, data_costs=dict(costs), expected_seconds=seconds)


def expected_seconds(
    placement: Placement,
    order: Sequence[PlannedTrial],
    *,
    installs: int,
    costs: Mapping[str, DataCost] = MappingProxyType({}),
) -> float:
    """Return how long a run takes on a host that has nothing yet: setting up, then every trial.

    How long stages take before and after the measured one, nobody knows.
    """
    told = [costs.get(image.id, DataCost()) for image in placement.images]
    setup = sum(IMAGE_SECONDS if cost.prepare is None else cost.prepare for cost in told)
    by_id = {treatment.id: trial_seconds(treatment, costs) for treatment in placement.treatments}
    return INSTALL_SECONDS * installs + setup + sum(by_id[trial.treatment] for trial in order)


def trial_seconds(treatment: Treatment, costs: Mapping[str, DataCost]) -> float:
    """Return how long one trial of a treatment takes, its data and its server's restart included."""
    workload = treatment.workload
    window = workload.warmup + workload.duration + FETCH_SECONDS
    if treatment.dbms is None:
        return window
    cost = costs.get(str(treatment.image), DataCost())
    return window + SERVER_SECONDS + (RESET_SECONDS if cost.reset is None else cost.reset)


def design_hash(experiment: Experiment, files: Mapping[str, str], tuning: Mapping[str, GroupPlan]) -> str:
    """Return the SHA-256 of what shapes the trials; files count by content, wherever they lie."""
    design = experiment.design
    shape: dict[str, object] = {
        "dbms": experiment.dbms,
        "workload": experiment.workload,
        "factors": experiment.factors,
        "tuning": {group: [plan.values, plan.shared, plan.reboot] for group, plan in tuning.items()},
        "design": [design.blocks, design.order, design.seed],
    }
    if experiment.stages:
        shape |= {"stages": experiment.stages, "pipeline": rows(experiment)}
    return digest(_by_content(msgspec.to_builtins(shape), files))


def _by_content(value: Any, files: Mapping[str, str]) -> Any:  # noqa: ANN401  any JSON
    if isinstance(value, dict):
        return {key: _by_content(child, files) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_by_content(child, files) for child in value]
    return f"sha256:{files[value]}" if isinstance(value, str) and value in files else value


def _detectable(experiment: Experiment, cvs: Sequence[float]) -> tuple[Detectable, ...]:
    """Each comparison has one pair for each block; without two levels and two blocks there is none."""
    if experiment.design.blocks < 2 or all(len(factor.levels) < 2 for factor in experiment.factors):
        return ()
    from benchctl.statistics.power import detectable_effect

    effects = ((cv, detectable_effect(experiment.design.blocks, cv)) for cv in cvs)
    return tuple(Detectable(cv=cv, effect=effect) for cv, effect in effects if math.isfinite(effect))
