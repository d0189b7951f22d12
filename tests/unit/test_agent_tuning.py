"""The engine of tuning on generated machines: outcomes, journal, restore, and what must not be touched."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.agent import tuning
from benchctl.agent.knobs import KNOBS
from benchctl.agent.profiles import PROFILES
from benchctl.agent.refusal import RefusalError
from benchctl.agent.restore import restore
from tests.kernel import CPU, CPUFREQ, KERNEL, VM, KernelTree, PowerCut
from tests.machines import MACHINES, acpi_cpufreq, cloud_vm, intel_active, two_sockets

if TYPE_CHECKING:
    from benchctl.agent.tuning_journal import Journal

HEAD = {"run": "run-1", "profile": "repeatable", "kept": True, "program": "agent.pyz"}
REPEATABLE = PROFILES["repeatable"]
SWAPPINESS = f"{VM}/swappiness"
CASES = Path(__file__).parents[1] / "cases" / "tuning"
REFUSALS = sorted(path.name for path in CASES.iterdir())


def tune(machine: KernelTree, journal: Journal, values: dict[str, str], **more: Any) -> dict[str, Any]:
    """Tune; the rows of the reply by knob."""
    reply = tuning.tune(machine, journal, values, {**HEAD, **more.pop("head", {})}, **more)
    return {row["knob"]: row for row in reply["knobs"]}


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("profile", ["repeatable", "peak"])
def test_a_profile_is_set_verified_and_given_back_byte_for_byte(
    name: str, profile: str, journal: Journal
) -> None:
    machine = MACHINES[name]()
    before = machine.image()
    rows = tune(machine, journal, PROFILES[profile])
    assert {row["outcome"] for row in rows.values()} <= {"applied", "already", "unsupported", "blocked"}
    assert [row for row in rows.values() if row["outcome"] == "blocked" and "EIO" not in row["why"]] == []
    assert machine.image() != before
    told = tuning.drift(machine, journal)
    assert (told["drifts"], told["drifted"]) == (0, [])
    assert told["places"] > 30
    undone = restore(machine, journal)
    assert [undone[key] for key in ("left", "failed", "gone", "problems")] == [[], [], [], []]
    assert machine.image() == before
    assert not journal.path.exists()


@pytest.mark.parametrize("name", MACHINES)
def test_what_changed_is_what_the_journal_says(name: str, journal: Journal) -> None:
    machine = MACHINES[name]()
    before = machine.image()
    tune(machine, journal, REPEATABLE)
    now = machine.image()
    changed = {path for path in {*now, *before} if now.get(path) != before.get(path)}
    (batch,), _ = journal.read()
    known = {path for entry in batch.written for path in (entry.path, *entry.beside)}
    units = {entry.path for entry in batch.written if entry.kind == "unit"}
    files = {f"/run/systemd/units/invocation:{unit}" for unit in units}
    files |= {f"/run/systemd/system/{unit}" for unit in units}
    shadows = {"held", "timers", "cards", "audit", "/proc/self/mountinfo"}  # of what no file stands for
    assert changed - files - shadows <= known
    touched = {entry.path for entry in batch.written if entry.kind == "file"}
    assert touched <= changed


@pytest.mark.parametrize("name", MACHINES)
def test_a_second_tune_changes_nothing(name: str, journal: Journal) -> None:
    machine = MACHINES[name]()
    machine.managed.clear()
    tune(machine, journal, REPEATABLE)
    machine.writes.clear()
    kept = journal.path.read_bytes()
    rows = tune(machine, journal, REPEATABLE)
    assert {row["outcome"] for row in rows.values()} <= {"already", "unsupported"}
    assert machine.writes == []
    assert journal.path.read_bytes() == kept


@pytest.mark.parametrize("profile", ["repeatable", "peak"])
def test_a_program_killed_at_any_write_leaves_what_restores_the_host(profile: str, journal: Journal) -> None:
    machine = intel_active()
    before = machine.image()
    tune(machine, journal, PROFILES[profile])
    total = len(machine.writes)
    restore(machine, journal)
    for limit in range(total):
        machine.limit = limit
        with pytest.raises(PowerCut):
            tune(machine, journal, PROFILES[profile])
        machine.limit = -1
        undone = restore(machine, journal)
        assert (undone["left"], undone["failed"]) == ([], []), limit
        assert machine.image() == before, limit


def test_a_restore_that_is_killed_is_done_again(intel: KernelTree, journal: Journal) -> None:
    before = intel.image()
    tune(intel, journal, REPEATABLE)
    for limit in (0, 1, 5, 20):
        intel.limit = limit
        with pytest.raises(PowerCut):
            restore(intel, journal)
        intel.limit = -1
    assert restore(intel, journal)["failed"] == []
    assert intel.image() == before


def test_all_is_in_the_journal_and_synced_before_the_first_write(
    intel: KernelTree, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    intel.limit = 0
    with pytest.raises(PowerCut):
        tune(intel, journal, REPEATABLE)
    (batch,), problems = journal.read()
    assert problems == []
    assert {entry.knob for entry in batch.entries} >= {"governor", "boost", "thp", "irq_affinity"}
    assert str(journal.path) in synced
    assert str(journal.folder) in synced


def test_the_journal_knows_whose_it_is(intel: KernelTree, journal: Journal) -> None:
    tune(intel, journal, {"swappiness": "1"})
    (batch,), _ = journal.read()
    assert batch.head["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert (batch.run, batch.head["host"], batch.head["profile"]) == ("run-1", "0" * 31 + "1", "repeatable")
    (entry,) = batch.entries
    assert (entry.path, entry.old, entry.new) == (SWAPPINESS, "60\n", "1")


# --- outcomes


def test_a_write_that_does_nothing_is_never_ok(intel: KernelTree, journal: Journal) -> None:
    intel.ignored = {f"{CPU}/intel_pstate/no_turbo", f"{CPUFREQ}/policy3/scaling_governor"}
    rows = tune(intel, journal, {"boost": "off", "governor": "performance"})
    assert rows["boost"]["outcome"] == "blocked"
    assert "nothing changed: it still reads 0" in rows["boost"]["why"]
    assert rows["governor"]["outcome"] == "blocked"
    assert rows["governor"]["counts"] == {"applied": 7, "blocked": 1}
    assert rows["governor"]["why"].startswith("1 of 8: ")


@pytest.mark.parametrize(("kind", "name"), [("read_only", "EROFS"), ("forbidden", "EACCES")])
def test_what_may_not_be_written_is_blocked(
    kind: str, name: str, intel: KernelTree, journal: Journal
) -> None:
    getattr(intel, kind).add(SWAPPINESS)
    row = tune(intel, journal, {"swappiness": "1"})["swappiness"]
    assert row["outcome"] == "blocked"
    assert name in row["why"]
    assert tuning.drift(intel, journal)["drifts"] == 0


def test_interrupts_of_a_driver_are_counted(journal: Journal) -> None:
    machine = two_sockets()
    row = tune(machine, journal, REPEATABLE)["irq_affinity"]
    assert row["counts"] == {"blocked": 32, "applied": 8}
    assert row["why"] == "32 of 40: EIO: its driver manages this interrupt"
    assert machine.text("/proc/irq/24/smp_affinity_list") == "0-1,32-33"


def test_what_is_not_there_is_unsupported(journal: Journal) -> None:
    rows = tune(cloud_vm(), journal, REPEATABLE)
    for name in ("governor", "boost", "min_freq", "epp", "epb", "uncore_min_freq"):
        assert (rows[name]["outcome"], rows[name]["why"]) == ("unsupported", "this host has none")


def test_a_word_that_a_file_does_not_offer_is_unsupported(intel: KernelTree, journal: Journal) -> None:
    row = tune(intel, journal, {"io_scheduler": "kyber"})["io_scheduler"]
    assert (row["outcome"], row["counts"]) == ("unsupported", {"unsupported": 2})
    assert "it offers mq-deadline, none" in row["why"]


def test_what_the_kernel_refuses_has_failed_with_its_error(intel: KernelTree, journal: Journal) -> None:
    row = tune(intel, journal, {"governor": "ondemand"})["governor"]
    assert row["outcome"] == "failed"
    assert row["why"] == "EINVAL: Invalid argument"
    assert restore(intel, journal)["restored"] == 0


def test_a_value_that_the_kernel_rounds_has_failed(intel: KernelTree, journal: Journal) -> None:
    intel.rounded["/proc/sys/vm/nr_hugepages"] = "7"
    row = tune(intel, journal, {"huge_pages": "100"})["huge_pages"]
    intel.rounded.clear()
    assert (row["outcome"], row["why"]) == ("failed", "it reads back as 7")
    assert restore(intel, journal)["restored"] == 1
    assert intel.text("/proc/sys/vm/nr_hugepages") == "0"


def test_containers_leave_what_they_share(intel: KernelTree, journal: Journal) -> None:
    intel.put({"/run/.containerenv": ""})
    values = {"swappiness": "1", "syn_backlog": "4096", "aslr": "2"}
    rows = tune(intel, journal, values)
    assert rows["swappiness"]["outcome"] == "blocked"
    assert "shared with the machine" in rows["swappiness"]["why"]
    assert (rows["syn_backlog"]["outcome"], rows["aslr"]["outcome"]) == ("applied", "already")
    assert tune(intel, journal, values, shared=True)["swappiness"]["outcome"] == "applied"


def test_a_cpu_that_goes_away_meanwhile_is_told(intel: KernelTree, journal: Journal) -> None:
    intel.vanishing.add(f"{CPUFREQ}/policy5/scaling_governor")
    row = tune(intel, journal, {"governor": "performance"})["governor"]
    assert (row["outcome"], row["why"]) == ("applied", "1 of 8: it went away")
    undone = restore(intel, journal)
    assert (undone["restored"], undone["failed"]) == (
        14,
        [],
    )  # the preferences too
    assert [row["path"] for row in undone["gone"]] == [f"{CPUFREQ}/policy5/scaling_governor"]


def test_the_least_of_all_frequencies_may_be_above_the_wanted_highest(
    intel: KernelTree, journal: Journal
) -> None:
    """A naive order fails: the highest cannot go below the lowest, nor the lowest above the highest."""
    for cpu in range(8):
        intel.put({f"{CPUFREQ}/policy{cpu}/scaling_min_freq": "3800000"})
    before = intel.image()
    rows = tune(intel, journal, {"max_freq": "base", "min_freq": "base"})
    assert {row["outcome"] for row in rows.values()} == {"applied"}
    restore(intel, journal)
    assert intel.image() == before


def test_boost_has_one_word_for_all_drivers(journal: Journal) -> None:
    machine = acpi_cpufreq()
    rows = tune(machine, journal, {"boost": "off", "max_freq": "base"})
    assert rows["boost"]["outcome"] == "applied"
    assert machine.text(f"{CPUFREQ}/boost") == "0"
    assert machine.text(f"{CPUFREQ}/policy0/scaling_max_freq") == "2400000"


def test_a_dirty_limit_in_bytes_comes_back_as_the_ratio_it_was(intel: KernelTree, journal: Journal) -> None:
    tune(intel, journal, {"dirty_bytes": "1073741824"})
    assert (intel.text(f"{VM}/dirty_ratio"), intel.text(f"{VM}/dirty_bytes")) == ("0", "1073741824")
    restore(intel, journal)
    assert (intel.text(f"{VM}/dirty_ratio"), intel.text(f"{VM}/dirty_bytes")) == ("20", "0")


def test_a_schedulers_own_queue_comes_back_with_it(intel: KernelTree, journal: Journal) -> None:
    tune(intel, journal, {"io_scheduler": "device"})
    assert intel.text("/sys/block/nvme0n1/queue/nr_requests") == "1023"
    assert intel.text("/sys/block/loop0/queue/scheduler") == "[none]"
    restore(intel, journal)
    assert intel.text("/sys/block/nvme0n1/queue/nr_requests") == "777"


def test_threads_of_a_core_and_their_settings_come_back(intel: KernelTree, journal: Journal) -> None:
    intel.write(f"{CPUFREQ}/policy7/scaling_governor", "performance")
    before = intel.image()
    rows = tune(intel, journal, {"smt": "off", "governor": "performance", "boost": "off"})
    assert rows["smt"]["outcome"] == "applied"
    assert not intel.has(f"{CPUFREQ}/policy7")
    assert restore(intel, journal)["failed"] == []
    assert intel.image() == before


def test_another_mode_of_the_driver_and_all_that_begins_anew_with_it_come_back(
    intel: KernelTree, journal: Journal
) -> None:
    before = intel.image()
    rows = tune(intel, journal, {"pstate_mode": "passive", **REPEATABLE})
    assert rows["pstate_mode"]["outcome"] == "applied"
    assert restore(intel, journal)["failed"] == []
    now = intel.image()
    assert {path for path in now if now[path] != before[path]} == set()


# --- restore


def test_what_somebody_else_changed_is_left_told_and_can_be_forced(
    intel: KernelTree, journal: Journal
) -> None:
    before = intel.image()
    tune(intel, journal, {"swappiness": "1", "stat_interval": "10"})
    intel.write(SWAPPINESS, "33")
    undone = restore(intel, journal)
    assert undone["restored"] == 1
    (left,) = undone["left"]
    assert left == {"knob": "swappiness", "path": SWAPPINESS, "was": "60", "found": "33"}
    assert intel.text(SWAPPINESS) == "33"
    assert restore(intel, journal)["left"] == [left]
    assert restore(intel, journal, force=True)["restored"] == 1
    assert intel.image() == before
    assert not journal.path.exists()


def test_what_was_set_first_is_restored_last(intel: KernelTree, journal: Journal) -> None:
    tune(intel, journal, {"irqbalance": "masked", "governor": "performance", "swappiness": "1"})
    written = [path for path, _ in intel.writes]
    assert written == ["irqbalance.service", *intel.find(f"{CPUFREQ}/policy*/scaling_governor"), SWAPPINESS]
    intel.writes.clear()
    restore(intel, journal)
    assert [path for path, _ in intel.writes if path in written] == written[::-1]


def test_acts_of_several_runs_are_given_back_each_by_itself(intel: KernelTree, journal: Journal) -> None:
    before = intel.image()
    tune(intel, journal, {"swappiness": "10"}, head={"run": "by-hand"})
    between = intel.image()
    tune(intel, journal, {"swappiness": "1", "ksm": "1"}, head={"run": "run-2", "kept": False})
    restore(intel, journal, lambda batch: batch.run == "run-2")
    assert intel.image() == between
    assert tuning.drift(intel, journal)["drifts"] == 0
    restore(intel, journal)
    assert intel.image() == before


def test_acts_of_another_boot_ended_with_it(intel: KernelTree, journal: Journal) -> None:
    tune(intel, journal, {"swappiness": "1"})
    text = journal.path.read_text()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    journal.path.write_text(text.replace(boot, "another"))
    assert tuning.drift(intel, journal)["places"] == 0
    undone = restore(intel, journal)
    assert undone["restored"] == 0
    assert "ended with their boot" in undone["problems"][0]
    assert intel.text(SWAPPINESS) == "1"
    assert not journal.path.exists()


def test_a_journal_of_another_host_is_refused(intel: KernelTree, journal: Journal) -> None:
    tune(intel, journal, {"swappiness": "1"})
    intel.put({"/etc/machine-id": "f" * 32})
    with pytest.raises(RefusalError, match="of another host"):
        restore(intel, journal)
    assert intel.text(SWAPPINESS) == "1"


def test_a_journal_that_was_cut_off_restores_what_it_has(intel: KernelTree, journal: Journal) -> None:
    before = intel.image()
    tune(intel, journal, {"swappiness": "1", "stat_interval": "10"})
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(b"".join(lines[:-1]) + lines[-1][:10])
    undone = restore(intel, journal)
    assert undone["restored"] == 2
    assert "a crash cut it off" in undone["problems"][0]
    assert intel.image() == before


def test_a_damaged_journal_restores_the_rest_and_stops_the_next_tune(
    intel: KernelTree, journal: Journal
) -> None:
    tune(intel, journal, {"swappiness": "1", "stat_interval": "10"})
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(b"".join([lines[0], b"\x00\x00\n", *lines[2:]]))
    with pytest.raises(RefusalError, match=r"tuning\.jsonl:2: not a line of the journal; restore this host"):
        tune(intel, journal, {"ksm": "1"})
    undone = restore(intel, journal)
    assert undone["restored"] == 1
    assert undone["problems"]
    tune(intel, journal, {"ksm": "1"})


def test_without_room_for_the_journal_nothing_is_changed(
    intel: KernelTree, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    before = intel.image()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RefusalError, match="No space left on device; nothing was changed") as found:
        tune(intel, journal, REPEATABLE)
    assert found.value.kind == "unfit"
    assert intel.image() == before
    assert not journal.path.exists()


def test_restoring_without_a_journal_makes_nothing(intel: KernelTree, journal: Journal) -> None:
    assert restore(intel, journal)["restored"] == 0
    assert not journal.folder.exists()


def test_a_restore_that_fails_keeps_what_it_could_not(intel: KernelTree, journal: Journal) -> None:
    tune(intel, journal, {"swappiness": "1", "stat_interval": "10"})
    intel.forbidden.add(SWAPPINESS)
    undone = restore(intel, journal)
    assert undone["restored"] == 1
    assert [(row["knob"], row["error"]) for row in undone["failed"]] == [("swappiness", "Permission denied")]
    intel.forbidden.clear()
    assert restore(intel, journal)["restored"] == 1
    assert intel.text(SWAPPINESS) == "60"


# --- drift


def test_each_kind_of_drift_is_named(intel: KernelTree, journal: Journal) -> None:
    tune(intel, journal, REPEATABLE)
    planted = {
        f"{CPUFREQ}/policy2/scaling_governor": "powersave",
        f"{CPU}/intel_pstate/no_turbo": "0",
        SWAPPINESS: "60",
        "/sys/kernel/mm/transparent_hugepage/enabled": "always",
        "/proc/irq/25/smp_affinity_list": "3",
        "/sys/block/nvme0n1/queue/scheduler": "mq-deadline",
        "/proc/sys/net/ipv4/tcp_no_metrics_save": "0",
        f"{KERNEL}/numa_balancing": "1",
    }
    for path, text in planted.items():
        intel.write(path, text)
    intel.set_units(["irqbalance.service"], "active")
    intel.hold("free")
    told = tuning.drift(intel, journal)
    assert set(planted) | {"irqbalance.service", "/dev/cpu_dma_latency"} <= {
        row["path"] for row in told["drifted"]
    }
    assert {row["knob"]: row["found"] for row in told["drifted"]}["swappiness"] == "60"


def test_a_place_that_vanished_has_drifted(intel: KernelTree, journal: Journal) -> None:
    tune(intel, journal, {"governor": "performance"})
    intel.remove(f"{CPUFREQ}/policy1/scaling_governor")
    (row,) = tuning.drift(intel, journal)["drifted"]
    assert (row["found"], row["path"]) == (None, f"{CPUFREQ}/policy1/scaling_governor")


# --- snapshot, values


def test_a_snapshot_reads_everything_and_writes_nothing(intel: KernelTree) -> None:
    before = intel.image()
    found = {row["knob"]: row for row in tuning.snapshot(intel)["knobs"]}
    assert set(found) == set(KNOBS)
    assert found["governor"] == {"knob": "governor", "places": 8, "values": {"powersave": 8}}
    assert found["thp"]["values"] == {"always": 1}
    assert found["timers"]["values"] == {"inactive": 2, "active": 1}
    assert found["wakeup_latency"]["values"] == {"free": 1}
    assert len(json.dumps(found)) < 32_000
    assert intel.image() == before
    with pytest.raises(RefusalError, match="no knob colour"):
        tuning.snapshot(intel, ["colour"])


@pytest.mark.parametrize("name", REFUSALS)
def test_values_that_cannot_be_are_refused_with_the_reason(
    name: str, intel: KernelTree, journal: Journal
) -> None:
    case = json.loads((CASES / name).read_text())
    before = intel.image()
    with pytest.raises(RefusalError) as found:
        tune(intel, journal, case["values"])
    assert str(found.value) == case["refused"]
    assert intel.image() == before
    assert not journal.folder.exists()
