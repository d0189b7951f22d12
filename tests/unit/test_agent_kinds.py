"""Knobs that no file stands for, each on generated machines with the kernel's rules."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.agent import nic, nodes, tuning
from benchctl.agent.machine import Machine
from benchctl.agent.restore import restore
from tests.kernel import CPU, PowerCut
from tests.machines import two_sockets

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.agent.tuning_journal import Journal
    from tests.kernel import KernelTree

DROP_IN = "/run/systemd/journald.conf.d/zz-benchctl.conf"
HEAD = {"run": "run-1", "profile": "mine", "kept": True, "program": "agent.pyz"}


def tune(machine: Machine, journal: Journal, **values: str) -> dict[str, Any]:
    """Tune; the rows of the reply by knob."""
    return {row["knob"]: row for row in tuning.tune(machine, journal, values, HEAD)["knobs"]}


def test_a_tree_of_files_takes_no_calls(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="takes no swapoff") as found:
        Machine(str(tmp_path)).call("swapoff", "/swap")
    assert found.value.errno == errno.EOPNOTSUPP


# --- swap


def test_all_swap_goes_and_comes_back_with_its_priorities(intel: KernelTree, journal: Journal) -> None:
    intel.calls.swap_to(
        ("/dev/sda2", "partition", -2), ("/dev/sdb2", "partition", -3), ("/swap\\040file", "file", 5)
    )
    row = tune(intel, journal, swap="off")["swap"]
    assert (row["outcome"], row["was"]) == (
        "applied",
        {"/swap\\040file 5 /dev/sda2 -2 /dev/sdb2 -3": 1},
    )
    assert len(intel.text("/proc/swaps").splitlines()) == 1
    assert tune(intel, journal, swap="off")["swap"]["outcome"] == "already"
    assert restore(intel, journal)["restored"] == 1
    shown = {line.split()[0]: line.split()[-1] for line in intel.text("/proc/swaps").splitlines()[1:]}
    assert shown == {"/swap\\040file": "5", "/dev/sda2": "-2", "/dev/sdb2": "-3"}


def test_areas_come_back_with_the_discards_that_fstab_gives_them(intel: KernelTree, journal: Journal) -> None:
    tune(intel, journal, swap="off")
    restore(intel, journal)
    assert intel.calls.discards == {"/dev/sda2": 0x30000, "/swap file": 0}


def test_an_area_that_memory_has_no_room_for_has_failed_and_the_others_come_back(
    intel: KernelTree, journal: Journal
) -> None:
    before = intel.image()
    intel.calls.full.add("/swap file")
    row = tune(intel, journal, swap="off")["swap"]
    assert row["outcome"] == "failed"
    assert row["why"].startswith("ENOMEM: swapoff /swap file")
    assert "/dev/sda2" not in intel.text("/proc/swaps")
    assert tuning.drift(intel, journal)["drifts"] == 0
    assert restore(intel, journal)["restored"] == 1
    assert sorted(intel.text("/proc/swaps").splitlines()) == sorted(
        before["/proc/swaps"].strip().splitlines()
    )


def test_an_area_that_is_fuller_than_memory_is_not_even_tried(intel: KernelTree, journal: Journal) -> None:
    intel.put({"/proc/swaps": "Filename Type Size Used Priority\n/dev/sda2 partition 20000 9000 -2"})
    intel.put({"/proc/meminfo": "MemAvailable: 8999 kB"})
    row = tune(intel, journal, swap="off")["swap"]
    assert row["why"] == "ENOMEM: /dev/sda2 holds 9000 KiB, memory has room for 8999"
    assert intel.writes == []


def test_an_area_that_somebody_adds_has_drifted_and_is_left(intel: KernelTree, journal: Journal) -> None:
    tune(intel, journal, swap="off")
    intel.calls.swap_to(("/dev/zram0", "partition", 100))
    (row,) = tuning.drift(intel, journal)["drifted"]
    assert (row["knob"], row["found"]) == ("swap", "/dev/zram0 100")
    assert [row["found"] for row in restore(intel, journal)["left"]] == ["/dev/zram0 100"]
    assert restore(intel, journal, force=True)["restored"] == 1
    assert "/dev/sda2\tpartition\t1048572\t0\t-2" in intel.text("/proc/swaps")


# --- mounts


def test_disks_are_mounted_without_times_of_access_and_as_they_were_again(
    intel: KernelTree, journal: Journal
) -> None:
    before = intel.text("/proc/self/mountinfo")
    row = tune(intel, journal, atime="noatime")["atime"]
    assert (row["outcome"], row["was"]) == ("applied", {"relatime": 1, "strictatime": 1})
    now = intel.text("/proc/self/mountinfo")
    assert "/data\\040one rw,nosuid,nodev,noatime - xfs /dev/nvme0n1p1 rw,attr2" in now
    assert now.splitlines()[1::2] == before.splitlines()[1::2]  # /proc, and what cannot be written to
    restore(intel, journal)
    assert intel.text("/proc/self/mountinfo") == before


def test_other_flags_of_a_mount_stay_as_they_are_at_that_moment(intel: KernelTree, journal: Journal) -> None:
    tune(intel, journal, atime="noatime")
    intel.calls.mount_flags("/", 0x1020 | 0x400 | 0x8)
    restore(intel, journal)
    assert "/ / rw,noexec,relatime" in intel.text("/proc/self/mountinfo")


def test_a_mount_that_is_gone_is_told(intel: KernelTree, journal: Journal) -> None:
    tune(intel, journal, atime="noatime")
    lines = intel.text("/proc/self/mountinfo").splitlines()
    intel.put({"/proc/self/mountinfo": "\n".join(line for line in lines if "/data" not in line)})
    undone = restore(intel, journal)
    assert ([row["path"] for row in undone["gone"]], undone["restored"]) == (["mount:/data one"], 1)


def test_a_mount_that_may_not_be_changed_is_blocked(intel: KernelTree, journal: Journal) -> None:
    intel.forbidden.add("mount_flags")
    row = tune(intel, journal, atime="noatime")["atime"]
    assert (row["outcome"], row["why"]) == ("blocked", "EPERM: Operation not permitted")


# --- network cards


def test_a_card_gets_its_values_and_its_own_back(intel: KernelTree, journal: Journal) -> None:
    before = intel.image()
    rows = tune(
        intel,
        journal,
        nic_channels="max",
        nic_rx_ring="max",
        nic_tx_ring="1024",
        nic_adaptive_rx="off",
        nic_rx_usecs="32",
        nic_gro="off",
        nic_lro="off",
        mtu="9000",
        rps_cpus="none",
    )
    assert {row["outcome"] for row in rows.values()} == {"applied"}
    assert rows["nic_lro"]["was"] == {"on": 1}
    card = intel.calls.cards["eth0"]
    assert (card[0x3C][7], card[0x10][4], card[0x10][7]) == (8, 4096, 1024)
    assert (card[0x0E][0], card[0x0E][9], card[0x0E][10]) == (32, 0, 1)
    assert (card[0x2B], card[0x25]) == ([0], [0x80])  # other flags of the card stay
    assert intel.text("/sys/class/net/eth0/mtu") == "9000"
    assert [intel.text(path) for path in intel.find("/sys/class/net/eth0/queues/rx-*/rps_cpus")] == ["0", "0"]
    assert tuning.drift(intel, journal)["drifts"] == 0
    assert restore(intel, journal)["failed"] == []
    assert intel.image() == before


def test_the_loopback_and_what_is_no_device_are_never_touched(intel: KernelTree, journal: Journal) -> None:
    intel.put({"/sys/class/net/br0/mtu": "1500", "/sys/class/net/br0/queues/rx-0/rps_cpus": "3"})
    intel.calls.add_card("lo")
    intel.calls.add_card("br0")
    rows = tune(intel, journal, nic_gro="off", mtu="1400", rps_cpus="none")
    assert rows["nic_gro"]["counts"] == {"applied": 1}
    assert (intel.calls.cards["lo"][0x2B], intel.calls.cards["br0"][0x2B]) == ([1], [1])
    assert (intel.text("/sys/class/net/lo/mtu"), intel.text("/sys/class/net/br0/mtu")) == ("65536", "1500")
    assert intel.text("/sys/class/net/br0/queues/rx-0/rps_cpus") == "3"


def test_what_a_driver_does_not_have_is_unsupported(intel: KernelTree, journal: Journal) -> None:
    intel.calls.add_card("eth0", channels=True, coalesce=True)
    rows = tune(intel, journal, nic_channels="2", nic_rx_channels="2", nic_adaptive_rx="off", nic_gro="off")
    for name in ("nic_channels", "nic_rx_channels", "nic_adaptive_rx"):
        assert (rows[name]["outcome"], rows[name]["why"]) == (
            "unsupported",
            "ENOTSUP: Operation not supported",
        )
    assert rows["nic_gro"]["outcome"] == "applied"
    intel.calls.add_card("eth1")
    intel.put({"/sys/class/net/eth1/device/vendor": "0x8086"})
    row = tune(intel, journal, nic_rx_channels="2")["nic_rx_channels"]
    assert row["outcome"] == "unsupported"  # eth1 has combined queues only
    assert tune(intel, journal, nic_channels="2")["nic_channels"]["counts"] == {
        "applied": 1,
        "unsupported": 1,
    }


def test_more_than_a_card_has_is_what_the_kernel_refuses(intel: KernelTree, journal: Journal) -> None:
    row = tune(intel, journal, nic_rx_ring="8192")["nic_rx_ring"]
    assert (row["outcome"], row["why"]) == ("failed", "EINVAL: Invalid argument")


def test_a_link_that_does_not_come_up_gets_its_old_value_back(
    intel: KernelTree, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nic, "LINK_LIMIT", 0.0)
    intel.calls.dead_links.add("eth0")
    row = tune(intel, journal, nic_rx_ring="max")["nic_rx_ring"]
    assert row["outcome"] == "failed"
    assert row["why"] == "ENETDOWN: eth0 had no link for 0 s; its old value 512 was put back"
    assert intel.text("/sys/class/net/eth0/carrier") == "1"
    assert intel.calls.cards["eth0"][0x10][4] == 512


# --- idle states


def test_idle_states_that_wake_up_too_late_are_off(intel: KernelTree, journal: Journal) -> None:
    before = intel.image()
    row = tune(intel, journal, idle_states="2")["idle_states"]
    assert row["counts"] == {"applied": 16, "already": 16}
    folder = f"{CPU}/cpu3/cpuidle"
    assert [intel.text(f"{folder}/state{number}/disable") for number in range(4)] == ["0", "0", "1", "1"]
    restore(intel, journal)
    assert intel.image() == before


def test_a_state_that_does_not_tell_how_deep_it_is_stays(intel: KernelTree, journal: Journal) -> None:
    intel.remove(f"{CPU}/cpu0/cpuidle/state3/latency")
    row = tune(intel, journal, idle_states="2")["idle_states"]
    assert row["why"] == "1 of 32: the driver does not tell how long it takes to wake up"
    assert intel.text(f"{CPU}/cpu0/cpuidle/state3/disable") == "0"


# --- logging


def test_the_journal_stays_in_memory_until_it_is_given_back(intel: KernelTree, journal: Journal) -> None:
    assert tune(intel, journal, journald="volatile")["journald"]["outcome"] == "applied"
    assert intel.files[DROP_IN] == "[Journal]\nStorage=volatile\n"
    assert ("systemctl", "restart systemd-journald.service") in intel.writes
    intel.writes.clear()
    assert restore(intel, journal)["restored"] == 1
    assert not intel.has(DROP_IN)
    assert ("systemctl", "restart systemd-journald.service") in intel.writes


@pytest.mark.parametrize("limit", [1, 2])
def test_a_crash_around_the_restart_of_journald_leaves_nothing_that_looks_whole(
    limit: int, intel: KernelTree, journal: Journal
) -> None:
    before = intel.image()
    intel.limit = limit
    with pytest.raises(PowerCut):
        tune(intel, journal, journald="volatile")
    intel.limit = -1
    assert tuning.drift(intel, journal)["drifts"] == 1
    assert tune(intel, journal, journald="volatile")["journald"]["outcome"] == "applied"
    intel.limit = limit
    with pytest.raises(PowerCut):
        restore(intel, journal)
    intel.limit = -1
    undone = restore(intel, journal)
    assert (undone["restored"], undone["left"]) == (1, [])
    assert intel.image() == before


def test_a_journald_that_does_not_come_up_has_its_old_settings(intel: KernelTree, journal: Journal) -> None:
    intel.forbidden.add("systemd-journald.service")
    row = tune(intel, journal, journald="volatile")["journald"]
    assert (row["outcome"], row["why"]) == ("failed", "EIO: Job for systemd-journald.service failed.")


def test_audit_is_switched_off_and_on_again(intel: KernelTree, journal: Journal) -> None:
    row = tune(intel, journal, audit="0")["audit"]
    assert (row["outcome"], row["was"], intel.calls.audited) == ("applied", {"1": 1}, 0)
    restore(intel, journal)
    assert intel.calls.audited == 1


def test_an_audit_that_is_locked_is_blocked(intel: KernelTree, journal: Journal) -> None:
    intel.calls.audited = 2
    assert tune(intel, journal, audit="0")["audit"]["outcome"] == "blocked"


# --- units


@pytest.mark.parametrize("half", ["inactive", "active masked"])
def test_a_unit_that_a_crash_left_half_masked_comes_back(
    half: str, intel: KernelTree, journal: Journal
) -> None:
    before = intel.image()
    tune(intel, journal, irqbalance="masked")
    intel.set_units(["irqbalance.service"], half)
    assert tuning.drift(intel, journal)["drifts"] == 1
    assert restore(intel, journal)["left"] == []
    assert intel.image() == before


def test_a_service_is_masked_before_it_is_stopped_and_a_timer_after(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(Machine, "systemctl", lambda _, words: said.append(" ".join(words)))
    monkeypatch.setattr("os.getuid", lambda: 0)
    Machine().set_units(["cron.service", "fstrim.timer"], "masked")
    assert said == ["stop fstrim.timer", "mask --runtime cron.service fstrim.timer", "stop cron.service"]


def test_another_name_of_a_unit_is_not_masked_beside_it(intel: KernelTree, journal: Journal) -> None:
    intel.put({"/usr/lib/systemd/system/chrony.service": "[Unit]"})
    intel.links["/etc/systemd/system/chronyd.service"] = "/usr/lib/systemd/system/chrony.service"
    intel.set_units(["chrony.service"], "active")
    row = tune(intel, journal, time_sync="masked")["time_sync"]
    assert (row["outcome"], row["counts"]) == ("applied", {"applied": 1})


@pytest.mark.parametrize("was", ["active", "inactive"])
def test_a_unit_that_a_crash_left_half_way_is_given_back(
    intel: KernelTree, journal: Journal, was: str
) -> None:
    intel.set_units(["irqbalance.service"], was)
    before = intel.image()
    tune(intel, journal, irqbalance="masked")
    intel.set_units(
        ["irqbalance.service"], "inactive"
    )  # stopped and not masked yet, or not started again yet
    undone = restore(intel, journal)
    assert (undone["left"], undone["failed"]) == ([], [])
    assert intel.image() == before


def test_a_unit_that_somebody_else_started_is_left_alone(intel: KernelTree, journal: Journal) -> None:
    intel.set_units(["irqbalance.service"], "inactive")
    tune(intel, journal, irqbalance="masked")
    intel.set_units(["irqbalance.service"], "active")
    assert [row["found"] for row in restore(intel, journal)["left"]] == ["active"]


# --- nodes


def test_what_is_measured_gets_memory_from_the_nodes_of_its_cpus(journal: Journal) -> None:
    machine = two_sockets()
    machine.roles = ("loader", "dbms")
    before = machine.image()
    rows = tune(machine, journal, cpu_sets="plan", numa_nodes="plan")
    assert rows["numa_nodes"]["outcome"] == "applied"
    assert machine.text(nodes.FILE) == "0-1"  # with the loader it has cores of both
    assert tuning.drift(machine, journal)["drifts"] == 0
    assert tune(machine, journal, cpu_sets="plan", numa_nodes="plan")["numa_nodes"]["outcome"] == "already"
    assert restore(machine, journal)["failed"] == []
    assert machine.image() == before


def test_a_node_of_housekeeping_alone_is_left_out(journal: Journal) -> None:
    machine = two_sockets()
    machine.roles = ("dbms",)
    node = "/sys/devices/system/node/node"
    machine.put({f"{node}0/cpulist": "0-1,32-33", f"{node}1/cpulist": "2-31,34-63"})
    tune(machine, journal, cpu_sets="plan", numa_nodes="plan")
    assert machine.text(nodes.FILE) == "1"


def test_one_node_is_enough_where_the_cpus_are_of_one(intel: KernelTree, journal: Journal) -> None:
    intel.roles = ("dbms",)
    tune(intel, journal, cpu_sets="plan", numa_nodes="plan")
    assert intel.text(nodes.FILE) == "0"
    intel.put({"/sys/fs/cgroup/benchctl/run.dbms/cgroup.procs": "77"})
    undone = restore(intel, journal)
    assert {row["knob"] for row in undone["failed"]} >= {"cpu_sets"}  # what is measured still runs
    intel.remove("/sys/fs/cgroup/benchctl/run.dbms/cgroup.procs")
    intel.folders.discard("/sys/fs/cgroup/benchctl/run.dbms")
    assert restore(intel, journal)["failed"] == []


def test_nodes_without_a_plan_are_unsupported(intel: KernelTree, journal: Journal) -> None:
    intel.put({"/sys/fs/cgroup/cgroup.controllers": "cpu memory"})
    row = tune(intel, journal, cpu_sets="plan", numa_nodes="plan")["numa_nodes"]
    assert (row["outcome"], row["why"]) == (
        "unsupported",
        "this host has none",
    )
