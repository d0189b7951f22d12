"""Merging the results of several hosts, held against one host that did all of it.

The recorded log of one pgbench is dealt out to two hosts, thread by thread or line by line; the second host's
clock is off by an hour. What both hosts say together has to be what the one said.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from benchctl import loaders
from benchctl.loaders import Part
from benchctl.model.experiment import Workload
from benchctl.model.measurement import LoaderResult, Quantity, Window

CASES = Path(__file__).parents[1] / "cases" / "loaders" / "pgbench"
HOUR = 3600
PGBENCH = loaders.get("pgbench")


def window_of(case: Path) -> Window:
    return msgspec.json.decode((case / "window.json").read_bytes(), type=Window)


def part(host: str, raw: Path, window: Window) -> Part:
    return Part(host, raw, window, PGBENCH.parse(raw, window, Workload(role="pgbench")))


def deal(case: Path, target: Path) -> tuple[Path, Path]:
    """Part a case's log lines into two raw folders, each with a summary and a progress of its own."""
    lines = [line for log in sorted(case.glob("tx.*")) for line in log.read_text().splitlines()]
    folders = (target / "a", target / "b")
    for index, folder in enumerate(folders):
        folder.mkdir()
        mine = [shifted(line, index * HOUR) for line in lines[index::2]]
        (folder / "tx.1").write_text("\n".join(mine) + "\n")
        (folder / "stdout").write_text(summary((case / "stdout").read_text(), mine))
        (folder / "stderr").write_text("")
    return folders


def shifted(line: str, seconds: int) -> str:
    words = line.split(" ")
    words[4] = str(int(words[4]) + seconds)
    return " ".join(words)


def summary(text: str, lines: list[str]) -> str:
    times = [int(line.split(" ")[2]) for line in lines]
    text = re.sub(r"(actually processed: )\d+", rf"\g<1>{len(times)}", text)
    text = re.sub(r"(latency average = )[0-9.]+", rf"\g<1>{np.mean(times) / 1000:.3f}", text)
    return re.sub(r"latency stddev.*\n", "", text)


@pytest.mark.parametrize("name", ["15-closed", "16-closed", "18-closed", "18-rate", "15-rate"])
def test_two_hosts_say_together_what_one_would_have_said(name: str, tmp_path: Path) -> None:
    case = CASES / name
    window = window_of(case)
    later = Window(start=window.start + HOUR, end=window.end + HOUR)
    first, second = deal(case, tmp_path)
    merged = loaders.merge(PGBENCH, [part("one", first, window), part("two", second, later)])

    expected = json.loads((case / "expected.json").read_text())
    values = {name: quantity.value for name, quantity in merged.metrics.items()}
    assert values == {
        name: value if value is None else pytest.approx(value, rel=1e-9)
        for name, value in expected["metrics"].items()
    }
    assert (merged.requests, merged.errors) == (expected["requests"], expected["errors"])
    for series, column in expected["series"].items():
        assert merged.series[series] == pytest.approx(tuple(column))
    assert merged.percentile_source == "log"


def test_a_percentile_that_no_host_carries_alone_is_carried_by_both(tmp_path: Path) -> None:
    """Host b is ten times slower: the average of both p95 would be far from that of the union."""
    case = CASES / "18-closed"
    window = window_of(case)
    parts = []
    for index, host in enumerate("ab"):
        raw = tmp_path / host
        shutil.copytree(case, raw)
        log = raw / "tx.10198"
        lines = [
            " ".join([*w[:2], str(int(w[2]) * (10 if index else 1)), *w[3:]])
            for w in (line.split(" ") for line in log.read_text().splitlines())
        ]
        log.write_text("\n".join(lines) + "\n")
        (raw / "stdout").write_text(summary((raw / "stdout").read_text(), lines))
        parts.append(part(host, raw, window))
    merged = loaders.merge(PGBENCH, parts)

    union = np.concatenate([PGBENCH.latencies(p.raw, p.window)["latency"] for p in parts])
    assert merged.metrics["latency_p50"].value == pytest.approx(float(np.quantile(union, 0.5)) / 1000)
    assert merged.metrics["latency_p95"].value == pytest.approx(float(np.quantile(union, 0.95)) / 1000)
    p95 = [found.result.metrics["latency_p95"].value or 0 for found in parts]
    assert abs((merged.metrics["latency_p95"].value or 0) - np.mean(p95)) > 10
    assert [found.result.metrics["latency_p99"].value for found in parts] == [None, None]
    assert merged.metrics["latency_p99"].value is not None
    assert merged.threads == 2


def test_one_host_is_returned_as_it_is() -> None:
    case = CASES / "18-closed"
    only = part("one", case, window_of(case))
    assert loaders.merge(PGBENCH, [only]) is only.result


def result(throughput: float, requests: int, errors: int = 0, **metrics: Quantity) -> LoaderResult:
    return LoaderResult(
        loader="x",
        version="1",
        open_loop=False,
        metrics={"throughput": Quantity(value=throughput, unit="1/s"), **metrics},
        errors=errors,
        requests=requests,
        percentile_source="loader",
        threads=1,
    )


def merged(*results: LoaderResult) -> LoaderResult:
    """As a load generator that keeps neither samples nor a histogram."""
    window = Window(start=0.0, end=1.0)
    parts = [Part(f"h{index}", Path("/nowhere"), window, one) for index, one in enumerate(results)]
    return loaders.merge(loaders.get("command"), parts)


def ms(value: float | None) -> Quantity:
    return Quantity(value=value, unit="ms")


def test_without_latencies_percentiles_are_absent_and_never_averaged() -> None:
    found = merged(
        result(100.0, 1000, 10, latency_p99=ms(1.0), latency_mean=ms(1.0), latency_max=ms(5.0)),
        result(300.0, 3000, 30, latency_p99=ms(3.0), latency_mean=ms(2.0), latency_max=ms(9.0)),
    )
    values: dict[str, Any] = {name: quantity.value for name, quantity in found.metrics.items()}
    assert values == {"throughput": 400.0, "latency_p99": None, "latency_mean": 1.75, "latency_max": 9.0}
    assert (found.requests, found.errors, found.threads) == (4000, 40, 2)
    assert found.percentile_source == "none: hosts cannot be merged"


def test_a_metric_that_one_host_lacks_is_absent() -> None:
    found = merged(result(1.0, 10, latency_mean=ms(1.0), hits=ms(1.0)), result(1.0, 10))
    assert found.metrics["latency_mean"].value is None
    assert found.metrics["hits"].value is None
    assert merged(result(1.0, 10), replace(result(1.0, 10), threads=None)).threads is None


def test_a_host_without_requests_does_not_weigh() -> None:
    idle = Quantity(value=None, unit="ms")
    found = merged(result(1.0, 10, latency_mean=ms(2.0)), result(0.0, 5, 5, latency_mean=idle))
    assert found.metrics["latency_mean"].value == 2.0


def test_series_are_aligned_by_second_and_end_with_the_shortest() -> None:
    first = replace(
        result(1.0, 1), series={"throughput": (10.0, 20.0, 30.0), "latency_mean": (1.0, None, 1.0)}
    )
    second = replace(result(1.0, 1), series={"throughput": (30.0, 0.0), "latency_mean": (2.0, None)})
    found = merged(first, second).series
    assert found == {"throughput": (40.0, 20.0), "latency_mean": (1.75, None)}
