"""CPUs by cgroups on generated machines: who gets which, what systemd is told and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from benchctl.agent import cpu_plan, tuning
from benchctl.agent.forms import cpus
from benchctl.agent.pinning import REST
from benchctl.agent.refusal import RefusalError
from benchctl.agent.restore import restore
from benchctl.agent.tuning_journal import Journal
from tests.kernel import CPU, KernelTree, PowerCut
from tests.kernel_cgroups import CONTROL, ROOT
from tests.machines import MACHINES, cloud_vm, intel_active

if TYPE_CHECKING:
    from pathlib import Path

BOTH = ("dbms", "loader")
HEAD = {"run": "run-1", "profile": "own", "kept": True, "program": "agent.pyz"}
PLAN = {"cpu_sets": "plan"}
ISOLATED = {**PLAN, "isolated_partition": "isolated"}
MEASURED = f"{ROOT}/benchctl"
PARTITION = f"{MEASURED}/cpuset.cpus.partition"
SLICES = ("system.slice", "user.slice", "init.scope")


def made(name: str, *roles: str) -> KernelTree:
    machine = MACHINES[name]()
    machine.roles = roles
    return machine


def tune(machine: KernelTree, journal: Journal, values: dict[str, str] = PLAN) -> dict[str, Any]:
    return {row["knob"]: row for row in tuning.tune(machine, journal, values, HEAD)["knobs"]}


def sitting(machine: KernelTree, folder: str) -> frozenset[int]:
    return cpus(machine.text(f"{folder}/cpuset.cpus.effective"))


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("values", [PLAN, ISOLATED])
def test_what_is_measured_has_its_cpus_alone_until_restore(
    name: str, values: dict[str, str], journal: Journal
) -> None:
    machine = made(name, "dbms")
    before, folders = machine.image(), set(machine.folders)
    rows = tune(machine, journal, values)
    assert {row["outcome"] for row in rows.values()} == {"applied"}
    mine = sitting(machine, MEASURED)
    for unit in SLICES:
        assert not sitting(machine, f"{ROOT}/{unit}") & mine
    everyone = cpus(machine.text(f"{CPU}/online"))
    assert sitting(machine, f"{ROOT}/system.slice") | mine == everyone
    assert tuning.drift(machine, journal)["drifts"] == 0
    assert restore(machine, journal)["failed"] == []
    assert machine.image() == before
    assert machine.folders - {"/run/systemd/transient"} == folders
    assert machine.cgroups.reloads == 1


def test_systemd_is_told_of_slices_in_use_only(journal: Journal) -> None:
    machine = made("intel_active", "dbms")
    row = tune(machine, journal)["cpu_sets"]
    assert row["counts"] == {"applied": 4}
    assert machine.has(f"{CONTROL}/user.slice.d/50-AllowedCPUs.conf")
    assert not machine.has(f"{ROOT}/machine.slice")
    assert not machine.has(f"{CONTROL}/machine.slice.d")


def test_a_second_time_changes_nothing(journal: Journal) -> None:
    machine = made("intel_active", *BOTH)
    tune(machine, journal, ISOLATED)
    machine.writes.clear()
    rows = tune(machine, journal, ISOLATED)
    assert {row["outcome"] for row in rows.values()} == {"already"}
    assert machine.writes == []
    assert len(journal.read()[0]) == 1


def test_what_a_person_had_told_systemd_comes_back(journal: Journal) -> None:
    machine = made("intel_active", "dbms")
    machine.systemctl(["set-property", "--runtime", "user.slice", "AllowedCPUs=2-3"])
    before = machine.image()
    tune(machine, journal)
    assert sitting(machine, f"{ROOT}/user.slice") == {0, 4}
    assert restore(machine, journal)["restored"] == 4
    now = machine.image()
    told = [path for path in before if "user.slice" in path]
    assert [now[path] for path in told] == [before[path] for path in told]


def test_where_others_need_cpusets_too_slices_get_all_cpus_back(journal: Journal) -> None:
    """The kernel does not take the CPUs of a cgroup with processes back, so it has all of them by name."""
    machine = made("intel_active", "dbms")
    machine.cgroups.delegated = True
    machine.write(f"{ROOT}/cgroup.subtree_control", "+cpuset")
    before = machine.image()
    tune(machine, journal)
    undone = restore(machine, journal)
    assert (undone["restored"], undone["failed"]) == (4, [])
    now = machine.image()
    differs = {path for path in now if now[path] != before.get(path)}
    assert differs == {f"{ROOT}/{unit}/cpuset.cpus" for unit in SLICES}
    assert {sitting(machine, f"{ROOT}/{unit}") for unit in SLICES} == {frozenset(range(8))}


def test_a_slice_that_went_out_of_use_is_not_started_by_restore(journal: Journal) -> None:
    machine = made("intel_active", "dbms")
    tune(machine, journal)
    machine.put({f"{ROOT}/user.slice/cgroup.procs": ""})
    machine.cgroups.remove(f"{ROOT}/user.slice")
    assert tuning.drift(machine, journal)["drifts"] == 0
    assert restore(machine, journal)["failed"] == []
    assert not machine.has(f"{ROOT}/user.slice")
    assert not machine.has(f"{CONTROL}/user.slice.d/50-AllowedCPUs.conf")


def test_the_journal_keeps_the_plan_and_a_new_one_for_other_roles(journal: Journal) -> None:
    machine = made("intel_active", "dbms")
    tune(machine, journal)
    machine.roles = BOTH
    assert tune(machine, journal)["cpu_sets"]["outcome"] == "already"
    plans = [batch.head["cpus"] for batch in journal.read()[0]]
    assert plans == [
        {REST: "1-3,5-7", "dbms": "1-3,5-7"},
        {REST: "1-3,5-7", "dbms": "1-2,5-6", "loader": "3,7"},
    ]
    assert plans[-1] == cpu_plan.head(machine)


@pytest.mark.parametrize("values", [PLAN, ISOLATED])
def test_after_a_power_cut_at_any_write_everything_comes_back(values: dict[str, str], tmp_path: Path) -> None:
    for limit in range(40):
        machine, journal = made("intel_active", "dbms"), Journal(tmp_path / str(limit))
        before = machine.image()
        machine.limit = limit
        try:
            tune(machine, journal, values)
        except PowerCut:
            machine.limit = -1
        else:
            assert limit > 7
            return
        undone = restore(machine, journal)
        assert (undone["failed"], undone["left"]) == ([], []), limit
        now = machine.image()
        assert {path for path in now if now[path] != before.get(path)} == set(), limit


def test_a_restore_that_is_cut_off_goes_on(tmp_path: Path) -> None:
    for limit in range(40):
        machine, journal = made("intel_active", "dbms"), Journal(tmp_path / str(limit))
        before = machine.image()
        tune(machine, journal, ISOLATED)
        machine.limit = limit
        try:
            restore(machine, journal)
        except PowerCut:
            machine.limit = -1
        else:
            assert limit > 6
            return
        undone = restore(machine, journal)
        assert (undone["failed"], undone["left"]) == ([], []), limit
        now = machine.image()
        assert {path for path in now if now[path] != before.get(path)} == set(), limit


def test_while_something_measured_runs_its_cgroup_stays(journal: Journal) -> None:
    machine = made("intel_active", "dbms")
    tune(machine, journal)
    machine.make_folder(f"{MEASURED}/db")
    machine.write(f"{MEASURED}/db/cgroup.procs", "77")
    undone = restore(machine, journal)
    (row,) = undone["failed"]
    assert (row["path"], row["error"]) == (
        MEASURED,
        "something measured still runs in it; stop the DBMS first",
    )
    machine.write(f"{MEASURED}/db/cgroup.procs", "")
    assert restore(machine, journal)["restored"] == 1
    assert not machine.has(MEASURED)


def test_a_partition_that_the_kernel_does_not_give_has_failed(journal: Journal) -> None:
    machine = made("intel_active", "dbms")
    machine.make_folder(f"{ROOT}/theirs")
    machine.systemctl(["set-property", "--runtime", "user.slice", "AllowedCPUs=0"])
    machine.write(f"{ROOT}/theirs/cpuset.cpus", "3")
    row = tune(machine, journal, ISOLATED)["isolated_partition"]
    assert row["outcome"] == "failed"
    assert "isolated invalid (Cpu list in cpuset.cpus not exclusive)" in row["why"]


def test_drift_names_the_slice_and_the_partition(journal: Journal) -> None:
    machine = made("intel_active", "dbms")
    tune(machine, journal, ISOLATED)
    machine.write(PARTITION, "member")
    machine.systemctl(["set-property", "--runtime", "system.slice", "AllowedCPUs=0-3"])
    told = {row["path"]: (row["wanted"], row["found"]) for row in tuning.drift(machine, journal)["drifted"]}
    assert told == {PARTITION: ("isolated", "member"), "system.slice": ("0,4 here", "0-3 here")}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("roles", "2 cores for housekeeping and dbms, loader: every part wants one of its own"),
        ("cgroups", "this host has none"),
        ("systemd", "without systemd no slice holds the other processes together"),
        ("sudo", "what a user starts cannot leave the user's slice; log in as root"),
    ],
)
def test_where_it_cannot_be_the_reason_is_told_and_nothing_changes(
    change: str, why: str, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = cloud_vm()
    machine.roles = BOTH if change == "roles" else ("dbms",)
    if change == "cgroups":
        machine.put({f"{ROOT}/cgroup.controllers": "memory pids"})
    elif change == "systemd":
        machine.folders.discard("/run/systemd/system")
    elif change == "sudo":
        monkeypatch.setenv("SUDO_UID", "1000")
    before = machine.image()
    row = tune(machine, journal)["cpu_sets"]
    assert (row["outcome"], row["why"]) == ("unsupported", why)
    assert machine.image() == before


def test_a_partition_wants_the_sets(journal: Journal) -> None:
    with pytest.raises(RefusalError, match="'isolated' conflicts with cpu_sets left alone"):
        tune(intel_active(), journal, {"isolated_partition": "isolated"})
