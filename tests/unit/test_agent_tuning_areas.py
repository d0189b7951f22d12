"""Tuning area by area, as the roles do it, and saying beforehand what would change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchctl.agent import tuning
from benchctl.agent.knobs import AREAS, KNOBS
from benchctl.agent.profiles import PROFILES
from benchctl.agent.refusal import RefusalError
from benchctl.agent.restore import restore
from benchctl.agent.tuning_journal import Journal
from tests.machines import MACHINES, two_sockets

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kernel import KernelTree

SWAPPINESS = "/proc/sys/vm/swappiness"
HEAD = {"run": "direct", "profile": "repeatable", "kept": True, "program": ""}
ORDER = ("quiet", "cpu", "isolation", "memory", "disk", "network")  # of playbooks/tune.yml


def tune(machine: KernelTree, journal: Journal, area: str = "") -> dict[str, str]:
    reply = tuning.tune(machine, journal, PROFILES["repeatable"], HEAD, area=area)
    return {row["knob"]: row["outcome"] for row in reply["knobs"]}


@pytest.mark.parametrize("name", MACHINES)
def test_area_by_area_gives_what_one_act_gives(name: str, tmp_path: Path) -> None:
    machine, other = MACHINES[name](), MACHINES[name]()
    before = machine.image()
    outcomes: dict[str, str] = {}
    journals = Journal(tmp_path / "areas"), Journal(tmp_path / "one")
    for area in ORDER:
        outcomes |= tune(machine, journals[0], area)
    assert outcomes == tune(other, journals[1])
    assert machine.image() == other.image()
    machine.writes.clear()
    for area in ORDER:
        assert "applied" not in tune(machine, journals[0], area).values()
    assert restore(machine, journals[0])["failed"] == []
    assert machine.image() == before
    assert not journals[0].path.exists()


def test_an_area_is_compared_and_given_back_alone(journal: Journal) -> None:
    machine = two_sockets()
    before = machine.image()
    tune(machine, journal)
    machine.write(SWAPPINESS, "33")
    drifts = {area: tuning.drift(machine, journal, area)["drifts"] for area in AREAS}
    assert drifts == {**dict.fromkeys(AREAS, 0), "memory": 1}
    for area in ORDER:
        told = restore(machine, journal, area=area, force=True)
        assert {KNOBS[row["knob"]].area for row in told["knobs"]} <= {area}
        assert told["failed"] == []
    assert machine.image() == before
    assert not journal.path.exists()


def test_what_is_left_of_an_area_stays_in_the_journal_with_the_others(journal: Journal) -> None:
    machine = two_sockets()
    before = machine.image()
    tune(machine, journal)
    machine.write(SWAPPINESS, "33")
    assert [row["path"] for row in restore(machine, journal, area="memory")["left"]] == [SWAPPINESS]
    restore(machine, journal, force=True)
    assert machine.image() == before


def test_a_snapshot_of_an_area_has_its_knobs_with_those_that_are_only_recorded() -> None:
    named = {row["knob"] for row in tuning.snapshot(two_sockets(), area="state")["knobs"]}
    assert named == {name for name, knob in KNOBS.items() if knob.area == "state"}


def test_values_of_all_areas_are_checked_whichever_is_set(journal: Journal) -> None:
    values = {name: value for name, value in PROFILES["repeatable"].items() if name != "irqbalance"}
    assert KNOBS["irqbalance"].area != KNOBS["irq_affinity"].area
    with pytest.raises(RefusalError, match="irqbalance left alone"):
        tuning.tune(two_sockets(), journal, values, HEAD, area="memory")
    assert not journal.path.exists()


def test_a_preview_says_what_tune_will_do_and_nothing_once_it_is_done(journal: Journal) -> None:
    """Also where places did not take what they were set to: two sockets have managed interrupts."""
    machine = two_sockets()
    before = machine.image()
    rows = tuning.preview(machine, PROFILES["repeatable"], journal)["knobs"]
    assert machine.image() == before
    will = {row["knob"] for row in rows if row["differs"]}
    reply = tuning.tune(machine, journal, PROFILES["repeatable"], HEAD)
    assert {row["knob"] for row in reply["knobs"] if row["counts"].get("applied")} == will
    assert {row["knob"] for row in reply["knobs"] if row["outcome"] == "blocked"} == {"irq_affinity"}
    again = tuning.preview(machine, PROFILES["repeatable"], journal)["knobs"]
    assert [row["knob"] for row in again if row["differs"]] == []
    machine.write(SWAPPINESS, "33")
    again = tuning.preview(machine, PROFILES["repeatable"], journal)["knobs"]
    assert [row["knob"] for row in again if row["differs"]] == ["swappiness"]


def test_a_preview_in_a_container_leaves_alone_what_is_shared(journal: Journal) -> None:
    machine = two_sockets()
    machine.put({"/run/.containerenv": ""})
    for shared in (False, True):
        rows = tuning.preview(machine, PROFILES["repeatable"], journal, shared=shared)["knobs"]
        differs = {row["knob"] for row in rows if row["differs"]}
        assert ("swappiness" in differs) is shared
        assert "no_metrics_save" in differs  # of its own network


def test_the_preview_of_a_restore_writes_nothing_and_tells_what_it_will_do(journal: Journal) -> None:
    machine = two_sockets()
    tune(machine, journal)
    tuned, kept = machine.image(), journal.path.read_bytes()
    told = restore(machine, journal, preview=True)
    assert machine.image() == tuned
    assert journal.path.read_bytes() == kept
    row = next(row for row in told["knobs"] if row["knob"] == "governor")
    assert row == {"knob": "governor", "found": {"performance": 64}, "was": {"powersave": 64}}
    done = restore(machine, journal)
    assert (done["restored"], done["knobs"]) == (told["restored"], told["knobs"])
