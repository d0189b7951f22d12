"""Tuning through the real agent, on a tree of files: what holds, and who gives back when nobody asks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.agent import build, detached, layout, process
from benchctl.benchmark.connection import connect
from benchctl.errors import UnfitError
from benchctl.model.host import Host
from tests.needs import python39

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchctl.benchmark.connection import AgentConnection

LIMIT = 30.0
RUN = f"tuning-{os.getpid()}"
SWAPPINESS = "proc/sys/vm/swappiness"
LATENCY = "dev/cpu_dma_latency"


class Bed:
    """A tree that stands for a host, and the agents of runs on it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "machine"
        self.state = folder / "state"
        self.program = build.zipapp(folder / "cache")
        for name, text in ((SWAPPINESS, "60\n"), (LATENCY, "")):
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)
        self.agents: list[AgentConnection] = []

    def agent(self, run: str = RUN, ttl: float = 60.0) -> AgentConnection:
        agent = connect(Host(name="here", transport="pipe"), run, owner="tests", ttl=ttl)
        self.agents.append(agent)
        return agent

    def text(self, name: str = SWAPPINESS) -> str:
        return (self.root / name).read_text().strip()

    def by_hand(self, *words: str, python: str = sys.executable) -> tuple[int, dict[str, Any]]:
        """Run the zipapp itself, as a person on the host does."""
        done = subprocess.run(
            [python, str(self.program), *words], capture_output=True, text=True, check=False, timeout=LIMIT
        )
        assert not done.stderr, done.stderr
        return done.returncode, json.loads(done.stdout)


@pytest.fixture
def bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bed]:
    short = Path(tempfile.mkdtemp(prefix="b", dir="/tmp"))
    for name, folder in (
        ("BENCHCTL_CACHE", tmp_path / "cache"),
        ("BENCHCTL_LEASE_DIR", tmp_path / "lease"),
        ("BENCHCTL_STATE_DIR", tmp_path / "state"),
        ("BENCHCTL_ROOT", tmp_path / "machine"),
        ("XDG_RUNTIME_DIR", short),
    ):
        monkeypatch.setenv(name, str(folder))
    made = Bed(tmp_path)
    try:
        yield made
    finally:
        for agent in made.agents:
            agent.close()
        for name in ("guard", "hold"):
            detached.stop(made.state, name)
        for path in short.rglob("supervisor.json"):
            process.await_gone(process.kill_all([json.loads(path.read_text())["pid"]]))
        shutil.rmtree(short)


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def kill(agent: AgentConnection) -> None:
    pid = agent.hello["pid"]
    os.kill(pid, signal.SIGKILL)
    process.await_gone({pid})


def test_a_request_is_held_by_a_process_until_it_is_given_back(bed: Bed) -> None:
    agent = bed.agent()
    told = agent.call("tune", timeout=LIMIT, values={"wakeup_latency": "1"})
    assert told["knobs"][0]["outcome"] == "applied"
    holder = detached.find(bed.state, "hold")
    assert holder is not None
    assert struct.unpack("=i", (bed.root / LATENCY).read_bytes())[0] == 1
    open_there = [path.readlink() for path in Path(f"/proc/{holder['pid']}/fd").iterdir()]
    assert bed.root / LATENCY in open_there
    assert agent.call("drift", timeout=LIMIT)["drifts"] == 0
    os.kill(holder["pid"], signal.SIGKILL)
    process.await_gone({holder["pid"]})
    (row,) = agent.call("drift", timeout=LIMIT)["drifted"]
    assert (row["knob"], row["found"]) == ("wakeup_latency", "free")
    assert (
        agent.call("tune", timeout=LIMIT, values={"wakeup_latency": "1"})["knobs"][0]["outcome"] == "applied"
    )
    agent.call("end", timeout=LIMIT)
    assert detached.find(bed.state, "hold") is None


def test_what_is_kept_outlives_the_run_with_its_holder(bed: Bed) -> None:
    agent = bed.agent()
    agent.call("tune", timeout=LIMIT, values={"wakeup_latency": "1", "swappiness": "1"}, kept=True)
    agent.call("end", timeout=LIMIT)
    assert bed.text() == "1"
    assert detached.find(bed.state, "hold") is not None
    assert bed.by_hand("drift")[1]["drifts"] == 0
    code, undone = bed.by_hand("restore")
    assert (code, undone["restored"]) == (0, 2)
    assert detached.find(bed.state, "hold") is None
    assert bed.text() == "60"
    assert bed.by_hand("restore")[1]["restored"] == 0


def test_a_host_restores_itself_when_its_run_is_gone(bed: Bed) -> None:
    agent = bed.agent(ttl=1.5)
    agent.call("tune", timeout=LIMIT, values={"swappiness": "1", "wakeup_latency": "1"})
    assert detached.find(bed.state, "guard") is not None
    kill(agent)
    agent.close()
    eventually(lambda: bed.text() == "60")
    eventually(lambda: detached.find(bed.state, "guard") is None)
    assert detached.find(bed.state, "hold") is None
    eventually(lambda: not bed.state.exists())


def test_a_supervisor_whose_time_has_passed_restores(bed: Bed) -> None:
    agent = bed.agent(ttl=1.0)
    agent.call("tune", timeout=LIMIT, values={"swappiness": "1"})
    agent.close()
    eventually(lambda: bed.text() == "60")
    eventually(lambda: not process.is_alive(agent.hello["pid"]))
    assert detached.find(bed.state, "guard") is None


def test_the_next_run_gives_back_what_a_dead_one_left(bed: Bed) -> None:
    agent = bed.agent()
    agent.call("tune", timeout=LIMIT, values={"swappiness": "1"})
    kill(agent)
    detached.stop(bed.state, "guard")
    assert bed.text() == "1"
    other = bed.agent(f"{RUN}-2")
    assert bed.text() == "60"
    other.call("end", timeout=LIMIT)


def test_nobody_restores_by_hand_under_a_run_unless_forced(bed: Bed) -> None:
    agent = bed.agent()
    agent.call("tune", timeout=LIMIT, values={"swappiness": "1"})
    code, told = bed.by_hand("restore")
    assert code == 1
    assert f"the run {RUN} of tests holds this host" in told["error"]
    assert bed.text() == "1"
    assert bed.by_hand("restore", "--force")[0] == 0
    assert bed.text() == "60"
    agent.call("end", timeout=LIMIT)


def test_by_hand_everything_works_on_the_oldest_python(bed: Bed) -> None:
    python = python39()
    code, told = bed.by_hand("tune", "repeatable", python=python)
    assert code == 0
    outcomes = {row["knob"]: row["outcome"] for row in told["knobs"]}
    assert outcomes["swappiness"] == outcomes["wakeup_latency"] == "applied"
    assert outcomes["governor"] == "unsupported"
    assert told["undo"].endswith(f"{bed.program} restore")
    code, told = bed.by_hand("snapshot", "swappiness", python=python)
    assert told["knobs"] == [{"knob": "swappiness", "places": 1, "values": {"1": 1}}]
    (bed.root / SWAPPINESS).write_text("33\n")
    assert bed.by_hand("drift", python=python)[0] == 1
    code, told = bed.by_hand("restore", python=python)
    assert (code, [row["found"] for row in told["left"]]) == (1, ["33"])
    assert bed.by_hand("restore", "--force", python=python)[0] == 0
    assert bed.text() == "60"


def test_without_a_place_for_the_journal_nothing_is_changed(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCHCTL_STATE_DIR", "/proc/nowhere")
    agent = bed.agent()
    with pytest.raises(UnfitError, match="nothing was changed"):
        agent.call("tune", timeout=LIMIT, values={"swappiness": "1"})
    assert bed.text() == "60"
    agent.call("end", timeout=LIMIT)


def test_tuning_spares_nothing_of_the_run_and_loses_nothing_to_it(bed: Bed) -> None:
    """The end kills all that the run started, and neither holder nor guard before their time."""
    agent = bed.agent()
    agent.call("tune", timeout=LIMIT, values={"wakeup_latency": "5"}, kept=True)
    cwd = f"{agent.hello['work']}/trials/t"
    argv = [sys.executable, "-c", "import time; time.sleep(60)"]
    task = {"task": "t", "argv": argv, "env": {}, "cwd": cwd, "limit": LIMIT, "hold": False, "service": None}
    pid = agent.call("launch", timeout=LIMIT, **task)["pid"]
    agent.call("cancel", timeout=LIMIT, task="t")
    agent.call("end", timeout=LIMIT)
    assert not process.is_alive(pid)
    assert process.marked(RUN) == []
    holder = detached.find(bed.state, "hold")
    assert holder is not None
    assert process.owner_of(holder["pid"]) == layout.TUNING_TAG
    handles = list(Path(f"/proc/{holder['pid']}/fd").iterdir())
    assert len(handles) == 4  # the request and its streams: no end of the controller's connection
    assert not layout.runtime_folder(RUN).exists()
