"""`hosts noise` sees what is planted on one CPU, there and not as much on another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.agent import process
from benchctl.benchmark.connection import connect
from benchctl.errors import AgentError
from benchctl.model.host import Host
from tests.needs import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchctl.benchmark.connection import AgentConnection

LIMIT = 120.0
TRIES = 6  # whatever else runs here may hide it once
SECONDS = 1.0
# Awake for 200 µs, again and again: gaps of 0.1 to 1 ms, shorter than what a scheduler gives a busy program.
DISTURBER = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
except OSError:
    pass
print(flush=True)
while os.getppid() == int(sys.argv[2]):
    until = time.perf_counter() + 200e-6
    while time.perf_counter() < until:
        pass
    time.sleep(300e-6)
"""


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AgentConnection]:
    for name in ("CACHE", "LEASE_DIR", "STATE_DIR"):
        monkeypatch.setenv(f"BENCHCTL_{name}", str(tmp_path / name.lower()))
    made = connect(Host(name="here", transport="pipe"), f"noise-{os.getpid()}", owner="tests", ttl=60.0)
    try:
        yield made
        made.call("end", timeout=LIMIT)
    finally:
        made.close()


@pytest.fixture
def cpus() -> list[int]:
    found = sorted(os.sched_getaffinity(0))
    need("two-cpus", "a machine with two CPUs", available=len(found) > 1)
    return found[:2]


@pytest.fixture
def disturbed(cpus: list[int]) -> Iterator[int]:
    """A CPU on which a program wakes up two thousand times a second."""
    words = [sys.executable, "-ISc", DISTURBER, str(cpus[1]), str(os.getpid())]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        yield cpus[1]
        program.kill()


def test_a_disturber_is_seen_on_its_cpu(agent: AgentConnection, cpus: list[int], disturbed: int) -> None:
    seen = []
    for _ in range(TRIES):
        told = agent.call("noise", timeout=LIMIT, seconds=SECONDS, cpus=",".join(map(str, cpus)))
        rates = {row["cpu"]: _rate(row) for row in told["cpus"]}
        assert set(rates) == set(cpus)
        seen.append(rates)
        if rates[disturbed] > 2 * rates[cpus[0]]:
            return
    pytest.fail(f"gaps of 0.1 to 1 ms for each second of the loop, by CPU: {seen}")


def test_each_loop_has_its_own_cpu(agent: AgentConnection, cpus: list[int]) -> None:
    caller = threading.Thread(
        target=agent.call,
        args=("noise",),
        kwargs={"timeout": LIMIT, "seconds": 3.0, "cpus": ",".join(map(str, cpus))},
    )
    caller.start()
    until = time.monotonic() + LIMIT
    try:
        while _pinned(agent.hello["pid"]) != {(str(cpu), (cpu,)) for cpu in cpus}:
            assert time.monotonic() < until
            time.sleep(0.01)
    finally:
        caller.join()


def test_all_that_is_told_of_a_cpu_fits_into_a_reply(agent: AgentConnection, cpus: list[int]) -> None:
    told = agent.call("noise", timeout=LIMIT, seconds=0.2)
    rows = {row["cpu"]: row for row in told["cpus"]}
    assert set(cpus) <= set(rows)
    for row in rows.values():
        assert len(json.dumps(row)) < 480  # 128 of them are a reply
        assert 0 < row["floor"] < min(map(int, row["edges"]))
        assert 0 <= row["lost"] <= 1
        assert row["timers"] + row["interrupts"] > 0


def test_cpus_of_another_host_are_refused(agent: AgentConnection) -> None:
    with pytest.raises(AgentError, match="this host has the CPUs"):
        agent.call("noise", timeout=LIMIT, seconds=1, cpus="4095")
    with pytest.raises(AgentError, match="allowed: up to 120"):
        agent.call("noise", timeout=LIMIT, seconds=1000)


def _pinned(pid: int) -> set[tuple[str, tuple[int, ...]]]:
    """The loops below a process: the CPU that each was told, and those that it may use."""
    found = set()
    for child in process.descendants(pid):
        with suppress(OSError):
            words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
            if "jitter" in words:
                found.add((words[words.index("jitter") + 1], tuple(sorted(os.sched_getaffinity(child)))))
    return found


def _rate(row: dict[str, Any]) -> float:
    """Gaps of 0.1 to 1 ms in each second in which the loop itself ran."""
    between = row["edges"]["100000"] - row["edges"]["1000000"]
    return float(between / max((1 - row["lost"]) * SECONDS, 0.01))
