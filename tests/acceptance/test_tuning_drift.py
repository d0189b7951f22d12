"""What the gate of tuned hosts is worth: drift of ten kinds, each caught in its trial, and no false alarm."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.results import trials
from tests.acceptance.test_faults import entries, only_run
from tests.acceptance.test_tuning import Bed, bed

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["bed"]
pytestmark = [pytest.mark.ansible, pytest.mark.slow]
QUIET_BLOCKS = 100  # of two trials
CPUFREQ = "sys/devices/system/cpu/cpufreq"
WATCHED = """
knobs:
  governor: performance
  boost: off
  max_freq: base
  min_freq: base
  wakeup_latency: 1
  irqbalance: masked
  irq_affinity: housekeeping
  workqueue_cpus: housekeeping
  read_ahead: 64
  port_range: 1024 65535
  swappiness: 7
  dirty_bytes: 1073741824
"""
# It is gone when its file is closed; the kernel may take its time.
KILL = """holder=$(sed 's/.*"pid": *\\([0-9]*\\).*/\\1/' {state}/hold.json); kill -KILL $holder
while grep -q ') [^ZX] ' /proc/$holder/stat 2>/dev/null; do sleep 0.01; done"""
# The knob, and what somebody does to the machine while a trial runs.
PLANTED = (
    ("swappiness", "echo 33 > {root}/proc/sys/vm/swappiness"),  # a number
    (
        "governor",
        f"echo powersave > {{root}}/{CPUFREQ}/policy3/scaling_governor",
    ),  # a word, in one place of 8
    ("boost", "echo 0 > {root}/sys/devices/system/cpu/intel_pstate/no_turbo"),  # a switch
    ("irq_affinity", "echo 0-7 > {root}/proc/irq/25/smp_affinity_list"),  # a list of CPUs
    ("workqueue_cpus", "echo ff > {root}/sys/devices/virtual/workqueue/cpumask"),  # a mask of CPUs
    ("port_range", "echo 32768 60999 > {root}/proc/sys/net/ipv4/ip_local_port_range"),  # several numbers
    ("read_ahead", "echo 256 > {root}/sys/block/nvme0n1/queue/read_ahead_kb"),  # of a disk
    ("min_freq", f"echo 800000 > {{root}}/{CPUFREQ}/policy0/scaling_min_freq"),  # a limit that was fixed
    ("dirty_bytes", "echo 0 > {root}/proc/sys/vm/dirty_bytes"),  # as when the ratio is set
    ("wakeup_latency", KILL),  # a request that a process holds
)


def plant(bed: Bed) -> Path:
    """A load that plants one drift in each of the first trials, by their number."""
    script = bed.shell.workspace / "load.sh"
    cases = "".join(
        f"{number}) {act.format(root=bed.root, state=bed.state)} ;;\n"
        for number, (_, act) in enumerate(PLANTED, start=1)
    )
    script.write_text(
        f"cd {bed.shell.workspace}\nnumber=$(($(cat number) + 1))\necho $number > number\n"
        f"case $number in\n{cases}esac\nprintf '{{\"throughput\": 12.5}}\\n'\n"
    )
    script.with_name("number").write_text("0\n")
    return script


def test_drift_of_ten_kinds_is_caught_each_in_the_trial_it_happened_in(bed: Bed) -> None:
    (bed.shell.workspace / "own.yml").write_text(WATCHED)
    script = plant(bed)
    bed.shell.run("run", "mine.yml", f"--set=workload.run=sh {script}", "--set=design.blocks=8", code=4)
    found = [
        [one for one in trial["findings"] if one["gate"] == "knobs"] for trial in trials(only_run(bed.shell))
    ]
    told = [(finding["value"], re.sub(r".*?: (\w+) \(.*", r"\1", finding["reason"])) for (finding,) in found]
    assert told[: len(PLANTED)] == [(1, knob) for knob, _ in PLANTED]
    assert [value for value, _ in told[len(PLANTED) :]] == [0] * (len(told) - len(PLANTED))
    assert len(told) > len(PLANTED)
    bed.is_given_back()


def test_quiet_trials_give_no_false_alarm(bed: Bed) -> None:
    (bed.shell.workspace / "own.yml").write_text("extends: repeatable\n")
    bed.shell.run("run", "mine.yml", f"--set=design.blocks={QUIET_BLOCKS}", limit=900)
    found = [
        one for trial in trials(only_run(bed.shell)) for one in trial["findings"] if one["gate"] == "knobs"
    ]
    assert [one["value"] for one in found] == [0] * (2 * QUIET_BLOCKS)
    assert entries(bed.shell, "knobs.drift", "note") == []
    bed.is_given_back()
