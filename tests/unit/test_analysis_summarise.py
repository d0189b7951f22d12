from __future__ import annotations

import itertools
import random
from typing import Any

import msgspec
import pytest

from benchctl import analysis
from benchctl.model.comparison import Comparison, Summary
from benchctl.model.experiment import Dbms, Design, Experiment, Metric, Workload
from benchctl.model.measurement import Finding, LoaderResult, Quantity, TaskResult, Trial, Validity, Window
from benchctl.model.plan import FactorPlan, Plan, Treatment
from benchctl.model.record import to_json

METRICS = (
    Metric(name="throughput", better="higher", delta=0.02),
    Metric(name="latency_p99", better="lower", delta=0.05),
)
SYNC, WORK = "dbms.settings.synchronous_commit", "dbms.settings.work_mem"


def make_plan(
    factors: dict[str, tuple[str, ...]], blocks: int = 6, metrics: tuple[Metric, ...] = METRICS, **design: Any
) -> Plan:
    workload = Workload(role="pgbench")
    levels = [dict(zip(factors, labels, strict=True)) for labels in itertools.product(*factors.values())]
    treatments = tuple(
        Treatment(
            id=f"t{number:02d}",
            levels=chosen,
            dbms=Dbms(role="postgresql"),
            workload=workload,
            instance=None,
            image=None,
        )
        for number, chosen in enumerate(levels, start=1)
    )
    return Plan(
        experiment=Experiment(
            name="test", workload=workload, metrics=metrics, design=Design(blocks=blocks, **design)
        ),
        origins={},
        factors=tuple(
            FactorPlan(name=name, labels=labels, scope="start") for name, labels in factors.items()
        ),
        instances=(),
        images=(),
        treatments=treatments,
        stages=(),
        trials=(),
        expected_seconds=1.0,
    )


def make_trial(
    ordinal: int, block: int, treatment: Treatment, metrics: dict[str, float | None], **parts: Any
) -> Trial:
    result = LoaderResult(
        loader="pgbench",
        version="18.6",
        open_loop=parts.pop("open_loop", False),
        metrics={name: Quantity(value=value, unit="1/s") for name, value in metrics.items()},
        errors=0,
        requests=1000,
        percentile_source="log",
    )
    return Trial(
        ordinal=ordinal,
        block=block,
        position=1,
        treatment=treatment.id,
        levels=treatment.levels,
        seed=1,
        host="localhost",
        attempt=1,
        started=0.0,
        phases={},
        window=Window(start=0.0, end=1.0),
        load=TaskResult(argv=(), exit=0, start=0.0, end=1.0, cpu_user=0.0, cpu_system=0.0, max_rss=0),
        loads=(),
        start=None,
        server=None,
        counters_before={},
        counters_after={},
        loader_version="18.6",
        files={},
        result=result,
        findings=parts.pop("findings", ()),
        validity=parts.pop("validity", "ok"),
    )


def make_trials(plan: Plan, factor_of: dict[str, float], noise: float = 0.005) -> list[Trial]:
    """Every trial; a treatment's throughput is multiplied by factor_of each of its labels."""
    rng = random.Random(3)
    trials: list[Trial] = []
    for block in range(1, plan.experiment.design.blocks + 1):
        for treatment in plan.treatments:
            value = 1000.0 * (1 + rng.gauss(0, noise))
            for label in treatment.levels.values():
                value *= factor_of.get(label, 1.0)
            metrics: dict[str, float | None] = {
                "throughput": value,
                "latency_p99": 1000 / value,
                "errors": 0.0,
            }
            trials.append(make_trial(len(trials) + 1, block, treatment, metrics))
    return trials


def summarise(plan: Plan, trials: list[Trial], failed: int = 0) -> Summary:
    return analysis.summarise(
        plan, trials, run="r1", state="finished", failed=failed, planned=len(trials) + failed, grade="D"
    )


def changed(trials: list[Trial], ordinal: int, **parts: Any) -> list[Trial]:
    return [msgspec.structs.replace(t, **parts) if t.ordinal == ordinal else t for t in trials]


def without_metric(trials: list[Trial], ordinal: int, name: str, value: float | None = None) -> list[Trial]:
    trial = trials[ordinal - 1]
    metrics = {**trial.result.metrics, name: Quantity(value=value, unit="ms")}
    return changed(trials, ordinal, result=msgspec.structs.replace(trial.result, metrics=metrics))


def by_metric(summary: Summary) -> dict[str, Comparison]:
    return {comparison.metric: comparison for comparison in summary.comparisons}


def test_a_clear_difference_is_faster_by_each_metrics_own_direction() -> None:
    plan = make_plan({SYNC: ("on", "off")})
    summary = summarise(plan, make_trials(plan, {"off": 1.5}))
    assert [c.metric for c in summary.comparisons] == ["throughput", "latency_p99"]
    throughput, latency = summary.comparisons
    assert (throughput.verdict, latency.verdict) == ("faster", "faster")
    assert throughput.effect == pytest.approx(0.5, abs=0.02)
    assert latency.effect == pytest.approx(1 / 1.5 - 1, abs=0.02)
    assert throughput.p_permutation == 2 / 2**6
    assert throughput.n == 6
    assert throughput.unit == "1/s"
    assert 0 < (throughput.detectable or 0) < 0.05
    assert (summary.validity, summary.name, summary.trials.ok) == ("ok", "test", 12)


def test_the_first_level_is_the_baseline_and_slower_is_said() -> None:
    plan = make_plan({SYNC: ("off", "on")})
    found = by_metric(summarise(plan, make_trials(plan, {"off": 1.5})))["throughput"]
    assert (found.baseline, found.contender, found.verdict) == ("off", "on", "slower")


def test_little_difference_with_little_noise_is_equivalent() -> None:
    plan = make_plan({SYNC: ("on", "off")})
    assert {c.verdict for c in summarise(plan, make_trials(plan, {})).comparisons} == {"equivalent"}


def test_every_other_level_is_compared_at_each_combination_of_the_rest() -> None:
    plan = make_plan({SYNC: ("on", "off"), WORK: ("4MB", "8MB", "16MB")})
    found = summarise(plan, make_trials(plan, {"off": 1.3}))
    contrasts = [
        (c.factor, c.contender, tuple(c.at.items())) for c in found.comparisons[: len(found.comparisons) // 2]
    ]
    assert contrasts == [
        *((SYNC, "off", ((WORK, size),)) for size in ("4MB", "8MB", "16MB")),
        *((WORK, size, ((SYNC, state),)) for state in ("on", "off") for size in ("8MB", "16MB")),
    ]
    assert {c.metric for c in found.comparisons[: len(contrasts)]} == {"throughput"}
    assert {c.verdict for c in found.comparisons if c.factor == SYNC} == {"faster"}
    assert not {c.verdict for c in found.comparisons if c.factor == WORK} & {"faster", "slower"}


def test_holm_counts_all_comparisons_of_the_run() -> None:
    plan = make_plan({WORK: ("1", "2", "3", "4")}, metrics=METRICS[:1])
    found = summarise(plan, make_trials(plan, {"2": 1.006}, noise=0.004))
    ps = sorted((c.p or 0, c.p_adjusted or 0) for c in found.comparisons)
    assert ps[0][1] == pytest.approx(3 * ps[0][0], rel=1e-6)
    assert "Holm over 3 comparisons" in found.notes[0]


@pytest.mark.parametrize("ordinal", [3, 4])
def test_an_invalid_trials_pair_leaves_and_the_comparison_stays_sound(ordinal: int) -> None:
    plan = make_plan({SYNC: ("on", "off")})
    trials = without_metric(make_trials(plan, {"off": 1.5}), ordinal, "throughput", 1.0)
    summary = summarise(plan, changed(trials, ordinal, validity="invalid"))
    found = by_metric(summary)["throughput"]
    assert (found.n, found.validity, found.verdict) == (5, "ok", "faster")
    assert found.effect == pytest.approx(0.5, abs=0.02)
    assert found.reasons == (f"pairs left out for invalid trials: {ordinal}",)
    assert found.p_permutation is None
    assert (summary.trials.invalid, summary.trials.ok) == (1, 11)
    assert {m.n for m in summary.metrics if m.metric == "throughput"} == {5, 6}


def test_a_suspect_trial_counts_and_marks_its_comparison_and_the_run() -> None:
    plan = make_plan({SYNC: ("on", "off")})
    summary = summarise(plan, changed(make_trials(plan, {"off": 1.5}), 3, validity="suspect"))
    assert {c.validity for c in summary.comparisons} == {"suspect"}
    assert {c.n for c in summary.comparisons} == {6}
    assert summary.validity == "suspect"


def test_a_missing_trial_leaves_its_block_out() -> None:
    plan = make_plan({SYNC: ("on", "off")})
    found = summarise(plan, make_trials(plan, {"off": 1.5})[:-1], failed=1)
    assert by_metric(found)["throughput"].n == 5
    assert by_metric(found)["throughput"].reasons == ("blocks with one side only: 6",)
    assert found.trials.failed == 1


@pytest.mark.parametrize(("kept", "effect"), [(2, True), (0, False)])
def test_fewer_than_two_pairs_are_inconclusive_with_the_reason(kept: int, effect: bool) -> None:  # noqa: FBT001
    plan = make_plan({SYNC: ("on", "off")})
    summary = summarise(plan, make_trials(plan, {"off": 1.5})[:kept])
    found = summary.comparisons[0]
    assert (found.verdict, found.low, found.p) == ("inconclusive", None, None)
    assert (found.effect is not None) == effect
    assert found.reasons[0] == "fewer than two pairs have no interval"
    assert (found.validity, summary.validity) == (("ok", "ok") if effect else ("invalid", "invalid"))


@pytest.mark.parametrize(("kept", "validity", "compared"), [(0, None, 0), (1, "ok", 0), (3, "ok", 2)])
def test_what_a_run_that_goes_on_has_not_measured_is_not_invalid(
    kept: int, validity: str | None, compared: int
) -> None:
    plan = make_plan({SYNC: ("on", "off")})
    trials = make_trials(plan, {"off": 1.5})[:kept]
    found = analysis.summarise(plan, trials, run="r", state="running", failed=0, planned=12, grade="D")
    assert (found.validity, len(found.comparisons)) == (validity, compared)


def test_a_percentile_that_a_sample_does_not_carry_is_no_missing_block() -> None:
    plan = make_plan({SYNC: ("on", "off")}, min_blocks=6)
    trials = make_trials(plan, {"off": 1.5})
    for ordinal in range(1, 13):
        trials = without_metric(trials, ordinal, "latency_p99")
    summary = summarise(plan, trials)
    latency = by_metric(summary)["latency_p99"]
    assert (latency.n, latency.verdict, latency.validity) == (0, "inconclusive", "ok")
    assert "6 valid pairs carry no latency_p99" in latency.reasons
    assert analysis.too_few(plan, summary) == []


def test_a_metric_that_is_zero_has_no_ratio() -> None:
    plan = make_plan({SYNC: ("on", "off")}, metrics=(Metric(name="errors", better="lower"),))
    found = summarise(plan, make_trials(plan, {}))
    assert found.comparisons[0].verdict == "inconclusive"
    assert "has no ratio" in found.comparisons[0].reasons[0]
    zero = next(m for m in found.metrics if m.metric == "errors")
    assert (zero.mean, zero.cv) == (0.0, 0.0)


@pytest.mark.parametrize(("min_blocks", "short"), [(None, True), (6, True), (5, False)])
def test_too_few_valid_blocks_are_found_once_per_contrast(min_blocks: int | None, short: bool) -> None:  # noqa: FBT001
    plan = make_plan({SYNC: ("on", "off")}, min_blocks=min_blocks)
    summary = summarise(plan, changed(make_trials(plan, {"off": 1.5}), 3, validity="invalid"))
    found = analysis.too_few(plan, summary)
    assert [c.metric for c in found] == (["throughput"] if short else [])


def test_a_run_without_factors_has_metrics_and_no_comparison() -> None:
    plan = make_plan({})
    summary = summarise(plan, make_trials(plan, {}))
    assert summary.comparisons == ()
    assert [m.metric for m in summary.metrics] == ["throughput", "latency_p99", "errors"]
    assert summary.metrics[0].mean == pytest.approx(1000, rel=0.01)
    assert summary.validity == "ok"
    assert analysis.too_few(plan, summary) == []


def test_the_summary_does_not_depend_on_the_order_of_trials_and_survives_the_disk() -> None:
    plan = make_plan({SYNC: ("on", "off"), WORK: ("4MB", "8MB")})
    trials = make_trials(plan, {"off": 1.01}, noise=0.02)
    data = to_json(summarise(plan, trials))
    assert data == to_json(summarise(plan, random.Random(1).sample(trials, len(trials))))
    assert to_json(msgspec.json.decode(data, type=Summary)) == data
    from_disk = [msgspec.json.decode(to_json(trial), type=Trial) for trial in trials]
    assert data == to_json(summarise(msgspec.json.decode(to_json(plan), type=Plan), from_disk))


def finding(gate: str, validity: Validity, value: float | None, reason: str = "") -> Finding:
    return Finding(gate=gate, validity=validity, value=value, limit=0.01, unit="ratio", reason=reason)


def test_gates_are_summed_up_with_the_trial_where_they_were_worst() -> None:
    plan = make_plan({}, blocks=3)
    trials = make_trials(plan, {})
    values: list[tuple[Validity, float]] = [("ok", 0.002), ("suspect", 0.05), ("suspect", 0.03)]
    for ordinal, (validity, value) in enumerate(values, start=1):
        findings = (
            finding("steal", validity, value, "taken" if validity != "ok" else ""),
            finding("thermal", "ok", None, "not judged: no counters"),
        )
        trials = changed(trials, ordinal, findings=findings)
    summary = summarise(plan, trials)
    steal, thermal = summary.gates
    assert (steal.gate, steal.validity, steal.trials) == ("steal", "suspect", 2)
    assert (steal.worst_trial, steal.value, steal.reason) == (2, 0.05, "taken")
    assert (thermal.validity, thermal.trials, thermal.value) == ("ok", 0, None)
    assert "thermal (no counters)" in summary.notes[-1]


def test_what_a_reader_has_to_know_stands_in_the_notes() -> None:
    plan = make_plan({SYNC: ("on", "off")}, order="fixed")
    notes = " ".join(summarise(plan, make_trials(plan, {})).notes)
    assert "service time" in notes
    assert "order of treatments was fixed" in notes
    without = make_plan({SYNC: ("on", "off")}, metrics=())
    assert "names none" in " ".join(summarise(without, make_trials(without, {})).notes)
