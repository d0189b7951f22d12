"""Knobs that no file stands for: swap, mounts; each on generated machines with the kernel's rules."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.agent import tuning
from benchctl.agent.machine import Machine
from benchctl.agent.restore import restore
from benchctl.agent.tuning_journal import Journal
from tests.machines import intel_active

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kernel import KernelTree

HEAD = {"run": "run-1", "profile": "mine", "kept": True, "program": "agent.pyz"}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "state")


@pytest.fixture
def intel() -> KernelTree:
    return intel_active()


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
