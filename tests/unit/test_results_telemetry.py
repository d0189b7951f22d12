"""host.samples as channels, and the tables of a trial with several hosts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from benchctl.model.measurement import HostLoad, Quantity, Window
from benchctl.results.frames import RunFrames
from benchctl.results.store import RunStore
from benchctl.results.tables import write_tables
from benchctl.results.telemetry import Channel, channels
from tests import builders

RECORDED = Path(__file__).parents[1] / "cases" / "gates" / "shared-host.samples"


def sample(at: float, *, warmup: bool = False, **more: Any) -> dict[str, Any]:
    """A sample of a host with two CPUs, `at` seconds after its window began; counters grow evenly."""
    n = at + 10
    files = {
        "stat": f"cpu  {100 * n:.0f} 0 {50 * n:.0f} {30 * n:.0f} {10 * n:.0f} 0 0 {10 * n:.0f} 0 0\n"
        f"cpu0 {80 * n:.0f} 0 0 {20 * n:.0f} 0 0 0 0 0 0\nctxt {700 * n:.0f}\nprocs_running 3\n",
        "pressure_cpu": f"some avg10=1.00 avg60=1.00 avg300=1.00 total={250_000 * n:.0f}\nfull total=0\n",
        "pressure_io": None,
        "diskstats": f" 8 0 sda 1 0 {20 * n:.0f} 5 1 0 {2000 * n:.0f} 5 0 {400 * n:.0f} 5\n"
        f" 8 1 sda1 1 0 {20 * n:.0f} 5 1 0 {2000 * n:.0f} 5 0 {400 * n:.0f} 5\n"
        f" 7 0 loop0 1 0 {n:.0f} 5 1 0 {n:.0f} 5 0 {n:.0f} 5\n 8 16 sdb 0 0 0 0 0 0 0 0 0 0 0\n",
        "netdev": "Inter-|   Receive\n face |bytes\n"
        f"  eth0: {1000 * n:.0f} 1 0 0 0 0 0 0 {3000 * n:.0f} 1 0 0 0 0 0 0\n",
        "snmp": f"Tcp: RtoMin RetransSegs\nTcp: 200 {2 * n:.0f}\n",
        "netstat": f"TcpExt: ListenDrops ListenOverflows\nTcpExt: 0 {n:.0f}\n",
        "meminfo": "MemTotal: 9 kB\nMemAvailable:  2000 kB\n",
    }
    found = {"t": 5e8 + at, "m": 300 + at, "files": files, "task": {"cpu": 0.5 * n}, "agent": {"cpu": 0.0}}
    found |= {
        "service": {"cpu": 1.5 * n, "rss": 4096, "read_bytes": None, "write_bytes": 512 * n, "ctxt": 9 * n}
    }
    return found | ({"warmup": True} if warmup else {}) | more


def write(folder: Path, *samples: Any, schema: int = 2) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(entry) for entry in ({"schema": schema, "files": []}, *samples)]
    (folder / "host.samples").write_text("\n".join(lines) + "\n")
    return folder


def found(folder: Path) -> dict[str, Channel]:
    return {channel.name: channel for channel in channels("db", folder)}


def test_counters_become_rates_and_shares(tmp_path: Path) -> None:
    freq: dict[str, Any] = {"freq": {"policy0": 3_000_000}, "temp": {"coretemp/Core 0": 45_000}}
    told = found(write(tmp_path, sample(0, **freq), sample(1), sample(3)))
    expected = {
        "cpu.busy": 0.75, "cpu.user": 0.5, "cpu.system": 0.25, "cpu.iowait": 0.05, "cpu.steal": 0.05,
        "cpu0.busy": 0.8, "cpu.context_switches": 700, "pressure.cpu": 0.25,
        "disk.sda.read_bytes": 10_240, "disk.sda.write_bytes": 1_024_000, "disk.sda.busy": 0.4,
        "net.eth0.rx_bytes": 1000, "net.eth0.tx_bytes": 3000,
        "tcp.retransmits": 2, "tcp.listen_overflows": 1, "memory.available": 2_048_000,
        "service.cpu": 1.5, "service.rss": 4096, "service.write_bytes": 512, "service.context_switches": 9,
        "task.cpu": 0.5, "freq.policy0": 3e9, "temp.coretemp/Core 0": 45,
    }  # fmt: skip
    assert {name: told[name].values[-1] for name in expected} == pytest.approx(expected)
    assert list(told["cpu.busy"].times) == [1, 3]
    assert [told[name].unit for name in ("service.cpu", "disk.sda.write_bytes", "freq.policy0")] == [
        "CPUs", "B/s", "Hz",
    ]  # fmt: skip


def test_partitions_loop_devices_and_idle_disks_are_left_out(tmp_path: Path) -> None:
    names = found(write(tmp_path, sample(0), sample(1)))
    assert {name.split(".")[1] for name in names if name.startswith("disk.")} == {"sda"}


def test_the_warmup_lies_before_zero(tmp_path: Path) -> None:
    samples = [sample(-2, warmup=True), sample(-1, warmup=True), sample(0), sample(1)]
    assert found(write(tmp_path, *samples))["cpu.busy"].times == (-1, 0, 1)


def test_a_counter_that_began_anew_makes_a_gap_and_no_value_below_zero(tmp_path: Path) -> None:
    again = [sample(at, service={"cpu": cpu}) for at, cpu in ((0, 5.0), (1, 6.0), (2, 0.5), (3, 1.5))]
    assert found(write(tmp_path, *again))["service.cpu"] == Channel(
        "db", "service.cpu", "CPUs", (1, 3), (1, 1)
    )


def test_what_some_samples_lack_is_taken_over_the_time_between(tmp_path: Path) -> None:
    some = [sample(0), sample(0.5, service={"cpu": None}, files={}), sample(1)]
    told = found(write(tmp_path, *some))
    assert [*told["service.cpu"].times, *told["service.cpu"].values] == [1, 1.5]


@pytest.mark.parametrize(
    "stat", ["", "cpu", "cpu x y z", "\x00", "cpu  1 2 3", "ctxt\n", "cpu 1 2 3 4 5 6 7 8\ncpu0 1\n"]
)
def test_a_file_of_another_form_tells_nothing_and_the_others_do(tmp_path: Path, stat: str) -> None:
    broken = [sample(at) for at in (0, 1)]
    for entry in broken:
        entry["files"]["stat"] = stat
        entry["files"]["diskstats"] = stat
    assert "pressure.cpu" in found(write(tmp_path, *broken))


@pytest.mark.parametrize(
    "text", ["", "{}", '{"schema": 3}\n{"m": 1}', '{"schema": 2}\nx', '{"schema": 2}\n{}']
)
def test_samples_of_another_form_tell_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "host.samples").write_text(text)
    assert channels("db", tmp_path) == ()
    assert channels("db", tmp_path / "nowhere") == ()


def test_what_an_older_version_sampled_is_read(tmp_path: Path) -> None:
    shutil.copy(RECORDED, tmp_path / "host.samples")
    told = found(tmp_path)
    assert len(told["cpu.busy"].values) == 3
    assert told["disk.vda.write_bytes"].values[0] == pytest.approx(23.43e6, rel=1e-3)
    assert told["service.cpu"].times == pytest.approx((3.008694,))


def store_of(tmp_path: Path, *, hosts: tuple[str, ...]) -> RunStore:
    """A finished trial whose load ran on these hosts; the DBMS's host is db."""
    store = RunStore.create(tmp_path / "one", experiment_text="name: test\n", plan=builders.plan())
    raw, done = store.raw_folder(1), builders.trial(1)
    for host in ("db", *hosts):
        write(raw / host, sample(0), sample(1))
        (raw / host / "stdout").write_text("{}\n")
    loads = tuple(
        HostLoad(
            host=host,
            task=done.load,
            window=Window(start=float(number), end=number + 2.0),
            began=0.0,
            uncertainty=0.0,
            late=False,
            result=replace(done.result, series={"throughput": (10.0 * number, 1.0)}),
        )
        for number, host in enumerate(hosts, start=1)
    )
    merged = replace(
        done.result, series={"throughput": (30.0,)}, metrics={"throughput": Quantity(value=30.0, unit="1/s")}
    )
    store.finish(replace(done, host="db", loads=loads, result=merged))
    return store


def test_tables_have_rows_for_each_host_and_for_all(tmp_path: Path) -> None:
    store = store_of(tmp_path, hosts=("l1", "l2"))
    write_tables(store)
    frames = RunFrames(store)
    rows = frames.series[["host", "second", "throughput"]].to_numpy().tolist()
    assert rows == [["", 0, 30], ["l1", 0, 10], ["l1", 1, 1], ["l2", 0, 20], ["l2", 1, 1]]
    told = frames.telemetry
    assert set(told["host"]) == {"db", "l1", "l2"}
    assert list(told.columns) == ["host", "t", "name", "value", "unit", "ordinal", "treatment"]
    assert frames.samples.empty


def test_one_load_generator_is_told_once_by_its_name(tmp_path: Path) -> None:
    store = store_of(tmp_path, hosts=("l1",))
    write_tables(store)
    assert set(RunFrames(store).series["host"]) == {"l1"}


def test_tables_made_again_have_the_same_bytes(tmp_path: Path) -> None:
    store = store_of(tmp_path, hosts=("l1", "l2"))
    write_tables(store)
    paths = sorted(store.trial_folder(1).glob("*.parquet"))
    assert [path.name for path in paths] == ["series.parquet", "telemetry.parquet"]
    before = [path.read_bytes() for path in paths]
    paths[1].unlink()
    write_tables(store)
    assert [path.read_bytes() for path in paths] == before
    write_tables(store, again=True)
    assert [path.read_bytes() for path in paths] == before


def test_a_host_without_samples_makes_an_empty_table(tmp_path: Path) -> None:
    store = store_of(tmp_path, hosts=())
    (store.trial_folder(1) / "raw" / "db" / "host.samples").unlink()
    write_tables(store)
    table = pq.read_table(store.trial_folder(1) / "telemetry.parquet")
    assert (table.num_rows, table.column_names) == (0, ["host", "t", "name", "value", "unit"])
