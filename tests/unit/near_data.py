"""A made-up run of one DBMS and several load generators, with details of a trial of each treatment."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from benchctl.analysis import summarise, typical
from benchctl.model.comparison import TrialEvent
from benchctl.model.measurement import HostLoad, LoaderResult, Quantity, Start, Trial, Window
from benchctl.results.detail import SHARES, Distribution, TrialDetail
from benchctl.results.telemetry import Channel
from benchctl.results.view import RunView
from tests import builders
from tests.unit.report_data import FACTS

SECONDS = 30
MB = 1e6


def trial(ordinal: int, hosts: tuple[str, ...], *, p99: bool = True) -> Trial:
    """A trial whose load ran on these hosts, its DBMS on db1; a dip from second 8 to 11."""
    made, rng = builders.trial(ordinal), np.random.default_rng(ordinal)
    speed = 4000.0 if ordinal % 2 else 5200.0
    shape = np.where((np.arange(SECONDS) >= 8) & (np.arange(SECONDS) < 11), 0.6, 1.0)
    own = [shape * speed / len(hosts) * rng.normal(1, 0.03, SECONDS) for _ in hosts]
    results = [_result(tuple(float(x) for x in values), p99=p99) for values in own]
    window = Window(start=1_795_256_100.0, end=1_795_256_100.0 + SECONDS)
    loads = tuple(
        HostLoad(
            host=host,
            task=replace(made.load, start=window.start - 2, end=window.end),
            window=window,
            began=0.00002 * number * ordinal,
            uncertainty=0.00001,
            late=False,
            result=result,
        )
        for number, (host, result) in enumerate(zip(hosts, results, strict=True))
    )
    start = Start(
        at=window.start - 2,
        spread=loads[-1].began,
        uncertainty=0.00002,
        overlap=1 - loads[-1].began / SECONDS,
    )
    merged = results[0] if len(hosts) == 1 else _result(tuple(float(x) for x in np.sum(own, axis=0)), p99=p99)
    return replace(made, host="db1", window=window, loads=loads, start=start, result=merged)


def _result(series: tuple[float, ...], *, p99: bool) -> LoaderResult:
    throughput = sum(series) / len(series)
    latency = 16_000 / throughput
    metrics = {
        "throughput": Quantity(value=throughput, unit="1/s"),
        "latency_mean": Quantity(value=latency, unit="ms"),
        "latency_p50": Quantity(value=latency * 0.8, unit="ms"),
        "latency_p99": Quantity(value=latency * 4 if p99 else None, unit="ms"),
    }
    return LoaderResult(
        loader="pgbench",
        version="18.6",
        open_loop=False,
        metrics=metrics,
        errors=0,
        requests=int(throughput * len(series)),
        series={"throughput": series},
        percentile_source="log" if p99 else "none",
    )


def channels(host: str, role: str, seed: int) -> tuple[Channel, ...]:
    """Plausible telemetry of a host at 1 Hz."""
    rng = np.random.default_rng(seed)
    times = tuple(float(t) for t in range(-1, SECONDS + 1))

    def channel(name: str, unit: str, mean: float, spread: float = 0.1) -> Channel:
        values = np.abs(mean * rng.normal(1, spread, len(times)))
        return Channel(host, name, unit, times, tuple(float(x) for x in values))

    busy = 0.85 if role == "dbms" else 0.35
    found = [
        channel("cpu.busy", "ratio", busy, 0.05), channel("pressure.cpu", "ratio", busy / 3),
        channel("net.eth0.rx_bytes", "B/s", 9 * MB), channel("net.eth0.tx_bytes", "B/s", 12 * MB),
    ]  # fmt: skip
    if role == "dbms":
        disk = np.where(np.array(times) % 20 > 8, 80 * MB, 20 * MB)
        found += [
            channel("service.cpu", "CPUs", 6.2), channel("pressure.io", "ratio", 0.2),
            Channel(host, "service.rss", "B", times, tuple(2e9 + 1e7 * at for at in range(len(times)))),
            Channel(host, "disk.vda.write_bytes", "B/s", times, tuple(float(x) for x in disk)),
            channel("disk.vda.read_bytes", "B/s", 1 * MB),
        ]  # fmt: skip
    else:
        found.append(channel("task.cpu", "CPUs", 1.3))
    return tuple(found)


def distribution(host: str, requests: int, middle: float) -> Distribution:
    shares = tuple(s for s in SHARES if requests * min(s, 1 - s) >= 10)
    return Distribution(
        host, requests, shares, tuple(middle * math.exp(0.6 * math.log(s / (1 - s))) for s in shares)
    )


def detail(chosen: Trial) -> TrialDetail:
    loads = [load.host for load in chosen.loads]
    found = channels("db1", "dbms", chosen.ordinal)
    for number, host in enumerate(loads):
        found += channels(host, "loader", 10 * number + chosen.ordinal)
    known = [distribution(host, 60_000, 3.0 + number) for number, host in enumerate(loads)]
    return TrialDetail(
        chosen.ordinal, found, (*known, *([distribution("", 120_000, 3.5)] if len(loads) > 1 else []))
    )


def view(hosts: tuple[str, ...] = ("load1", "load2"), *, p99: bool = True, near: bool = True) -> RunView:
    """A run of two blocks; the DBMS began a checkpoint at 7.4 s in its second trial."""
    plan, trials = builders.plan(), tuple(trial(n, hosts, p99=p99) for n in (1, 2, 3, 4))
    event = TrialEvent(
        ordinal=2, treatment="t02", host="db1", kind="checkpoint", at=7.4, seconds=3.2, count=1,
        text="enough WAL was written, 8121 buffers",
    )  # fmt: skip
    summary = summarise(
        plan, trials, run="r", state="finished", failed=0, planned=4, grade="B", events=[event]
    )
    return RunView(
        path=Path("runs/r"),
        summary=summary,
        plan=plan,
        experiment_text="name: test\n",
        trials=trials,
        failures=(),
        fingerprints={"db1": FACTS},
        started=1_795_256_000.0,
        ended=1_795_256_300.0,
        benchctl_version="0.1.0",
        details=tuple(map(detail, typical(plan, trials))) if near else (),
    )
