"""A tuned run through the real executable: its host is given back byte for byte, whatever ends the run."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.agent import detached, process
from tests.acceptance.conftest import FAST
from tests.acceptance.test_faults import ended, entries, only_run, wait_for
from tests.machines import intel_active, lay

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from tests.acceptance.conftest import Shell

pytestmark = [pytest.mark.ansible, pytest.mark.slow]

TUNED = FAST + "tuning: {profile: own.yml}\n"
OWN = """
knobs:
  boost: off
  max_freq: base
  min_freq: base
  governor: performance
  epp: performance
  uncore_min_freq: max
  wakeup_latency: 1
  irqbalance: masked
  irq_affinity: housekeeping
  swappiness: 7
  aslr: 2
  dirty_bytes: 1073741824
"""
COUNTS = "tuned: 9 applied, 2 unsupported, 1 already"
LONG = "--set=workload.run=sleep 120"
SWAPPINESS = "proc/sys/vm/swappiness"


class Bed:
    """A shell whose host is a generated machine."""

    def __init__(self, shell: Shell, folder: Path) -> None:
        self.shell = shell
        self.root = folder / "machine"
        self.state = folder / "state"
        lay(intel_active(), self.root)
        shell.environment |= {"BENCHCTL_ROOT": str(self.root), "BENCHCTL_STATE_DIR": str(self.state)}
        (shell.workspace / "mine.yml").write_text(TUNED)
        (shell.workspace / "own.yml").write_text(OWN)
        self.before = self.image()

    def image(self) -> dict[str, bytes]:
        """Every file of the machine; a request that a process holds open is none."""
        paths = (path for path in self.root.rglob("*") if path.is_file() and path.name != "cpu_dma_latency")
        return {str(path.relative_to(self.root)): path.read_bytes() for path in paths}

    def text(self, name: str = SWAPPINESS) -> str:
        return (self.root / name).read_text().strip()

    def supervisor(self) -> int:
        (path,) = self.shell.runtime.rglob("supervisor.json")
        return int(json.loads(path.read_text())["pid"])

    def is_given_back(self) -> None:
        assert self.image() == self.before
        assert not self.state.exists()
        self.shell.nothing_left()

    def gives_back(self, running: subprocess.Popen[str], code: int) -> None:
        """The run ends with that exit code, and says that it gave the host back, which is so."""
        found, output = ended(running)
        assert found == code
        assert "44 places restored" in output
        self.is_given_back()

    def under_way(self) -> subprocess.Popen[str]:
        """A run in its first trial, on a tuned host."""
        process = self.shell.start("run", "mine.yml", LONG)
        wait_for(lambda: entries(self.shell, "trial", "meant"))
        assert self.text() == "7"
        return process


@pytest.fixture
def bed(shell: Shell, tmp_path: Path) -> Iterator[Bed]:
    made = Bed(shell, tmp_path)
    try:
        yield made
    finally:
        for name in ("guard", "hold"):
            detached.stop(made.state, name)
        for path in shell.runtime.rglob("supervisor.json"):
            process.await_gone(process.kill_all([json.loads(path.read_text())["pid"]]))


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    process.await_gone({pid})


def test_a_run_is_tuned_for_as_long_as_it_lasts(bed: Bed) -> None:
    done = bed.shell.run("run", "mine.yml")
    assert COUNTS in done.stderr
    assert "localhost: 44 places restored" in done.stderr
    bed.is_given_back()
    run = only_run(bed.shell)
    kept: dict[str, Any] = json.loads((run / "hosts/localhost/knobs.json").read_text())
    (row,) = (row for row in kept["knobs"] if row["knob"] == "swappiness")
    assert (row["value"], row["outcome"], row["was"]) == ("7", "applied", {"60": 1})
    assert json.loads((run / "plan.json").read_text())["tuning"]["loader"]["values"]["swappiness"] == "7"


def test_a_signal_gives_the_host_back(bed: Bed) -> None:
    running = bed.under_way()
    assert "tuned      localhost (own.yml)\n" in bed.shell.run("status", "latest").stdout
    running.send_signal(signal.SIGINT)
    bed.gives_back(running, 130)


def test_a_killed_agent_s_host_is_given_back_by_the_next(bed: Bed) -> None:
    running = bed.under_way()
    kill(bed.supervisor())
    bed.gives_back(running, 1)


def test_with_controller_and_agent_killed_destroy_gives_the_host_back(bed: Bed) -> None:
    running = bed.under_way()
    kill(running.pid)
    running.communicate(timeout=60)
    kill(bed.supervisor())
    told = bed.shell.run("status", "latest").stdout
    assert "tuned      localhost (own.yml) until `benchctl destroy" in told
    (bed.root / SWAPPINESS).write_text("33\n")
    undone = bed.shell.run("destroy", "latest").stderr
    assert "43 places restored" in undone
    assert "left alone: /proc/sys/vm/swappiness: was 60, somebody set it to 33" in undone
    assert "tuned" not in bed.shell.run("status", "latest").stdout
    image = bed.image()
    assert image == {**bed.before, SWAPPINESS: b"33\n"}


def test_with_controller_and_agent_killed_the_host_gives_itself_back(bed: Bed) -> None:
    running = bed.under_way()
    kill(running.pid)
    running.communicate(timeout=60)
    kill(bed.supervisor())
    record = bed.shell.lease / "lease.json"
    passed = json.loads(record.read_text()) | {"expires_boottime": 0.0}
    record.write_text(json.dumps(passed))
    wait_for(lambda: bed.image() == bed.before)
    wait_for(lambda: not bed.state.exists())
    bed.shell.run("destroy", "latest")
    bed.is_given_back()


def test_a_resume_tunes_again(bed: Bed) -> None:
    running = bed.under_way()
    kill(running.pid)
    running.communicate(timeout=60)
    kill(bed.supervisor())
    (bed.shell.workspace / "own.yml").unlink()  # the plan has all of it
    resumed = bed.shell.start("resume", "latest")
    wait_for(lambda: len(entries(bed.shell, "trial", "meant")) == 2)
    assert bed.text() == "7"
    resumed.send_signal(signal.SIGTERM)
    code, output = ended(resumed)
    assert code == 143
    assert output.count(COUNTS) == 1
    bed.is_given_back()


PLANTED = """
if [ -e planted ]; then :; else
  touch planted
  echo 33 > {root}/proc/sys/vm/swappiness
  echo powersave > {root}/sys/devices/system/cpu/cpufreq/policy3/scaling_governor
  echo 0-7 > {root}/proc/irq/25/smp_affinity_list
fi
printf '{{"throughput": 12.5}}\\n'
"""


def test_a_planted_drift_is_caught_in_its_trial_and_made_up_for(bed: Bed) -> None:
    script = bed.shell.workspace / "load.sh"
    script.write_text(f"cd {bed.shell.workspace}\n{PLANTED.format(root=bed.root)}")
    done = bed.shell.run("run", "mine.yml", f"--set=workload.run=sh {script}", "--set=design.blocks=2")
    assert "trial 1 does not count: one make-up block follows" in done.stderr
    assert "localhost: 44 places restored" in done.stderr
    bed.is_given_back()
    trials = [
        json.loads(path.read_text()) for path in sorted(only_run(bed.shell).glob("trials/*/trial.json"))
    ]
    assert [trial["validity"] == "invalid" for trial in trials] == [True, *[False] * 5]
    (finding,) = (one for one in trials[0]["findings"] if one["gate"] == "knobs")
    assert finding["value"] == 3
    for words in (
        "swappiness (/proc/sys/vm/swappiness: set to 7, found 33)",
        "policy3/scaling_governor: set to performance, found powersave",
        "irq_affinity (/proc/irq/25/smp_affinity_list: set to 0,4, found 0-7)",
    ):
        assert words in finding["reason"]
