"""Where what a run starts may run: by the plan in the journal, by its cgroup, by its affinity."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

from benchctl.agent import pinning, process
from benchctl.agent.cgroup import MEASURED, Cgroups
from benchctl.agent.process import Reaper, Setting
from benchctl.agent.sampler import Sampler
from benchctl.agent.tuning_journal import Entry, Journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN = f"pinning-{os.getpid()}"
HERE = min(os.sched_getaffinity(0))  # a CPU that this process may use
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    monkeypatch.setenv("BENCHCTL_STATE_DIR", str(tmp_path))
    return Journal(tmp_path)


@pytest.fixture
def reaper(tmp_path: Path) -> Iterator[Reaper]:
    made = Reaper(RUN)
    made.cgroups = Cgroups(run=RUN, measured=tmp_path / "measured")
    yield made
    process.await_gone(process.kill_all(process.marked(RUN)))


def plan(journal: Journal, *, knob: str = "cpu_sets", **cpus: str) -> None:
    entry = Entry(knob, "cpuset", "text", str(MEASURED), "none", "1-3", {})
    journal.append({"run": "r", "boot_id": process.boot_id(), "cpus": {"": "1-3", **cpus}}, [entry])


def test_the_last_plan_in_the_journal_is_in_force(journal: Journal) -> None:
    assert pinning.in_force("dbms") is None
    plan(journal, dbms="1-2", loader="3")
    assert (pinning.in_force("dbms"), pinning.in_force("loader")) == ("1-2", "3")
    plan(journal, dbms="1-3")
    assert (pinning.in_force("dbms"), pinning.in_force("loader")) == ("1-3", "1-3")
    journal.append({"run": "r", "boot_id": process.boot_id()}, [])  # another act, without a plan
    assert pinning.in_force("dbms") == "1-3"
    journal.replace([])
    assert pinning.in_force("dbms") is None


def test_a_plan_that_did_not_come_into_force_pins_nothing(journal: Journal) -> None:
    plan(journal, dbms="1-2")
    journal.conclude([], {str(MEASURED): "none"})
    assert pinning.in_force("dbms") is None


def test_a_plan_of_another_boot_pins_nothing(journal: Journal) -> None:
    plan(journal, dbms="1-2")
    text = journal.path.read_text()
    journal.path.write_text(text.replace(process.boot_id(), "another"))
    assert pinning.in_force("dbms") is None


def test_a_descriptors_own_cpus_win(journal: Journal) -> None:
    plan(journal, dbms="1-2")
    assert pinning.placed(Setting({}, "/", cpus="3"), "dbms").cpus == "3"
    assert pinning.placed(Setting({}, "/"), "dbms").cpus == "1-2"


def test_without_a_cgroup_the_affinity_is_set_for_all_threads(tmp_path: Path, reaper: Reaper) -> None:
    before = os.sched_getaffinity(0)
    child = reaper.spawn(SLEEP, "db", Setting({}, str(tmp_path), cpus=str(HERE)), 1, 2)
    assert reaper.placed == {"db": str(HERE)}
    assert pinning.sitting([child.pid]) == {str(HERE): 1}
    assert os.sched_getaffinity(0) == before


def test_in_the_measured_part_an_owner_has_a_cgroup_on_its_cpus(tmp_path: Path) -> None:
    """A folder stands for the kernel's: this machine has no version 2 of cgroups to write in."""
    measured = tmp_path / "measured"
    found = Cgroups(run=RUN, measured=measured)
    assert not found.confine("db", "0")
    folder = found.place("db")
    folder.mkdir(parents=True)
    (folder / "cpuset.cpus.effective").write_text("1-2\n")
    (folder / "cgroup.procs").write_text("7\n")
    assert found.confine("db", "1-2")
    assert (folder / "cpuset.cpus").read_text() == "1-2"
    assert (found.home("db"), found.members("db"), found.home("other")) == (folder, [7], None)
    assert Cgroups(run="direct", measured=measured).home("db") is None


def test_cpus_that_the_measured_part_does_not_have_are_not_taken_for_had(tmp_path: Path) -> None:
    found = Cgroups(run=RUN, measured=tmp_path / "measured")
    folder = found.place("db")
    folder.mkdir(parents=True)
    (folder / "cpuset.cpus.effective").write_text("1-3\n")  # the parent's: the kernel gives what it has
    assert not found.confine("db", "0")


def test_the_end_of_a_run_kills_what_it_has_in_the_measured_part_and_no_more(tmp_path: Path) -> None:
    """A folder stands for the kernel's, as above: a cgroup is killed by its file."""
    mine, theirs = (Cgroups(run=run, measured=tmp_path) for run in (RUN, "direct"))
    killed = [found.place("db") / "cgroup.kill" for found in (mine, theirs)]
    for path in killed:
        path.parent.mkdir()
        path.write_text("")
    mine.end()
    assert [path.read_text() for path in killed] == ["1", ""]


def test_samples_say_at_the_edges_where_threads_may_run(tmp_path: Path, reaper: Reaper) -> None:
    child = reaper.spawn(SLEEP, "db", Setting({}, str(tmp_path), cpus=str(HERE)), 1, 2)
    path = tmp_path / "host.samples"
    sampler = Sampler(path, child.pid, placed=lambda name: "0-1" if name == "service" else None)
    for edge in (True, False, True):
        sampler.take(None, edge=edge)
    sampler.close()
    _, first, between, last = (json.loads(line) for line in path.read_text().splitlines())
    assert first["service"]["cpus"] == {"wanted": "0-1", "threads": {str(HERE): 1}}
    assert last["service"]["cpus"] == first["service"]["cpus"]
    assert "cpus" not in between["service"]
    assert "cpus" not in first["task"]


def test_a_process_that_is_gone_sits_nowhere() -> None:
    assert pinning.sitting([2**22 + 1]) == {}
