"""The kernel's command line on generated machines: in force after a reboot, and gone after another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from benchctl.agent import process, tuning
from benchctl.agent.boot_loader import FILE
from benchctl.agent.profiles import problems
from benchctl.agent.restore import restore
from benchctl.agent.tuning_journal import Journal
from tests.kernel import CPU, KernelTree, PowerCut
from tests.machines import MACHINES

if TYPE_CHECKING:
    from pathlib import Path

HEAD = {"run": "run-1", "profile": "own", "kept": True, "program": "agent.pyz"}
VALUES = {"cpu_sets": "plan", "min_freq": "base", "boot_isolation": "plan"}
GRUB = "/boot/grub/grub.cfg"
WORDS = "nohz_full=1-3,5-7 rcu_nocbs=1-3,5-7 skew_tick=1"


def made(name: str = "intel_active") -> KernelTree:
    machine = MACHINES[name]()
    machine.roles = ("dbms",)
    return machine


def tune(machine: KernelTree, journal: Journal, value: str = "plan") -> dict[str, Any]:
    reply = tuning.tune(machine, journal, {**VALUES, "boot_isolation": value}, HEAD)
    return {"reboot": reply["reboot"], **{row["knob"]: row for row in reply["knobs"]}}


def boot_again(machine: KernelTree, journal: Journal) -> KernelTree:
    """The same disk after a reboot: what is set at run time is as it was, the journal is of another boot."""
    again = made()
    again.put({path: text for path, text in machine.files.items() if path.startswith(("/etc/", "/boot/"))})
    again.reboot()
    if journal.path.exists():
        text = journal.path.read_text()
        journal.path.write_text(text.replace(process.boot_id(), "another"))
    return again


@pytest.mark.parametrize("name", MACHINES)
def test_it_is_blocked_until_a_reboot_and_undone_without_one(name: str, journal: Journal) -> None:
    machine = made(name)
    before = machine.image()
    found = tune(machine, journal)
    assert found["reboot"]
    row = found["boot_isolation"]
    assert (row["outcome"], row["why"]) == ("blocked", "it is in force after a reboot")
    assert "nohz_full=" in machine.text(GRUB)
    assert tuning.drift(machine, journal)["drifts"] == 0
    undone = restore(machine, journal)
    assert (undone["failed"], undone["left"], undone["reboot"]) == ([], [], False)
    assert machine.image() == before
    assert not machine.has(FILE)


def test_after_the_reboot_it_is_in_force_and_watched(journal: Journal) -> None:
    machine = made()
    tune(machine, journal)
    machine = boot_again(machine, journal)
    found = tune(machine, journal)
    assert (found["reboot"], found["boot_isolation"]["outcome"]) == (False, "already")
    assert found["cpu_sets"]["outcome"] == "applied"
    assert set(WORDS.split()) <= set(machine.text("/proc/cmdline").split())
    assert tuning.drift(machine, journal)["drifts"] == 0
    machine.remove(FILE)
    assert [row["path"] for row in tuning.drift(machine, journal)["drifted"]] == [FILE]


def test_restore_in_a_later_boot_removes_it_and_says_that_a_reboot_is_due(journal: Journal) -> None:
    clean = made().image()
    machine = made()
    tune(machine, journal)
    machine = boot_again(machine, journal)
    tune(machine, journal)
    undone = restore(machine, journal)
    assert (undone["failed"], undone["left"], undone["reboot"]) == ([], [], True)
    assert not machine.has(FILE)
    assert machine.text(GRUB) == "linux /vmlinuz root=LABEL=ROOT ro quiet"
    assert not journal.path.exists()
    assert boot_again(machine, journal).image() == clean


def test_without_a_second_tune_restore_finds_it_too(journal: Journal) -> None:
    machine = made()
    tune(machine, journal)
    machine = boot_again(machine, journal)
    undone = restore(machine, journal)
    assert (undone["restored"], undone["reboot"]) == (1, True)
    assert not machine.has(FILE)


def test_isolcpus_is_asked_for_by_name(journal: Journal) -> None:
    machine = made()
    tune(machine, journal, "isolcpus")
    assert "isolcpus=1-3,5-7" in machine.text(GRUB)
    machine = boot_again(machine, journal)
    assert tune(machine, journal, "isolcpus")["boot_isolation"]["outcome"] == "already"
    assert machine.text(f"{CPU}/isolated") == "1-3,5-7"


def test_each_knob_of_the_boot_loader_has_a_drop_in_of_its_own(journal: Journal) -> None:
    machine = made()
    values = {**VALUES, "mitigations": "off"}
    rows = tuning.tune(machine, journal, values, HEAD)
    assert rows["reboot"]
    assert machine.text(GRUB).endswith(f"mitigations=off {WORDS}")
    machine = boot_again(machine, journal)
    outcomes = {row["knob"]: row["outcome"] for row in tuning.tune(machine, journal, values, HEAD)["knobs"]}
    assert (outcomes["mitigations"], outcomes["boot_isolation"]) == ("already", "already")
    assert restore(machine, journal)["reboot"]
    assert not machine.find("/etc/default/grub.d/benchctl*.cfg")


def test_a_kernel_that_ignores_a_word_is_told(journal: Journal) -> None:
    machine = made()
    tune(machine, journal)
    machine = boot_again(machine, journal)
    machine.put({f"{CPU}/nohz_full": "(null)"})
    found = tune(machine, journal)
    assert found["boot_isolation"]["outcome"] == "blocked"
    assert "the kernel ignores nohz_full" in found["boot_isolation"]["why"]
    assert not found["reboot"]
    assert restore(machine, journal)["failed"] == []


@pytest.mark.parametrize("acts", ["tune", "restore"])
def test_after_a_power_cut_the_boot_loader_is_as_it_was(acts: str, tmp_path: Path) -> None:
    for limit in range(60):
        machine, journal = made(), Journal(tmp_path / str(limit))
        before = machine.image()
        if acts == "restore":
            tune(machine, journal)
        machine.limit = limit
        try:
            tune(machine, journal) if acts == "tune" else restore(machine, journal)
        except PowerCut:
            machine.limit = -1
        else:
            assert limit > 10
            return
        undone = restore(machine, journal)
        assert (undone["failed"], undone["left"]) == ([], []), limit
        now = machine.image()
        assert {path for path in now if now[path] != before.get(path)} == set(), limit


def test_a_boot_loader_that_fails_leaves_what_restore_undoes(journal: Journal) -> None:
    machine = made()
    before = machine.image()
    machine.forbidden.add("/usr/sbin/update-grub")
    found = tune(machine, journal)
    assert found["boot_isolation"]["outcome"] == "failed"
    assert "cannot find a device" in found["boot_isolation"]["why"]
    machine.forbidden.clear()
    restore(machine, journal)
    assert machine.image() == before


def test_another_boot_loader_is_left_alone(journal: Journal) -> None:
    machine = made()
    machine.remove("/usr/sbin/update-grub")
    row = tune(machine, journal)["boot_isolation"]
    assert row["outcome"] == "unsupported"
    assert "not GRUB as Debian has it" in row["why"]
    assert not machine.has(FILE)


def test_it_wants_pinned_things_and_a_fixed_frequency() -> None:
    told = [one.text for one in problems({"boot_isolation": "plan"})]
    assert any("conflicts with cpu_sets left alone" in text for text in told)
    assert any("conflicts with min_freq left alone: with nohz_full intel_pstate" in text for text in told)
    assert problems(VALUES) == []
