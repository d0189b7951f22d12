"""Small valid records for tests, with what a test cares about as arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchctl.model.experiment import Dbms, Design, Experiment, Level, Limits, Metric, Workload
from benchctl.model.experiment import Factor as FactorSpec
from benchctl.model.measurement import LoaderResult, Quantity, ServerFacts, TaskResult, Trial, Window
from benchctl.model.plan import FactorPlan, Image, Instance, Plan, PlannedTrial, Treatment

if TYPE_CHECKING:
    from benchctl.model.experiment import Value
    from benchctl.model.measurement import Validity

FACTOR = "dbms.settings.fsync"


def plan(
    *,
    blocks: int = 2,
    on_failure: str = "continue",
    limits: Limits | None = None,
    role: str = "command",
    options: dict[str, Value] | None = None,
    units: dict[str, str] | None = None,
) -> Plan:
    """Two treatments on one PostgreSQL, driven by `command`."""
    load = options or {"run": "load", "parse": {"json": True}}
    workload = Workload(role=role, duration=1.0, options=load)
    levels = tuple(Level(label=label, sets={FACTOR: label}) for label in ("on", "off"))
    experiment = Experiment(
        name="test",
        workload=workload,
        dbms=Dbms(role="postgresql"),
        factors=(FactorSpec(name=FACTOR, levels=levels),),
        design=Design(blocks=blocks, min_blocks=blocks, on_failure=on_failure),  # type: ignore[arg-type]
        metrics=(Metric(name="throughput", better="higher"),),
        limits=limits or Limits(trial=150.0),  # what an open-ended load is sampled for
    )
    treatments = tuple(
        Treatment(
            id=f"t{number:02d}",
            levels={FACTOR: label},
            dbms=Dbms(role="postgresql", settings={"fsync": label}),
            workload=workload,
            instance="postgresql-1",
            image="image-1",
        )
        for number, label in enumerate(("on", "off"), start=1)
    )
    trials = tuple(
        PlannedTrial(
            ordinal=2 * block + position,
            block=block + 1,
            position=position,
            treatment=f"t{position:02d}",
            seed=block,
        )
        for block in range(blocks)
        for position in (1, 2)
    )
    return Plan(
        experiment=experiment,
        origins={},
        factors=(FactorPlan(name=FACTOR, labels=("on", "off"), scope="start"),),
        instances=(Instance(id="postgresql-1", role="postgresql", group="dbms", options={"version": "18"}),),
        images=(Image(id="image-1", instance="postgresql-1", loader=role, prepare={}, seed=1),),
        treatments=treatments,
        stages=(),
        trials=trials,
        expected_seconds=4.0,
        units=units or {},
    )


def trial(ordinal: int = 1, *, throughput: float = 100.0, validity: Validity = "ok") -> Trial:
    """A finished trial of the plan above."""
    label = "on" if ordinal % 2 else "off"
    return Trial(
        ordinal=ordinal,
        block=(ordinal + 1) // 2,
        position=2 - ordinal % 2,
        treatment="t01" if ordinal % 2 else "t02",
        levels={FACTOR: label},
        seed=1,
        host="localhost",
        attempt=1,
        started=1_700_000_000.0,
        phases={"load": 1.0},
        window=Window(start=1_700_000_000.0, end=1_700_000_001.0),
        load=TaskResult(
            argv=("load",),
            exit=0,
            start=1_700_000_000.0,
            end=1_700_000_001.0,
            cpu_user=0.1,
            cpu_system=0.1,
            max_rss=1,
        ),
        loads=(),
        start=None,
        server=ServerFacts(instance="postgresql-1", image="abc", version="18.6", settings={}, wanted={}),
        counters_before={},
        counters_after={},
        loader_version="",
        files={},
        result=LoaderResult(
            loader="command",
            version="",
            open_loop=False,
            metrics={"throughput": Quantity(value=throughput, unit="1/s")},
            errors=0,
            requests=100,
        ),
        findings=(),
        validity=validity,
    )
