"""Made-up runs for the tests of `report`: seeded, with the shapes and magnitudes of real ones."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import stats

from benchctl.model.comparison import Comparison, GateSummary, MetricSummary, Summary, TrialCounts, Verdict
from benchctl.model.experiment import Dbms, Design, Direction, Experiment, Factor, Level, Metric, Workload
from benchctl.model.measurement import (
    Finding,
    LoaderResult,
    Quantity,
    ServerFacts,
    TaskResult,
    Trial,
    Validity,
    Window,
)
from benchctl.model.plan import (
    Detectable,
    FactorPlan,
    Image,
    Instance,
    Plan,
    PlannedTrial,
    Stage,
    Treatment,
)
from benchctl.results.view import Failure, RunView

if TYPE_CHECKING:
    from benchctl.model.role import Scope

START = 1_795_256_100.0  # 2026-11-21 10:15 UTC
SECONDS = 5
HOSTILE = "<script>alert('x')</script>\x1b[31m[red]|*`&"


class FactorCase(NamedTuple):
    """A factor, and what each of its levels multiplies throughput by."""

    name: str
    effects: dict[str, float]
    scope: Scope | None = "start"


class Case(NamedTuple):
    """What a made-up run looks like."""

    name: str = "quickstart"
    factors: tuple[FactorCase, ...] = (
        FactorCase("dbms.settings.synchronous_commit", {"on": 1.0, "off": 1.85}),
    )
    blocks: int = 6
    base: float = 1_600.0
    cv: float = 0.03
    seed: int = 7
    open_loop: bool = False
    dbms: bool = True
    invalid: tuple[int, ...] = ()
    suspect: tuple[int, ...] = ()
    failed: tuple[int, ...] = ()
    p999: bool = True
    delta: float = 0.02
    finished: bool = True
    facts: dict[str, Any] | None = None


CASES = {
    "faster": Case(),
    "equivalent": Case(
        name="pg-work-mem",
        factors=(FactorCase("dbms.settings.work_mem", {"4MB": 1.0, "64MB": 1.002}),),
        cv=0.006,
        blocks=12,
    ),
    "inconclusive": Case(
        factors=(FactorCase("dbms.settings.work_mem", {"4MB": 1.0, "64MB": 1.01}),),
        cv=0.08,
        suspect=(2, 3, 5, 6, 8, 9, 10),
        p999=False,
    ),
    "several": Case(
        name="clients-sweep",
        factors=(
            FactorCase("workload.clients", {"1": 0.4, "8": 1.0, "32": 1.05}, "run"),
            FactorCase("dbms.settings.synchronous_commit", {"on": 1.0, "off": 1.6}),
        ),
        blocks=8,
        cv=0.02,
    ),
    "aa": Case(
        name="aa", factors=(FactorCase("build", {"main": 1.0, "same": 1.0}, None),), cv=0.02, blocks=10
    ),
    "plain": Case(name="one-setting", factors=(), blocks=5),
    "troubled": Case(blocks=8, invalid=(4, 9), suspect=(1, 2, 11), failed=(6, 13), open_loop=True),
    "command": Case(
        name="own-program",
        factors=(FactorCase("mode", {"old": 1.0, "new": 0.9}, "run"),),
        dbms=False,
        p999=False,
    ),
    "nothing": Case(failed=tuple(range(1, 13)), finished=False),
    "hostile": Case(
        factors=(FactorCase(HOSTILE, {"a": 1.0, HOSTILE: 1.2}, "start"),),
        suspect=(2,),
        failed=(5,),
        facts={HOSTILE: {HOSTILE: HOSTILE}, "env": {"PGPASSWORD": "hunter2"}},
    ),
}

FACTS: dict[str, Any] = {
    "clock.source": "kvm-clock",
    "cpu.model": "AMD EPYC 7B13",
    "cpu.usable": 2,
    "cpufreq.governor": None,
    "disk.device": "vda",
    "disk.filesystem": "ext4",
    "kernel.cmdline": "BOOT_IMAGE=/vmlinuz root=/dev/vda1 ro quiet",
    "kernel.release": "6.1.0-28-cloud-amd64",
    "memory.thp": "always [madvise] never",
    "memory.total": 25_263_841_280,
    "network.cards": [{"name": "eth0", "driver": "virtio_net"}],
    "os.name": "Debian GNU/Linux 12 (bookworm)",
    "sysctl.vm.swappiness": "60",
    "virtual.container": None,
    "virtual.hypervisor": True,
}


def view(case: str | Case = "faster") -> RunView:
    """The run of a named case, the same on every call."""
    what = CASES[case] if isinstance(case, str) else case
    plan = make_plan(what)
    trials = tuple(_trials(what, plan))
    run = f"20261121-1015-{what.name}-3f2a"
    return RunView(
        path=Path("runs") / run,
        summary=_summary(what, run, plan, trials),
        plan=plan,
        experiment_text=f"name: {what.name}\nworkload: {{role: pgbench, clients: 8}}\n",
        trials=trials,
        failures=tuple(
            Failure(ordinal, _reason(what, "The server died: FATAL: could not map shared memory"))
            for ordinal in what.failed
        ),
        fingerprints={"localhost": what.facts or FACTS},
        started=START,
        ended=START + plan.expected_seconds * 1.04 if what.finished else None,
        benchctl_version="0.1.0",
    )


def make_plan(case: Case) -> Plan:
    """The plan of a case: randomised complete blocks."""
    treatments = tuple(_treatments(case))
    rng = np.random.default_rng(case.seed)
    trials: list[PlannedTrial] = []
    for block in range(1, case.blocks + 1):
        for position, index in enumerate(rng.permutation(len(treatments)), start=1):
            trials.append(
                PlannedTrial(
                    ordinal=len(trials) + 1,
                    block=block,
                    position=position,
                    treatment=treatments[index].id,
                    seed=int(rng.integers(2**31)),
                )
            )
    return Plan(
        experiment=_experiment(case),
        origins={"name": "quickstart.yml:1:7", "design.blocks": "--set", "design.seed": "default"},
        factors=tuple(FactorPlan(name=f.name, labels=tuple(f.effects), scope=f.scope) for f in case.factors),
        instances=(
            Instance(id="postgresql-3fa2c91b", role="postgresql", group="dbms", options={"version": "18"}),
        )
        if case.dbms
        else (),
        images=(
            Image(
                id="9b1c02aa77e0",
                instance="postgresql-3fa2c91b",
                loader="pgbench",
                prepare={"scale": 10},
                seed=42,
            ),
        )
        if case.dbms
        else (),
        treatments=treatments,
        stages=(
            *((Stage(name="server", group="dbms", kind="service", scope="trial"),) if case.dbms else ()),
            Stage(name="load", group="loader", kind="finish", scope="trial", together=True, measured=True),
        ),
        trials=tuple(trials),
        expected_seconds=len(trials) * (SECONDS + 3.0),
        detectable=(
            Detectable(cv=0.01, effect=0.0142),
            Detectable(cv=0.03, effect=0.0431),
            Detectable(cv=0.05, effect=0.0729),
        ),
        design_hash="5d0f2ce1b7a9",
    )


def _experiment(case: Case) -> Experiment:
    return Experiment(
        name=case.name,
        workload=_workload(case),
        dbms=_dbms(case, {}),
        factors=tuple(
            Factor(name=f.name, levels=tuple(Level(label=label, sets={f.name: label}) for label in f.effects))
            for f in case.factors
        ),
        design=Design(blocks=case.blocks),
        metrics=(
            Metric(name="throughput", better="higher", delta=case.delta),
            Metric(name="latency_p99", better="lower", delta=0.05),
        ),
    )


def _workload(case: Case) -> Workload:
    if not case.dbms:
        return Workload(role="command", warmup=1.0, duration=SECONDS, options={"run": "./bench --mode=old"})
    return Workload(role="pgbench", warmup=1.0, duration=SECONDS, options={"clients": 8, "scale": 10})


def _dbms(case: Case, settings: dict[str, str]) -> Dbms | None:
    if not case.dbms:
        return None
    return Dbms(
        role="postgresql", options={"version": "18"}, settings={"shared_buffers": "256MB", **settings}
    )


def _treatments(case: Case) -> list[Treatment]:
    combinations = itertools.product(*(factor.effects for factor in case.factors))
    made = []
    for number, labels in enumerate(combinations, start=1):
        levels = dict(zip((factor.name for factor in case.factors), labels, strict=True))
        settings = {name.rpartition(".")[2]: label for name, label in levels.items() if "settings" in name}
        made.append(
            Treatment(
                id=f"t{number:02d}",
                levels=levels,
                dbms=_dbms(case, settings),
                workload=_workload(case),
                instance="postgresql-3fa2c91b" if case.dbms else None,
                image="9b1c02aa77e0" if case.dbms else None,
            )
        )
    return made


def _trials(case: Case, plan: Plan) -> list[Trial]:
    rng = np.random.default_rng(case.seed + 1)
    made = []
    block_effect = rng.normal(0, case.cv / 2, case.blocks + 1)
    for planned in plan.trials:
        treatment = plan.treatment(planned.treatment)
        factor = math.prod(f.effects[treatment.levels[f.name]] for f in case.factors)
        noise = rng.normal(0, case.cv) + block_effect[planned.block]
        throughput = case.base * factor * math.exp(noise)
        series = tuple(float(x) for x in throughput * np.exp(rng.normal(0, case.cv, SECONDS)))
        tail = float(rng.normal(0, 0.1))
        if planned.ordinal not in case.failed:
            made.append(_trial(case, planned, treatment, series, tail))
    return made


def _trial(
    case: Case, planned: PlannedTrial, treatment: Treatment, series: tuple[float, ...], tail: float
) -> Trial:
    started = START + planned.ordinal * (SECONDS + 3.0)
    findings = _findings(case, planned.ordinal)
    throughput = sum(series) / len(series)
    latency = 8_000 / throughput
    metrics = {
        "throughput": Quantity(value=throughput, unit="1/s"),
        "latency_mean": Quantity(value=latency, unit="ms"),
        "latency_p50": Quantity(value=latency * 0.8, unit="ms"),
        "latency_p95": Quantity(value=latency * 2.2, unit="ms"),
        "latency_p99": Quantity(value=latency * 4 * math.exp(tail), unit="ms"),
        "latency_p999": Quantity(value=latency * 9 if case.p999 else None, unit="ms"),
        "errors": Quantity(value=0.0, unit="1"),
    }
    argv = ("pgbench", "--client=8", "--log", f"--random-seed={planned.seed}", "bench")
    return Trial(
        ordinal=planned.ordinal,
        block=planned.block,
        position=planned.position,
        treatment=planned.treatment,
        levels=treatment.levels,
        seed=planned.seed,
        host="localhost",
        attempt=1,
        started=started,
        phases={"reset": 0.21, "start": 0.12, "load": SECONDS + 1.2, "stop": 0.2},
        window=Window(start=started + 1.5, end=started + 1.5 + SECONDS),
        load=TaskResult(
            argv=argv if case.dbms else ("./bench", "--mode=old"),
            exit=0,
            start=started + 0.5,
            end=started + 1.5 + SECONDS,
            cpu_user=1.9,
            cpu_system=1.1,
            max_rss=9_000_000,
        ),
        loads=(),
        start=None,
        server=_server(treatment) if case.dbms else None,
        counters_before={"xact_commit": 12},
        counters_after={"xact_commit": 12 + int(throughput * SECONDS)},
        loader_version="18.6",
        files={"raw/localhost/stdout": "ab" * 32},
        result=LoaderResult(
            loader="pgbench" if case.dbms else "command",
            version="18.6",
            open_loop=case.open_loop,
            metrics=metrics,
            errors=0,
            requests=int(throughput * SECONDS),
            series={"throughput": series},
            percentile_source="log",
        ),
        findings=findings,
        validity=findings[0].validity,
    )


def _server(treatment: Treatment) -> ServerFacts:
    assert treatment.dbms is not None
    wanted = {name: str(value) for name, value in treatment.dbms.settings.items()}
    return ServerFacts(
        instance="postgresql-3fa2c91b",
        image="9b1c02aa77e0",
        version="18.6",
        settings={"max_connections": "100", "data_checksums": "on", **wanted},
        wanted=wanted,
    )


def _findings(case: Case, ordinal: int) -> tuple[Finding, ...]:
    validity: Validity = "ok"
    if ordinal in case.suspect:
        validity = "suspect"
    if ordinal in case.invalid:
        validity = "invalid"
    reason = "" if validity == "ok" else _reason(case, "CPU pressure: tasks waited 64 % of the window")
    return (
        Finding(
            gate="pressure_cpu",
            validity=validity,
            value=0.64 if reason else 0.04,
            limit=0.2,
            unit="ratio",
            reason=reason,
        ),
        Finding(gate="steal", validity="ok", value=0.001, limit=0.01, unit="ratio", reason=""),
    )


def _reason(case: Case, text: str) -> str:
    return HOSTILE if case.facts else text


def _summary(case: Case, run: str, plan: Plan, trials: tuple[Trial, ...]) -> Summary:
    counts = TrialCounts(
        planned=len(plan.trials),
        ok=sum(trial.validity == "ok" for trial in trials),
        suspect=len(case.suspect),
        invalid=len(case.invalid),
        failed=len(case.failed),
    )
    validity: Validity = "suspect" if case.suspect or case.invalid or case.failed else "ok"
    return Summary(
        run=run,
        name=case.name,
        state="finished" if case.finished else "failed",
        validity=validity,
        grade="D",
        trials=counts,
        comparisons=tuple(_comparisons(case, plan, trials)),
        metrics=tuple(_metrics(plan, trials)),
        gates=tuple(_gates(case)),
        notes=("Verdicts take p values adjusted by Holm over 2 comparisons; intervals are 95 % each.",),
    )


def _gates(case: Case) -> list[GateSummary]:
    touched = (*case.suspect, *case.invalid)
    validity: Validity = "invalid" if case.invalid else "suspect" if touched else "ok"
    reason = _reason(case, "tasks waited for a CPU 64 % of the window") if touched else ""
    return [
        GateSummary(
            gate="pressure_cpu",
            validity=validity,
            trials=len(touched),
            worst_trial=touched[0] if touched else 3,
            value=0.64 if touched else 0.04,
            limit=0.2,
            unit="ratio",
            reason=reason,
        ),
        GateSummary(
            gate="steal",
            validity="ok",
            trials=0,
            worst_trial=1,
            value=0.001,
            limit=0.01,
            unit="ratio",
            reason="",
        ),
    ]


def _values(trials: tuple[Trial, ...], metric: str, treatment: str) -> dict[int, float]:
    """Block -> value, over the trials that count."""
    found = {
        trial.block: trial.result.metrics[metric].value
        for trial in trials
        if trial.treatment == treatment and trial.validity != "invalid"
    }
    return {block: value for block, value in found.items() if value}


def _metrics(plan: Plan, trials: tuple[Trial, ...]) -> list[MetricSummary]:
    names = trials[0].result.metrics if trials else {}
    made = []
    for metric, quantity in names.items():
        for treatment in plan.treatments:
            values = np.log(list(_values(trials, metric, treatment.id).values()))
            mean, low, high = _interval(values)
            made.append(
                MetricSummary(
                    treatment=treatment.id,
                    levels=treatment.levels,
                    metric=metric,
                    unit=quantity.unit,
                    n=len(values),
                    mean=mean,
                    low=low,
                    high=high,
                    cv=float(np.std(values, ddof=1)) if len(values) > 1 else None,
                )
            )
    return made


def _interval(logs: Any) -> tuple[float | None, float | None, float | None]:
    if len(logs) < 2:
        return (None, None, None)
    half = stats.t.ppf(0.975, len(logs) - 1) * np.std(logs, ddof=1) / math.sqrt(len(logs))
    mean = float(np.mean(logs))
    return (math.exp(mean), math.exp(mean - half), math.exp(mean + half))


def _comparisons(case: Case, plan: Plan, trials: tuple[Trial, ...]) -> list[Comparison]:
    made: list[Comparison] = []
    for metric in plan.experiment.metrics:
        for factor in plan.factors:
            made.extend(
                _comparison(case, plan, trials, factor, treatment, metric)
                for treatment in plan.treatments
                if treatment.levels[factor.name] != factor.labels[0]
            )
    return made


def _comparison(
    case: Case,
    plan: Plan,
    trials: tuple[Trial, ...],
    factor: FactorPlan,
    treatment: Treatment,
    metric: Metric,
) -> Comparison:
    wanted = {**treatment.levels, factor.name: factor.labels[0]}
    baseline = next(other for other in plan.treatments if other.levels == wanted)
    ours = _values(trials, metric.name, treatment.id)
    theirs = _values(trials, metric.name, baseline.id)
    pairs = sorted(ours.keys() & theirs.keys())
    logs = np.array([math.log(ours[block] / theirs[block]) for block in pairs])
    mean, low, high = _interval(logs)
    p = float(stats.ttest_1samp(logs, 0).pvalue) if mean is not None else None
    return Comparison(
        factor=factor.name,
        at={name: label for name, label in treatment.levels.items() if name != factor.name},
        baseline=factor.labels[0],
        contender=treatment.levels[factor.name],
        metric=metric.name,
        unit=trials[0].result.metrics[metric.name].unit if trials else "1/s",
        better=metric.better,
        verdict=_verdict(low, high, metric.delta, metric.better),
        effect=None if mean is None else mean - 1,
        low=None if low is None else low - 1,
        high=None if high is None else high - 1,
        p=p,
        p_adjusted=None if p is None else min(1.0, 2 * p),
        p_permutation=2 ** (1 - len(pairs)) if len(pairs) >= 6 else None,
        p_rank=p,
        n=len(pairs),
        detectable=math.exp(3.2 * float(np.std(logs, ddof=1)) / math.sqrt(len(logs))) - 1
        if len(pairs) > 1
        else None,
        delta=metric.delta,
        paired=True,
        validity="suspect" if case.suspect or case.invalid else "ok",
        reasons=("pairs left out for invalid trials: 4, 9",) if case.invalid else (),
    )


def _verdict(low: float | None, high: float | None, delta: float, better: Direction) -> Verdict:
    if low is None or high is None:
        return "inconclusive"
    if 1 / (1 + delta) < low and high < 1 + delta:
        return "equivalent"
    if low <= 1 <= high:
        return "inconclusive"
    return "faster" if (low > 1) == (better == "higher") else "slower"
