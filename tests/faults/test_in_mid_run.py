"""Hosts that fail while they work: tasks and samples go on without us, and what is lost is said."""

from __future__ import annotations

import itertools
import json
import random
import threading
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.benchmark import session
from benchctl.benchmark.fleet import Fleet
from benchctl.errors import AgentError, BenchctlError, ConnectionLostError, TaskError
from tests.faults.conftest import LIMIT, Agents, launch
from tests.lab.host import await_true

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.benchmark.session import AgentConnection
    from tests.lab.fixtures import Fresh
    from tests.lab.lab import Lab

CUTS = 50
GATE = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint('done')"  # ends when told


def ticks(count: int) -> str:
    """A task that says something ten times a second."""
    return f"import time\nfor number in range({count}):\n print(number, flush=True)\n time.sleep(0.1)"


def output(agent: AgentConnection, cwd: str, folder: Path, name: str = "stdout") -> str:
    agent.fetch(f"{cwd}/{name}", folder / name)
    return (folder / name).read_text(errors="replace")


@pytest.mark.parametrize("seconds", [5, pytest.param(60, marks=pytest.mark.slow)])
def test_a_task_and_its_samples_outlive_a_cut_cable(
    fresh: Fresh, agents: Agents, tmp_path: Path, seconds: int
) -> None:
    host = fresh()
    agent = agents(host)
    count = 10 * (seconds + 5)
    cwd = launch(agent, "t1", ticks(count))
    watch = {
        "watch": "w1",
        "cwd": cwd,
        "start": agent.call("clock", timeout=LIMIT)["m"],
        "warmup": 0,
        "hz": 10,
    }
    agent.call("watch", timeout=LIMIT, **watch, duration=seconds + 4, task="t1")
    host.drop_packets(seconds)
    result = agent.call("await", timeout=seconds + LIMIT, task="t1")
    assert (result["exit"], result["timed_out"], result["cancelled"]) == (0, False, False)
    assert output(agent, cwd, tmp_path).split() == [str(number) for number in range(count)]
    agent.call("unwatch", timeout=LIMIT, watch="w1")
    samples = [json.loads(line) for line in output(agent, cwd, tmp_path, "host.samples").splitlines()[1:]]
    instants = [sample["m"] for sample in samples]
    assert max(after - before for before, after in itertools.pairwise(instants)) < seconds / 2
    if seconds > 30:
        assert any("is there again" in notice for notice in agents.notices)


def test_sshd_killed_for_good_loses_one_host_and_no_other(
    fresh: Fresh, agents: Agents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "RECONNECT_LIMIT", 3.0)
    lost, kept = fresh(), fresh()
    fleet = Fleet({host.name: agents(host) for host in (lost, kept)})
    folders = {name: launch(fleet[name], "t1", GATE) for name in fleet}  # type: ignore[arg-type]
    lost.kill_sshd()
    outcomes: dict[str, Any] = {}
    waiting = threading.Thread(
        target=lambda: outcomes.update(fleet.stream("await", {"task": "t1"}, timeout=LIMIT))
    )
    waiting.start()
    kept.exec("touch", f"{folders[kept.name]}/go")
    waiting.join()
    assert outcomes[kept.name]["exit"] == 0
    assert isinstance(outcomes[lost.name], ConnectionLostError)
    assert f"{lost.name}: " in outcomes[lost.name].detail
    with pytest.raises(ConnectionLostError, match=lost.name):
        fleet.each("clock", timeout=LIMIT)
    lost.revive_sshd()
    lost.exec("touch", f"{folders[lost.name]}/go")
    again = agents(lost)  # as `resume` or `destroy` would: the task is found by its id
    assert again.call("await", timeout=LIMIT, task="t1")["exit"] == 0


@pytest.mark.parametrize("way", ["stop", "power_off"])
def test_a_host_that_was_restarted_is_not_taken_for_the_old_one(
    fresh: Fresh, agents: Agents, way: str
) -> None:
    host = fresh()
    agent = agents(host)
    launch(agent, "t1", GATE)
    waiting = agent.submit("await", task="t1")
    getattr(host, way)()
    host.start()
    try:
        assert waiting.result(LIMIT)["exit"] != 0  # an orderly shutdown may leave time to say so
    except AgentError as error:
        assert f"{host.name}: " in error.detail  # noqa: PT017 - either is right
    with pytest.raises(AgentError, match="there is no task t1"):
        agents(host).call("await", timeout=LIMIT, task="t1")


@pytest.mark.slow
def test_fifty_cuts_at_random_instants_lose_nothing(fresh: Fresh, agents: Agents, tmp_path: Path) -> None:
    host = fresh()
    agent = agents(host)
    instants = random.Random(50)
    over = threading.Event()

    def is_there_again(cuts: int) -> bool:
        return sum("is there again" in notice for notice in agents.notices) == cuts

    def cut() -> None:
        try:
            for number in range(1, CUTS + 1):
                over.wait(instants.uniform(0, 0.3))
                host.cut_ssh()
                await_true(lambda number=number: is_there_again(number), f"connected after cut {number}")  # type: ignore[misc]
        finally:
            over.set()

    cutter = threading.Thread(target=cut)
    cutter.start()
    done = 0
    while not over.is_set():
        cwd = launch(agent, f"t{done}", f"open('../count', 'a').write('x'); print({done})")
        assert agent.call("await", timeout=LIMIT, task=f"t{done}")["exit"] == 0
        assert output(agent, cwd, tmp_path) == f"{done}\n"
        done += 1
    cutter.join()
    assert host.shell(f"cat {cwd}/../count") == "x" * done  # each was executed once
    assert is_there_again(CUTS)


def test_a_disk_that_fills_up_fails_the_task_and_not_the_agent(
    fresh: Fresh, agents: Agents, tmp_path: Path
) -> None:
    host = fresh(disks={"/root/.cache": "4m"})
    agent = agents(host)
    now = agent.call("clock", timeout=LIMIT)["m"]
    cwd = launch(agent, "full", "import os, sys\nwhile True: os.write(1, b'x' * 65536)")
    watch = {"watch": "w1", "cwd": cwd, "start": now, "warmup": 0, "duration": 60, "hz": 10}
    agent.call("watch", timeout=LIMIT, **watch, task="full")
    result = agent.call("await", timeout=LIMIT, task="full")
    assert result["exit"] != 0
    assert not result["timed_out"]
    (tmp_path / "big").write_bytes(bytes(1 << 20))
    with pytest.raises(BenchctlError, match="No space left"):
        agent.put(tmp_path / "big", f"{agent.hello['work']}/files/big")
    agent.call("unwatch", timeout=LIMIT, watch="w1")
    agent.call("remove", timeout=LIMIT, path=cwd)
    cwd = launch(agent, "after", "print('room')")
    assert agent.call("await", timeout=LIMIT, task="after")["exit"] == 0
    assert output(agent, cwd, tmp_path) == "room\n"


def test_a_task_killed_for_memory_is_told_from_one_that_failed(fresh: Fresh, agents: Agents) -> None:
    host = fresh(memory="160m")
    agent = agents(host)
    launch(agent, "greedy", "held = []\nwhile True: held.append(bytearray(1 << 24))")
    assert agent.call("await", timeout=LIMIT, task="greedy")["exit"] == -9
    launch(agent, "modest", "print(1)")
    assert agent.call("await", timeout=LIMIT, task="modest")["exit"] == 0


def test_clocks_that_differ_still_start_tasks_at_one_instant(lab: Lab, fresh: Fresh, agents: Agents) -> None:
    here, ahead = lab.host("h1"), fresh(monotonic=5000, realtime=3600)
    fleet = Fleet({"here": agents(here), "ahead": agents(ahead)})
    for name in fleet:
        launch(fleet[name], "t1", "print(1)", hold=True)  # type: ignore[arg-type]
    clocks = fleet.clocks()
    assert round(clocks["ahead"].offset - clocks["here"].offset) == 5000
    now = fleet["here"].call("clock", timeout=LIMIT)["m"] - clocks["here"].offset
    fleet.each("go", lambda name: {"task": "t1", "at": now + 1 + clocks[name].offset}, timeout=LIMIT)
    results = fleet.each("await", {"task": "t1"}, timeout=LIMIT)
    assert [result["late"] for result in results.values()] == [False, False]
    instants = [result["began"] - clocks[name].offset for name, result in results.items()]
    assert max(instants) - min(instants) < 0.5
    assert round((results["ahead"]["start"] - results["here"]["start"]) / 60) == 60


ECHO = """
import os, sys
print(ascii([sys.argv[1], os.environ['VALUE']]))
open(sys.argv[1].replace('/', '_'), 'w')
"""
HOSTILE = ["; rm -rf /", "$(touch /pwned)", "-rf", "--help", "a\nb", "ünï¢ode…", "'\"`", "%n%s", " "]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_words_names_and_values_stay_text(
    lab: Lab, agents: Agents, tmp_path: Path, text: str
) -> None:
    host = lab.host("h1")
    agent = agents(host)
    cwd = f"{agent.hello['work']}/trials/{text.replace('/', '_')}"
    agent.call(
        "launch",
        timeout=LIMIT,
        task=text,
        argv=["python3", "-c", ECHO, text],
        cwd=cwd,
        limit=60,
        env={"VALUE": text},
    )
    result = agent.call("await", timeout=LIMIT, task=text)
    assert result["exit"] == 0
    assert text.replace("/", "_") in {file["path"] for file in result["files"]}
    assert output(agent, cwd, tmp_path) == f"{[text, text]!a}\n"
    assert host.exec("ls", "/").split() == lab.host("h1").exec("ls", "/").split()
    assert "pwned" not in host.exec("ls", "/")


@pytest.mark.parametrize("path", ["/etc/benchctl", "../../../../etc", "/root/.cache/benchctl/agent"])
def test_a_task_gets_no_folder_outside_the_run(lab: Lab, agents: Agents, path: str) -> None:
    agent = agents(lab.host("h1"))
    with pytest.raises((AgentError, TaskError), match="not below"):
        agent.call("launch", timeout=LIMIT, task="t1", argv=["true"], cwd=path, limit=5)


def test_output_without_end_is_bounded_and_named(lab: Lab, agents: Agents, tmp_path: Path) -> None:
    agent = agents(lab.host("h1"))
    cwd = launch(
        agent, "t1", "import os\nwhile True: os.write(1, bytes(range(256)) * 256)", output_limit=1 << 20
    )
    result = agent.call("await", timeout=LIMIT, task="t1")
    assert result["output_exceeded"]
    assert result["exit"] != 0
    output(agent, cwd, tmp_path)
    assert (tmp_path / "stdout").stat().st_size <= 1 << 20


def test_file_names_that_are_no_text_break_nothing(lab: Lab, agents: Agents) -> None:
    agent = agents(lab.host("h1"))
    launch(
        agent,
        "t1",
        "import os; open(b'\\xff\\xfe', 'w'); open('line\\nbreak', 'w'); os.symlink('/etc/shadow', 'leak')",
    )
    result = agent.call("await", timeout=LIMIT, task="t1")
    assert result["exit"] == 0
    names = {file["path"] for file in result["files"]}
    assert "leak" not in names
    assert "line\nbreak" in names


def test_await_true_tells_what_it_waited_for() -> None:
    with pytest.raises(TimeoutError, match="the impossible: not within 0 s"):
        await_true(lambda: False, "the impossible", limit=0)
