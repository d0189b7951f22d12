"""The sections on what was measured: verdicts, intervals, values by treatment, seconds, order, gates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchctl.model.comparison import GOING_ON
from benchctl.report import inside, marks, words
from benchctl.report.document import Claim, Section, Table, columns
from benchctl.report.text import NOTHING, about, clean, number, percent, probability, suffix

if TYPE_CHECKING:
    from benchctl.model.comparison import Comparison, GateSummary, MetricSummary
    from benchctl.model.measurement import Trial
    from benchctl.report.words import Names
    from benchctl.results.view import RunView

MOST_SECONDS = 30_000  # points of one-second series that a report carries; more make a page too heavy


def primary(view: RunView) -> str | None:
    """The metric that decides: the first of the experiment, else the first that the trials have."""
    if view.plan.experiment.metrics:
        return view.plan.experiment.metrics[0].name
    return next((name for trial in view.trials for name in trial.result.metrics), None)


def unit(view: RunView, metric: str) -> str:
    found = (trial.result.metrics[metric].unit for trial in view.trials if metric in trial.result.metrics)
    return next(found, "")


def axis(label: str, unit_name: str) -> str:
    """A metric's name and unit, as they stand at an axis: `service time p99, ms`."""
    shown = suffix(unit_name).strip()
    return f"{label}, {'per second' if shown == '/s' else shown}" if shown else label


def value(trial: Trial, metric: str) -> float | None:
    quantity = trial.result.metrics.get(metric)
    return None if quantity is None else quantity.value


def compared(view: RunView) -> tuple[str, ...]:
    """The metrics of the comparisons, or of the pilot, else the primary one."""
    found = view.summary.comparisons or view.summary.pilot
    names = tuple(dict.fromkeys(one.metric for one in found))
    first = primary(view)
    return names or ((first,) if first else ())


def series_shown(view: RunView) -> tuple[str | None, tuple[Trial, ...], int]:
    """The name of the one-second series to show, the trials it is shown for, and one block in how many."""
    names = [name for trial in view.trials for name, column in trial.result.series.items() if column]
    if not names:
        return (None, (), 1)
    first = primary(view)
    name = first if first in names else names[0]
    trials = [trial for trial in view.trials if name in trial.result.series]
    points = sum(len(trial.result.series[name]) for trial in trials)
    step = -(-points // MOST_SECONDS)
    return (name, tuple(trial for trial in trials if (trial.block - 1) % step == 0), step)


def verdicts(view: RunView, names: Names) -> Section:
    """One sentence for each comparison of the primary metric."""
    metric = primary(view)
    chosen = [comparison for comparison in view.summary.comparisons if comparison.metric == metric]
    finished = view.summary.state == "finished"
    claims = tuple(_claim(comparison, names, finished=finished) for comparison in chosen)
    lead = () if claims else (_nothing_compared(view, names, metric),)
    notes = [
        f"The levels of {names.factor(factor.name)} set nothing: an A/A comparison; any difference is noise."
        for factor in view.plan.factors
        if factor.scope is None and not any(factor.name in stage.depends for stage in view.plan.stages)
    ]
    notes += _others(view, names, metric)
    notes += [clean(note) for note in view.summary.notes]
    return Section("verdicts", "Verdict", lead, claims, notes=tuple(notes))


def _others(view: RunView, names: Names, metric: str | None) -> list[str]:
    """That the verdict is about the first metric, where others were found to differ."""
    differing = [
        f"{names.metric(one.metric)} is {one.verdict} with {names.sides(one)} ({words.effect(one)})"
        for one in view.summary.comparisons
        if one.metric != metric and one.verdict in {"faster", "slower"}
    ]
    if metric is None or not differing:
        return []
    return [f"The verdict is about {names.metric(metric)}, the first metric. Also: {'; '.join(differing)}."]


def _claim(comparison: Comparison, names: Names, *, finished: bool) -> Claim:
    said = "Why" if comparison.verdict == "inconclusive" else "Note"
    advice = words.advice(comparison) if finished else "The run has not come to its end."
    reasons = "; ".join(clean(reason) for reason in comparison.reasons)
    return Claim(
        comparison.verdict,
        words.effect(comparison),
        words.verdict(comparison, names),
        " ".join(part for part in (f"{said}: {reasons}." if reasons else "", advice) if part),
        () if comparison.validity == "ok" else (comparison.validity,),
    )


def _nothing_compared(view: RunView, names: Names, metric: str | None) -> str:
    if view.summary.state in GOING_ON:
        return "No pair of trials to compare yet." if view.trials else "No trial has finished yet."
    if view.plan.factors:
        return "Nothing could be compared: no trial of a contender finished beside one of its baseline."
    found = next((m for m in view.summary.metrics if m.metric == metric), None)
    if found is None:
        return "Nothing was measured."
    spread = f" [95 % CI {number(found.low)}, {number(found.high)}]" if found.low is not None else ""
    return (
        f"Nothing was compared: the experiment has no factors. {names.metric(found.metric)} was"
        f" {number(found.mean, found.unit)}{spread} over {found.n} trials."
    )


def intervals(view: RunView, names: Names) -> Section:
    """Every comparison of every metric with its figures."""
    rows = tuple(_interval_row(comparison, names) for comparison in view.summary.comparisons)
    table = Table(
        "Contender against baseline",
        columns(
            "comparison", "metric", "effect", "95 % CI", "verdict", "n", "p", "p sign-flip", "p rank", "δ",
            "detectable", "validity",
            numbers="effect, 95 % CI, n, p, p sign-flip, p rank, δ, detectable",
            badges="verdict, validity",
            minor="p sign-flip, p rank, δ, detectable, validity",
        ),
        rows,
    )  # fmt: skip
    if not rows:
        return Section("intervals", "Intervals", ("No comparison.",))
    lead = (
        "Contender against baseline: paired log ratios over blocks with 95 % t intervals. Equivalent: the"
        " interval lies inside ± δ. Faster or slower: p, adjusted over all comparisons (Holm), is below 0.05."
        " The sign-flip and rank tests stand beside it and never decide."
    )
    return Section("intervals", "Intervals", (lead,), tables=(table,))


def _interval_row(comparison: Comparison, names: Names) -> tuple[str, ...]:
    return (
        names.sides(comparison),
        names.metric(comparison.metric),
        words.effect(comparison),
        words.interval(comparison),
        comparison.verdict,
        str(comparison.n),
        probability(comparison.p if comparison.p_adjusted is None else comparison.p_adjusted),
        probability(comparison.p_permutation),
        probability(comparison.p_rank),
        f"± {about(comparison.delta)}",
        about(comparison.detectable),
        comparison.validity,
    )


def distributions(view: RunView, names: Names) -> Section:
    """Mean, interval and spread of each metric under each treatment; latency percentiles side by side."""
    found = view.summary.metrics
    measured = tuple(dict.fromkeys(m.metric for m in found if m.mean is not None))
    latency = [m for m in found if m.metric.startswith("latency_")]
    others = [m for metric in measured for m in found if m.metric == metric and m not in latency]
    tables = [_summary_table(names, others)] if others else []
    if latency:
        tables += [_latency_table(names, latency), _summary_table(names, latency, detail=True)]
    lead = _about_latency(view, names) if tables else ("No trial gave a value.",)
    return Section("distributions", "Values by treatment", lead, tables=tuple(tables))


def _about_latency(view: RunView, names: Names) -> tuple[str, ...]:
    lead = "Geometric means over the trials that count, with 95 % intervals; CV is the spread between trials."
    if not any(name.startswith("latency") for trial in view.trials for name in trial.result.metrics):
        return (lead,)
    if names.mixed:
        why = (
            "Some treatments were driven at a rate and give latency; the closed-loop ones give service time."
        )
    elif names.latency == "latency":
        why = "Driven at a rate: latency counts from the intended start, waiting included."
    else:
        why = "Closed loop: times are service times, without waiting before a request."
    dash = "not every trial had the requests to carry that percentile"
    if any(len(trial.loads) > 1 for trial in view.trials):
        dash += ", or its load generators gave none that can be put together"
    return (lead, f"{why} A dash: {dash}.")


def _summary_table(names: Names, metrics: list[MetricSummary], *, detail: bool = False) -> Table:
    rows = tuple(
        (
            names.metric(m.metric),
            names.levels(m.levels),
            number(m.mean, m.unit),
            f"{number(m.low)} … {number(m.high)}" if m.low is not None else NOTHING,
            percent(m.cv),
            str(m.n),
        )
        for m in metrics
    )
    title = "Spread of the times" if detail else "Metrics"
    titles = columns(
        "metric", "treatment", "mean", "95 % interval", "CV", "n", numbers="mean, 95 % interval, CV, n"
    )
    return Table(title, titles, rows, detail)


def _latency_table(names: Names, metrics: list[MetricSummary]) -> Table:
    kinds = sorted({m.metric for m in metrics})  # mean, p50, p95, p99, p999
    treatments = {m.treatment: m.levels for m in metrics}
    most = {tid: max(m.n for m in metrics if m.treatment == tid) for tid in treatments}
    found = {(m.treatment, m.metric): m.mean for m in metrics if m.n == most[m.treatment]}
    titles = [names.metric(kind).removeprefix(f"{names.latency} ") for kind in kinds]
    return Table(
        f"{names.latency.capitalize()},{suffix(metrics[0].unit)}",
        columns("treatment", *titles, numbers=",".join(titles)),
        tuple(
            (names.levels(levels), *(number(found.get((treatment, kind))) for kind in kinds))
            for treatment, levels in treatments.items()
        ),
    )


def series(view: RunView, names: Names) -> Section:
    """One value per second of each trial's window."""
    name, trials, step = series_shown(view)
    if name is None:
        return Section("series", "Second by second", ("The load generator gave no one-second series.",))
    lead = [f"{names.metric(name).capitalize()} in each second of the window, for each trial."]
    if step > 1:
        lead.append(f"One block in {step} is shown; all of them are in the run directory.")
    rows = tuple(
        (
            str(trial.ordinal),
            names.levels(trial.levels),
            " ".join(number(x) for x in trial.result.series[name]),
        )
        for trial in trials
    )
    title = axis(names.metric(name), unit(view, name)).capitalize()
    table = Table(title, columns("trial", "treatment", "seconds 1, 2, …", numbers="trial"), rows, detail=True)
    flagged, done = inside.course_table(view, names), marks.table(view, names)
    lead.append(inside.course_sentence(view))
    return Section(
        "series",
        "Second by second",
        tuple(filter(None, lead)),
        tables=(*((flagged,) if flagged else ()), *((done,) if done else ()), table),
    )


def order(view: RunView, names: Names) -> Section:
    """All trials in the order in which they ran."""
    metrics = compared(view)
    titles = [f"{names.metric(metric)} ({_unit_title(unit(view, metric))})" for metric in metrics]
    rows = tuple(
        (
            str(trial.ordinal),
            str(trial.block),
            names.levels(trial.levels),
            *(number(value(trial, metric)) for metric in metrics),
            trial.validity,
            "; ".join(
                clean(f"{f.host}: {f.reason}" if f.host else f.reason)
                for f in trial.findings
                if f.validity != "ok"
            )
            or NOTHING,
        )
        for trial in view.trials
    )
    table = Table(
        "Trials",
        columns(
            "trial", "block", "treatment", *titles, "validity", "why",
            numbers=",".join(["trial", "block", *titles]), badges="validity",
        ),
        rows,
        detail=True,
    )  # fmt: skip
    lead = (
        "Each block holds every treatment once, in an order of its own: drift of the host falls on all alike."
    )
    if view.plan.experiment.design.order == "fixed":
        lead = "The order is fixed: drift of the host falls on the same treatments in every block."
    if not rows:
        return Section("order", "Order of trials", ("No trial finished.",))
    return Section("order", "Order of trials", (lead,), tables=(table,))


def gates(view: RunView) -> Section:
    """What each gate found, and where it was worst; those that objected first."""
    found = view.summary.gates
    raised = [gate for gate in found if gate.validity != "ok"]
    silent = [gate for gate in found if gate.validity == "ok"]
    if not found:
        return Section("gates", "Validity gates", ("No gate had anything to look at.",))
    lead = f"{len(found)} gates looked at the trials; {len(raised) or 'none'} objected."
    tables = [_gate_table("", raised, detail=False)] if raised else []
    tables += [_gate_table("Gates that did not object", silent, detail=True)] if silent else []
    return Section("gates", "Validity gates", (lead,), tables=tuple(tables))


def _gate_table(title: str, found: list[GateSummary], *, detail: bool) -> Table:
    return Table(
        title,
        columns(
            "gate", "validity", "trials", "worst", "limit", "in trial", "reason",
            numbers="trials, worst, limit, in trial", badges="validity", minor="in trial",
        ),
        tuple(_gate_row(gate) for gate in found),
        detail,
    )  # fmt: skip


def _gate_row(gate: GateSummary) -> tuple[str, ...]:
    return (
        clean(gate.gate.replace("_", " ")),
        gate.validity,
        str(gate.trials),
        _figure(gate.value, gate.unit),
        _figure(gate.limit, gate.unit),
        NOTHING if gate.worst_trial is None else str(gate.worst_trial),
        clean(gate.reason) or NOTHING,
    )


def _figure(figure: float | None, unit_name: str) -> str:
    return percent(figure) if unit_name == "ratio" else number(figure, unit_name)


def _unit_title(unit_name: str) -> str:
    return suffix(unit_name).strip() or "count"
