"""The gates over a recorded host.samples (pgbench, 4 clients, beside its server) and changes to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from benchctl import gates
from benchctl.model.host import Host, Inventory
from benchctl.model.measurement import (
    Capacity,
    Finding,
    HostLoad,
    LoaderResult,
    Quantity,
    ServerFacts,
    Start,
    TaskResult,
    Window,
    worst,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Entries = list[dict[str, Any]]
RECORDED = Path(__file__).parents[1] / "cases" / "gates" / "shared-host.samples"
SHARED, APART = gates.Context(shared_host=True, grade="D"), gates.Context(shared_host=False, grade="B")
WINDOW = Window(start=100.0, end=103.0)
LOAD = TaskResult(argv=(), exit=0, start=99.0, end=103.5, cpu_user=0.0, cpu_system=0.0, max_rss=0)
SERVER = ServerFacts(instance="postgresql-1", image="i", version="18.6", settings={}, wanted={})
RESULT = LoaderResult(
    loader="pgbench",
    version="18.6",
    open_loop=False,
    metrics={"latency_p50": Quantity(value=2.0, unit="ms")},
    errors=0,
    requests=10_000,
    percentile_source="log",
    threads=1,
)
COMMAND = msgspec.structs.replace(RESULT, percentile_source="loader", requests=0)


def recorded() -> Entries:
    return [json.loads(line) for line in RECORDED.read_text().splitlines()]


def judge(raw: Path, entries: Entries | None = None, **parts: Any) -> dict[str, Finding]:
    if entries is not None:
        (raw / "host.samples").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    given = {"window": WINDOW, "load": LOAD, "server": SERVER, "result": RESULT, "context": SHARED, **parts}
    found = gates.judge(gates.read(raw, **given))
    assert {finding.gate for finding in found} <= {gate.name for gate in gates.GATES}
    return {finding.gate: finding for finding in found}


def objections(found: dict[str, Finding]) -> set[str]:
    return {name for name, finding in found.items() if finding.validity != "ok"}


def in_last(name: str, old: str, new: str) -> Callable[[Entries], None]:
    """A change of one file in the last sample."""

    def change(entries: Entries) -> None:
        files = entries[-1]["files"]
        assert old in files[name]
        files[name] = files[name].replace(old, new)

    return change


def steal_ten_percent(entries: Entries) -> None:
    words = entries[-1]["files"]["stat"].split("\n")
    fields = words[0].split()
    fields[8] = str(int(fields[8]) + 70)
    entries[-1]["files"]["stat"] = "\n".join([" ".join(fields), *words[1:]])


def throttled(entries: Entries) -> None:
    for entry, count in zip(entries[1:], (5, 5, 6, 6), strict=True):
        entry["files"]["throttle"] = count


def quota(entries: Entries) -> None:
    entries[1]["files"]["cgroup_cpu"] = "usage_usec 5\nnr_periods 10\nnr_throttled 2\n"
    entries[-1]["files"]["cgroup_cpu"] = "usage_usec 9\nnr_periods 20\nnr_throttled 3\n"


def memory_pressure(entries: Entries) -> None:
    text = entries[-1]["files"]["pressure_memory"]
    entries[-1]["files"]["pressure_memory"] = text.replace("total=0", "total=100000")


def foreign(entries: Entries) -> None:
    entries[-1]["foreign"].append({"pid": 99_999, "name": "apt", "cpu": 1.5})


def clock(entries: Entries) -> None:
    for entry in entries[3:]:
        entry["t"] += 0.5


def busy_loader(entries: Entries) -> None:
    entries[-1]["task"]["cpu"] = entries[1]["task"]["cpu"] + 2.4


def elsewhere(entries: Entries) -> None:
    """The DBMS stays, three threads of the load generator may run anywhere."""
    for entry in (entries[1], entries[-1]):
        entry["service"]["cpus"] = {"wanted": "1-2", "threads": {"1-2": 5, "2": 1}}
        entry["task"]["cpus"] = {"wanted": "3", "threads": {"3": 1, "0-3": 3}}


def test_a_sound_trial_on_a_shared_host_is_ok(tmp_path: Path) -> None:
    found = judge(tmp_path, recorded())
    assert objections(found) == set()
    assert found["busiest_core"].value == pytest.approx(0.889, abs=0.001)
    assert found["pressure_cpu"].value == pytest.approx(0.603, abs=0.001)
    assert found["pressure_cpu"].limit is None
    assert "recorded only" in found["pressure_cpu"].reason
    assert found["loader_cpu"].value == pytest.approx(0.299, abs=0.001)
    assert found["loader_cpu"].limit == 0.7
    assert "not judged" in found["thermal"].reason


def test_the_same_figures_are_limited_where_hosts_are_apart(tmp_path: Path) -> None:
    found = judge(tmp_path, recorded(), context=APART)
    assert objections(found) == {"pressure_cpu", "pressure_io"}
    assert {found[name].validity for name in ("pressure_cpu", "pressure_io")} == {"invalid"}


@pytest.mark.parametrize(
    ("change", "gate", "value"),
    [
        (steal_ten_percent, "steal", 0.108),
        (throttled, "thermal", 1),
        (quota, "quota", 1),
        (in_last("vmstat", "pswpout 0", "pswpout 7"), "swap", 7),
        (memory_pressure, "pressure_memory", 0.0333),
        (foreign, "foreign", 0.503),
        (busy_loader, "loader_cpu", 0.8),
        (elsewhere, "placement", 3),
    ],
)
def test_noise_is_suspect_on_a_shared_host_and_invalid_elsewhere(
    tmp_path: Path, change: Callable[[Entries], None], gate: str, value: float
) -> None:
    entries = recorded()
    change(entries)
    found = judge(tmp_path, entries)
    assert objections(found) == {gate}
    assert found[gate].validity == "suspect"
    assert found[gate].value == pytest.approx(value, rel=0.02)
    assert judge(tmp_path, entries, context=APART)[gate].validity == "invalid"


def test_threads_elsewhere_are_named(tmp_path: Path) -> None:
    entries = recorded()
    elsewhere(entries)
    reason = judge(tmp_path, entries)["placement"].reason
    assert "the load generator: 3 may run on 0-3, not only on 3" in reason
    assert "DBMS" not in reason
    assert "placement" not in judge(tmp_path, recorded())


@pytest.mark.parametrize(
    ("change", "gate", "value"),
    [
        (in_last("vmstat", "oom_kill 0", "oom_kill 2"), "oom", 2),
        (clock, "clock_step", 0.498),
        (lambda entries: entries[-1]["service"].update(cpu=None), "service", 1),
    ],
)
@pytest.mark.parametrize("context", [SHARED, APART])
def test_false_data_is_invalid_anywhere(
    tmp_path: Path,
    change: Callable[[Entries], None],
    gate: str,
    value: float,
    context: gates.Context,
) -> None:
    entries = recorded()
    change(entries)
    found = judge(tmp_path, entries, context=context)[gate]
    assert found.validity == "invalid"
    assert found.value == pytest.approx(value, rel=0.01)
    assert found.reason


@pytest.mark.parametrize(
    ("parts", "gate", "said"),
    [
        ({"result": msgspec.structs.replace(RESULT, errors=2)}, "errors", "2 of 10000 requests failed"),
        ({"result": msgspec.structs.replace(RESULT, requests=0)}, "errors", "nothing was completed"),
        ({"load": msgspec.structs.replace(LOAD, end=102.0)}, "overlap", "-1.000 s to +2.000 s"),
        ({"load": msgspec.structs.replace(LOAD, start=100.1)}, "overlap", "did not run through"),
        ({"load": msgspec.structs.replace(LOAD, start=200.0, end=201.0)}, "overlap", "did not run"),
        (
            {"server": msgspec.structs.replace(SERVER, differing={"work_mem": ("4MB", "8MB")})},
            "settings",
            "work_mem is '8MB', wanted '4MB'",
        ),
    ],
)
def test_facts_that_do_not_hold_are_invalid(
    tmp_path: Path, parts: dict[str, Any], gate: str, said: str
) -> None:
    found = judge(tmp_path, recorded(), **parts)
    assert objections(found) == {gate}
    assert found[gate].validity == "invalid"
    assert said in found[gate].reason


def with_new_parts(entries: Entries) -> Entries:
    """What schema 2 added, of a quiet host."""
    for entry in (entries[1], entries[-1]):
        entry["files"]["snmp"] = "Tcp: InSegs OutSegs RetransSegs\nTcp: 5 1000 7\n"
        entry["files"]["netstat"] = "TcpExt: ListenOverflows ListenDrops\nTcpExt: 3 3\n"
        entry |= {
            "irqs": {"cpu0": 1000, "cpu1": 2000},
            "kmsg": {"count": 7, "last": ["old"] * 5},
            "units": ["cron.service"],
            "logins": 1,
        }
    entries[-1]["irqs"]["cpu1"] = 5000
    entries[-1]["files"]["snmp"] = "Tcp: InSegs OutSegs RetransSegs\nTcp: 9 5000 9\n"
    return entries


def turned_away(entries: Entries) -> None:
    entries[-1]["files"]["netstat"] = "TcpExt: ListenOverflows ListenDrops\nTcpExt: 4 5\n"


def sent_again(entries: Entries) -> None:
    entries[-1]["files"]["snmp"] = "Tcp: InSegs OutSegs RetransSegs\nTcp: 9 5000 47\n"


def said(text: str) -> Callable[[Entries], None]:
    def change(entries: Entries) -> None:
        entries[-1]["kmsg"] = {"count": 8, "last": ["old", "old", "old", "old", text]}

    return change


def started(entries: Entries) -> None:
    entries[-1]["units"] = ["apt-daily.service", "benchctl-ab.service", "cron.service", "session-4.scope"]


def logged_in(entries: Entries) -> None:
    entries[-1]["logins"] = 2


def test_what_schema_2_added_is_ok_on_a_quiet_host(tmp_path: Path) -> None:
    found = judge(tmp_path, with_new_parts(recorded()))
    assert objections(found) == set()
    assert found["retransmits"].value == pytest.approx(2 / 4000)
    assert found["interrupts"].value == pytest.approx(1000, rel=0.01)
    assert found["interrupts"].limit is None


@pytest.mark.parametrize(
    ("change", "gates_", "apart", "reason"),
    [
        (started, {"units"}, "suspect", "units were started: apt-daily.service"),
        (logged_in, {"logins"}, "suspect", "logged in"),
        (said("eth0: link up"), {"kernel_messages"}, "suspect", "eth0: link up"),
        (
            said("blk_update_request: I/O error, dev sda"),
            {"disk_errors", "kernel_messages"},
            "invalid",
            "dev sda",
        ),
    ],
)
def test_what_happened_on_the_host_is_told(
    tmp_path: Path, change: Callable[[Entries], None], gates_: set[str], apart: str, reason: str
) -> None:
    entries = with_new_parts(recorded())
    change(entries)
    assert objections(judge(tmp_path, entries)) == gates_
    (gate,) = gates_ - {"kernel_messages"} or gates_
    found = judge(tmp_path, entries, context=APART)[gate]
    assert found.validity == apart
    assert reason in found.reason


@pytest.mark.parametrize(
    ("change", "gate", "reason"),
    [(sent_again, "retransmits", "40 of 4000 segments"), (turned_away, "listen_overflows", "turned away")],
)
def test_the_network_counts_where_the_load_goes_through_it(
    tmp_path: Path, change: Callable[[Entries], None], gate: str, reason: str
) -> None:
    entries = with_new_parts(recorded())
    change(entries)
    assert judge(tmp_path, entries)[gate].limit is None
    found = judge(tmp_path, entries, context=APART)[gate]
    assert found.validity == "invalid"
    assert reason in found.reason


def test_a_host_without_a_load_generator_may_be_busy(tmp_path: Path) -> None:
    found = judge(tmp_path, recorded(), context=APART, load=None, result=None)
    assert objections(found) == set()
    assert "no load generator runs here" in found["pressure_cpu"].reason
    assert not {"errors", "overlap", "loader_cpu", "schedule_lag"} & found.keys()


def loads(**parts: Any) -> gates.Together:
    """Two loads, the second 0.2 ms after the first."""
    task = msgspec.structs.replace(LOAD, start=99.0, end=103.5)
    both = [
        HostLoad(host=h, task=task, window=WINDOW, began=b, uncertainty=1e-4, late=False, result=RESULT)
        for h, b in (("a", 0.0), ("b", 0.0002))
    ]
    start = Start(at=99.0, spread=0.0002, uncertainty=0.0002, overlap=0.9999)
    changed = msgspec.structs.replace(start, **parts)
    return gates.Together(both, changed, 3.0, self_timed=False, context=APART)


def test_loads_that_ran_together_are_ok() -> None:
    found = gates.judge_together(loads())
    assert [(f.gate, f.validity) for f in found] == [
        ("start_skew", "ok"),
        ("steady_overlap", "ok"),
        ("clocks", "ok"),
    ]
    assert found[0].value == pytest.approx(0.2)
    assert gates.judge_together(loads()._replace(loads=loads().loads[:1])) == ()


@pytest.mark.parametrize(
    ("part", "value", "gate", "severities"),
    [
        ("spread", 0.0111, "start_skew", ("invalid", "suspect")),
        ("overlap", 0.98, "steady_overlap", ("invalid", "invalid")),
        ("uncertainty", 0.031, "clocks", ("invalid", "suspect")),
    ],
)
def test_loads_that_did_not_are_told(part: str, value: float, gate: str, severities: tuple[str, str]) -> None:
    for context, severity in zip((APART, SHARED), severities, strict=True):
        found = gates.judge_together(loads(**{part: value})._replace(context=context))
        assert [(f.gate, f.validity) for f in found if f.validity != "ok"] == [(gate, severity)]


def test_one_error_in_ten_thousand_is_allowed(tmp_path: Path) -> None:
    assert not objections(judge(tmp_path, recorded(), result=msgspec.structs.replace(RESULT, errors=1)))


@pytest.mark.parametrize(
    ("lag", "median", "objects"),
    [(1.5, 2.0, True), (1.5, 200.0, False), (0.9, 2.0, False), (None, 2.0, False)],
)
def test_schedule_lag_counts_in_open_loops_only(
    tmp_path: Path,
    lag: float | None,
    median: float,
    objects: bool,  # noqa: FBT001 - a parametrised flag
) -> None:
    metrics = {
        "latency_p50": Quantity(value=median, unit="ms"),
        "schedule_lag_p99": Quantity(value=lag, unit="ms"),
    }
    result = msgspec.structs.replace(RESULT, open_loop=True, metrics=metrics)
    found = judge(tmp_path, recorded(), result=result)
    assert objections(found) == ({"schedule_lag"} if objects else set())
    assert "schedule_lag" not in judge(tmp_path, recorded())


def test_a_sampler_preempted_between_two_clocks_is_no_clock_step(tmp_path: Path) -> None:
    entries = recorded()
    entries[2]["m"] += 0.2
    assert judge(tmp_path, entries)["clock_step"].validity == "ok"


def reached(throughput: float, **parts: float) -> dict[str, Any]:
    """A trial's throughput, and a capacity of 1000/s with a busy load generator."""
    metrics = {**RESULT.metrics, "throughput": Quantity(value=throughput, unit="1/s")}
    known = {"throughput": 1000.0, "busy": 0.97, "target_busy": 0.5, "measured": 1.0, **parts}
    return {"result": msgspec.structs.replace(RESULT, metrics=metrics), "capacity": Capacity(**known)}


@pytest.mark.parametrize(("throughput", "objects"), [(499.0, False), (501.0, True), (990.0, True)])
def test_a_load_generator_near_its_ceiling_is_told(
    tmp_path: Path,
    throughput: float,
    objects: bool,  # noqa: FBT001 - a parametrised flag
) -> None:
    found = judge(tmp_path, recorded(), **reached(throughput))
    assert objections(found) == ({"loader_capacity"} if objects else set())
    assert found["loader_capacity"].value == pytest.approx(throughput / 1000)
    assert found["loader_capacity"].limit == 0.5
    apart = judge(tmp_path, recorded(), context=APART, **reached(throughput))["loader_capacity"]
    assert (found["loader_capacity"].validity, apart.validity) == (
        ("suspect", "invalid") if objects else ("ok", "ok")
    )
    if objects:
        assert f"{throughput:g}/s of 1000/s" in apart.reason


def test_a_slow_null_target_accuses_nobody_and_still_acquits(tmp_path: Path) -> None:
    slow = {"busy": 0.6, "target_busy": 0.99}
    above = judge(tmp_path, recorded(), context=APART, **reached(800.0, **slow))["loader_capacity"]
    assert (above.validity, above.value) == ("ok", None)
    assert "busy for 60% of the time; the null target was slower" in above.reason
    below = judge(tmp_path, recorded(), context=APART, **reached(200.0, **slow))["loader_capacity"]
    assert below.validity == "ok"
    assert below.value == pytest.approx(0.2)


def test_a_load_without_a_capacity_is_said(tmp_path: Path) -> None:
    assert "not run against a null target" in judge(tmp_path, recorded())["loader_capacity"].reason
    command = msgspec.structs.replace(COMMAND, threads=None)
    assert "loader_capacity" not in judge(tmp_path, recorded(), result=command)


def test_a_loader_with_unknown_threads_may_use_all_cpus(tmp_path: Path) -> None:
    entries = recorded()
    busy_loader(entries)
    result = msgspec.structs.replace(RESULT, threads=None)
    assert judge(tmp_path, entries, result=result)["loader_cpu"].value == pytest.approx(0.4, rel=0.01)


def test_a_foreign_process_counts_what_it_used_inside_the_window(tmp_path: Path) -> None:
    entries = recorded()
    entries[1]["foreign"].append({"pid": 99_999, "name": "apt", "cpu": 100.0})
    entries[-1]["foreign"].append({"pid": 99_999, "name": "apt", "cpu": 100.6})
    found = judge(tmp_path, entries)["foreign"]
    assert found.value == pytest.approx(0.2, abs=0.01)
    assert "apt (99999) 0.20" in found.reason


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "host.samples: No such file"),
        ("", "host.samples: 0 samples"),
        ('{"schema": 3}\n', "host.samples:1: not understood"),
        ('{"schema": 1}\n{"t": 1, "m"', "host.samples:2: not understood"),
        ('{"schema": 1}\n{"t": 1, "m": 1}\n', "host.samples:2: not understood"),
        ('{"schema": 1}\n[]\n', "host.samples:2: not understood"),
    ],
)
def test_samples_that_cannot_be_used_are_said(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "host.samples").write_text(text)
    found = judge(tmp_path)
    assert objections(found) == {"samples"}
    assert said in found["samples"].reason
    for name in ("steal", "foreign", "pressure_cpu", "clock_step", "service"):
        assert found[name].value is None
        assert "not judged" in found[name].reason
    assert worst(tuple(finding.validity for finding in found.values())) == "suspect"


@pytest.mark.parametrize(
    ("name", "gate"),
    [("stat", "steal"), ("pressure_io", "pressure_io"), ("vmstat", "oom"), ("cgroup_cpu", "quota")],
)
def test_a_file_that_the_host_does_not_have_is_said_and_one_of_another_form_is_suspect(
    tmp_path: Path, name: str, gate: str
) -> None:
    entries = recorded()
    entries[1]["files"][name] = None
    missing = judge(tmp_path, entries)[gate]
    assert (missing.validity, missing.value) == ("ok", None)
    assert f"this host does not show {name}" in missing.reason
    entries[1]["files"][name] = "gibberish of another kind"
    assert judge(tmp_path, entries)[gate].validity == "suspect"


def test_a_command_that_measures_by_itself_needs_no_window(tmp_path: Path) -> None:
    load = msgspec.structs.replace(LOAD, start=100.0, end=100.01)
    (tmp_path / "host.samples").write_text('{"schema": 1, "files": []}\n')
    found = judge(tmp_path, result=COMMAND, load=load, server=None)
    assert objections(found) == set()
    assert not {"settings", "service"} & found.keys()
    assert all("not judged" in found[name].reason for name in ("samples", "errors", "overlap", "steal"))


def test_findings_survive_the_way_to_disk(tmp_path: Path) -> None:
    found = tuple(judge(tmp_path, recorded()).values())
    again = msgspec.json.decode(msgspec.json.encode(found), type=tuple[Finding, ...])
    assert again == found
    assert msgspec.json.encode(again) == msgspec.json.encode(found)


def host(name: str) -> Host:
    return Host(name=name, transport="pipe")


def test_the_context_comes_from_the_inventory_and_the_facts() -> None:
    one = Inventory(groups={"dbms": (host("a"),), "loader": (host("a"),)})
    two = Inventory(groups={"dbms": (host("a"),), "loader": (host("b"),)})
    metal, guest = {"virtual.hypervisor": False, "virtual.container": None}, {"virtual.hypervisor": True}
    assert gates.context(one, {"a": metal})[:2] == (True, "B")
    apart = gates.context(two, {"a": metal, "b": guest})
    assert apart[:2] == (False, "D")
    assert [apart.on(name)[:2] for name in ("a", "b")] == [(False, "B"), (False, "D")]
    assert gates.context(two, {"a": metal})[:2] == (False, "D")
    alone = Inventory(groups={"loader": (host("a"),)})
    assert gates.context(alone, {"a": metal})[:2] == (True, "B")
    mixed = Inventory(groups={"dbms": (host("a"),), "loader": (host("a"), host("b"))})
    shared = gates.context(mixed, {"a": metal, "b": metal})
    assert [shared.on(name).shared_host for name in ("a", "b")] == [True, False]
    contained = {"virtual.hypervisor": False, "virtual.container": ["docker"]}
    assert gates.context(one, {"a": contained}).grade == "D"


def test_each_gate_has_a_name_of_its_own_and_says_what_an_objection_means() -> None:
    assert len({gate.name for gate in gates.GATES}) == len(gates.GATES)
    assert all(gate.doc for gate in gates.GATES)
