"""The section on hosts: how well the loads began together, and what each load generator measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchctl.report.document import Column, Section, Table, columns
from benchctl.report.findings import unit
from benchctl.report.text import NOTHING, clean, join_words, number, percent, suffix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchctl.model.comparison import StartSummary
    from benchctl.model.measurement import LoaderResult, Trial
    from benchctl.report.words import Names
    from benchctl.results.view import RunView

TOGETHER = "together"
_SHOWN = ("throughput", "latency_mean", "latency_p50", "latency_p95", "latency_p99", "latency_p999", "errors")


def section(view: RunView, names: Names) -> Section:
    """Everything on hosts; for a run with one load generator only what there is to see of its host."""
    start = view.summary.start
    lead = [start_sentence(start)] if start else []
    if view.details:
        lead.append(_choice(view))
    tables = [*_load_tables(view, names), *_near_tables(view, names)]
    if start:
        tables.append(_starts(view))
    return Section("hosts", "Hosts under load", tuple(lead), tables=tuple(tables))


def start_sentence(start: StartSummary) -> str:
    """`The loads of a trial began within 0.03 ms of each other (median; worst 0.2 ms, trial 7), …`."""
    late = f" A host was late in {start.late} trials." if start.late else ""
    return (
        f"The loads of a trial began within {_ms(start.spread_median)} of each other (median of"
        f" {start.trials} trials; worst {_ms(start.spread_worst)}, trial {start.worst_trial}), known to"
        f" ± {_ms(start.uncertainty)}; all ran at once for at least {percent(start.overlap)} of each"
        f" window.{late}"
    )


def label(view: RunView, host: str) -> str:
    """`db1 (DBMS)`, `load1 (load generator)`: what a host does in this run."""
    loads = {load.host for trial in view.trials for load in trial.loads}
    served = {trial.host for trial in view.trials if trial.server is not None}
    roles = [word for word, hosts in (("DBMS", served), ("load generator", loads)) if host in hosts]
    return f"{clean(host)} ({join_words(roles)})" if roles else clean(host)


def _choice(view: RunView) -> str:
    told = "With several load generators, each of them and all together. " if view.summary.start else ""
    which = "the trial" if len(view.details) == 1 else "one trial of each treatment"
    return f"{told}Below, {which} from near: of those that count, the nearest to the primary metric's median."


def _load_tables(view: RunView, names: Names) -> Iterator[Table]:
    """Each load generator's means by treatment, and what they make together."""
    if not view.summary.hosts:
        return
    together = {(m.treatment, m.metric): m.mean for m in view.summary.metrics}
    counted = {(m.treatment, m.metric): m.n for m in view.summary.metrics}
    most = max(counted.values(), default=0)
    means = {(m.treatment, m.host, m.metric): m.mean for m in view.summary.hosts}
    shown = [name for name in _SHOWN if any(m.metric == name for m in view.summary.hosts)]
    rows = []
    for treatment in view.plan.treatments:
        hosts = dict.fromkeys(m.host for m in view.summary.hosts if m.treatment == treatment.id)
        for host in hosts:
            cells = (number(means.get((treatment.id, host, name))) for name in shown)
            rows.append((names.levels(treatment.levels), clean(host), *cells))
        if hosts:
            whole = (
                number(
                    together.get((treatment.id, name)) if counted.get((treatment.id, name)) == most else None
                )
                for name in shown
            )
            rows.append((names.levels(treatment.levels), TOGETHER, *whole))
    titles = [_title(view, names, name) for name in shown]
    yield Table(
        f"Each load generator, means over the trials that count; {names.latency} in ms",
        (*columns("treatment", "load generator"), *(Column(title, "number") for title in titles)),
        tuple(rows),
    )


def _near_tables(view: RunView, names: Names) -> Iterator[Table]:
    """Of each trial that is shown from near: its load generators, and the means of its telemetry."""
    trials = {trial.ordinal: trial for trial in view.trials}
    for detail in view.details:
        trial = trials[detail.ordinal]
        title = trial_title(trial, names)
        if len(trial.loads) > 1:
            yield _percentiles(view, names, trial, title)
        rows = tuple(
            (
                label(view, channel.host),
                clean(channel.name),
                number(sum(inside) / len(inside), channel.unit),
                number(max(inside), channel.unit),
            )
            for channel in detail.channels
            for inside in ([v for t, v in zip(channel.times, channel.values, strict=True) if t >= 0],)
            if inside
        )
        if rows:
            heads = columns("host", "channel", "mean", "highest", numbers="mean, highest")
            yield Table(f"{title}: telemetry in the window", heads, rows, detail=True)


def trial_title(trial: Trial, names: Names) -> str:
    levels = names.levels(trial.levels)
    return f"Trial {trial.ordinal}" + (f", {levels}" if levels != NOTHING else "")


def _percentiles(view: RunView, names: Names, trial: Trial, title: str) -> Table:
    results: list[tuple[str, LoaderResult]] = [(clean(load.host), load.result) for load in trial.loads]
    results.append((TOGETHER, trial.result))
    shown = [name for name in _SHOWN if any(name in result.metrics for _, result in results)]
    titles = [_title(view, names, name) for name in shown]
    rows = tuple((host, *(_value(result, name) for name in shown)) for host, result in results)
    return Table(
        f"{title}: by load generator; {names.latency} in ms",
        (Column("load generator"), *(Column(title, "number") for title in titles)),
        rows,
        detail=True,
    )


def _starts(view: RunView) -> Table:
    rows = tuple(
        (
            str(trial.ordinal),
            _ms(trial.start.spread),
            f"± {_ms(trial.start.uncertainty)}",
            percent(trial.start.overlap),
            "; ".join(
                f"{clean(load.host)} {_ms(load.began, sign='+')}{' late' if load.late else ''}"
                for load in trial.loads
            ),
        )
        for trial in view.trials
        if trial.start is not None and len(trial.loads) > 1
    )
    heads = columns(
        "trial", "spread", "clocks", "overlap", "began after T0", numbers="trial, spread, clocks, overlap"
    )
    return Table("Start of each trial", heads, rows, detail=True)


def _value(result: LoaderResult, name: str) -> str:
    quantity = result.metrics.get(name)
    return NOTHING if quantity is None else number(quantity.value)


def _title(view: RunView, names: Names, metric: str) -> str:
    """Short, for a terminal has 80 columns: `throughput /s`, `p99 ms`."""
    name = names.metric(metric).removeprefix(f"{names.latency} ")
    return f"{name}{suffix(unit(view, metric)).replace('/', ' /')}"


def _ms(seconds: float, sign: str = "") -> str:
    return f"{seconds * 1000:{sign}.3g} ms".replace("-", "\N{MINUS SIGN}")
