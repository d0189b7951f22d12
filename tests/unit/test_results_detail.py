"""Trials from near: from the tables or from the raw files, the same; percentiles as far as samples carry."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from benchctl.model.measurement import HostLoad, Trial, Window
from benchctl.results.detail import details
from benchctl.results.store import RunStore
from benchctl.results.tables import write_tables
from tests import builders

CASES = Path(__file__).parents[1] / "cases"
PGBENCH = CASES / "loaders" / "pgbench" / "18-closed"


def pgbench_run(tmp_path: Path, *hosts: str) -> tuple[RunStore, Trial]:
    """A trial that pgbench drove from each of these hosts, with its recorded output."""
    store = RunStore.create(tmp_path / "one", experiment_text="name: test\n", plan=builders.plan())
    raw, made = store.raw_folder(1), builders.trial(1)
    window = Window(
        **{name: json.loads((PGBENCH / "window.json").read_text())[name] for name in ("start", "end")}
    )
    for host in hosts:
        shutil.copytree(PGBENCH, raw / host)
        shutil.copy(CASES / "gates" / "shared-host.samples", raw / host / "host.samples")
    result = replace(made.result, loader="pgbench")
    loads = tuple(
        HostLoad(
            host=host, task=made.load, window=window, began=0.0, uncertainty=0.0, late=False, result=result
        )
        for host in hosts
    )
    trial = replace(made, host=hosts[0], window=window, loads=loads, result=result)
    store.finish(trial)
    return store, trial


def test_tables_and_raw_files_say_the_same(tmp_path: Path) -> None:
    store, trial = pgbench_run(tmp_path, "l1", "l2")
    from_raw = details(store, [trial])
    write_tables(store)
    assert (store.trial_folder(1) / "samples.parquet").exists()
    (from_tables,) = details(store, [trial])
    assert from_tables.channels == from_raw[0].channels
    for one, two in zip(from_tables.latencies, from_raw[0].latencies, strict=True):
        assert (one.host, one.requests, one.shares) == (two.host, two.requests, two.shares)
        assert one.milliseconds == pytest.approx(two.milliseconds)


def test_all_together_comes_last_and_only_of_several(tmp_path: Path) -> None:
    store, trial = pgbench_run(tmp_path, "l1", "l2")
    (found,) = details(store, [trial])
    assert [d.host for d in found.latencies] == ["l1", "l2", ""]
    assert found.latencies[2].requests == 2 * found.latencies[0].requests
    (tmp_path / "more").mkdir()
    store, trial = pgbench_run(tmp_path / "more", "l1")
    assert [d.host for d in details(store, [trial])[0].latencies] == ["l1"]


def test_no_share_stands_beyond_what_the_sample_carries(tmp_path: Path) -> None:
    store, trial = pgbench_run(tmp_path, "l1")
    found = details(store, [trial])[0].latencies[0]
    assert found.shares
    assert found.requests * (1 - found.shares[-1]) >= 10 - 1e-6
    assert list(found.milliseconds) == sorted(found.milliseconds)


def test_a_load_generator_that_keeps_no_requests_has_no_latencies(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path / "one", experiment_text="name: test\n", plan=builders.plan())
    (store.raw_folder(1) / "localhost").mkdir()
    store.finish(builders.trial(1))
    (found,) = details(store, store.trials())
    assert (found.channels, found.latencies) == ((), ())
