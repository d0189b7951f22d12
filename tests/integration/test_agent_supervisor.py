"""The real supervisor, with a server that does as it is told: faults, ownership, leases, lost connections."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.agent import build, layout, process
from benchctl.benchmark.connection import AgentConnection, connect
from benchctl.benchmark.transport import Channel, PipeTransport
from benchctl.errors import (
    AgentError,
    BenchctlError,
    ConnectionLostError,
    LeaseError,
    ServiceError,
    TaskError,
)
from benchctl.model.host import Host
from benchctl.testing.server import write_descriptor
from tests.loads import run
from tests.needs import need, python39

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ONE, TWO = (f"run-{number}-{os.getpid()}" for number in (1, 2))  # other workers have runs of their own
WORDS = ("attach", "--run", ONE, "--ttl", "60")
HERE = Host(name="here", transport="pipe")
LIMIT = 30.0
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
SPAWNER = f"""
import subprocess, sys
for _ in range(2):
    subprocess.Popen([sys.executable, "-ISB", "-c", {DEAF!r}], start_new_session=True)
"""


class Bench:
    """Connects to runs whose folders are the test's, and sees that nothing is left of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: set[str] = set()
        self.open: list[AgentConnection] = []

    def connect(self, run: str = ONE, ttl: float = 60) -> AgentConnection:
        self.runs.add(run)
        connection = connect(HERE, run, owner="tests", ttl=ttl)
        self.open.append(connection)
        return connection

    def descriptor(self, **changes: Any) -> str:
        return write_descriptor(self.folder, **changes)

    def clean(self) -> None:
        for connection in self.open:
            with contextlib.suppress(BenchctlError):
                connection.call("end", timeout=LIMIT)
            connection.close()
        for name in self.runs:
            await_true(lambda name=name: not layout.runtime_folder(name).exists())  # type: ignore[misc]
            assert process.marked(name) == []
        assert not (layout.lease_folder() / "lease.json").exists()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    short = Path(tempfile.mkdtemp(prefix="b", dir="/tmp"))
    monkeypatch.setenv("BENCHCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BENCHCTL_LEASE_DIR", str(tmp_path / "lease"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    found = Bench(tmp_path)
    try:
        yield found
        found.clean()
    finally:
        shutil.rmtree(short)


def await_true(condition: Callable[[], bool], limit: float = 20) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        threading.Event().wait(0.01)


def python(program: str) -> list[str]:
    return [sys.executable, "-ISB", "-c", program]


def test_a_service_that_dies_at_start_shows_its_log(bench: Bench) -> None:
    agent = bench.connect()
    path = bench.descriptor()
    with pytest.raises(ServiceError, match=r"here: server-1 ended with 3 (?s:.*)FATAL: told to die"):
        agent.call("start", timeout=LIMIT, descriptor=path, settings={"die_at_start": "on"})
    assert process.marked(ONE) == []
    assert agent.call("stop", timeout=LIMIT, descriptor=path)["running_before"] is False


def test_a_service_that_is_never_ready_leaves_nothing(bench: Bench) -> None:
    agent = bench.connect()
    settings = {"never_ready": "on", "children": 2}
    with pytest.raises(ServiceError, match=r"was not ready within 0\.5 s(?s:.*)the server starts"):
        agent.call("start", timeout=LIMIT, descriptor=bench.descriptor(), settings=settings, limit=0.5)
    assert process.marked(ONE) == []


def test_a_program_says_what_it_has_against_settings(bench: Bench) -> None:
    program = "import sys; text = open(sys.argv[1]).read(); sys.exit(text if 'bad' in text else 0)"
    check = {
        "file": "{work}/check.conf",
        "argv": [*python(program), "{work}/check.conf"],
        "names": {"argv": ["printf", "good\\tinteger\\nbetter\\n"]},
    }
    agent, path = bench.connect(), bench.descriptor(check=check)
    assert agent.call("check", timeout=LIMIT, descriptor=path, settings={"good": "1"}) == {
        "said": "",
        "names": [],
    }
    reply = agent.call("check", timeout=LIMIT, descriptor=path, settings={"bad": "1"})
    assert reply["said"].strip() == "bad = '1'"
    assert reply["names"] == ["good", "better"]


def test_a_server_that_does_not_exist_is_named(bench: Bench) -> None:
    path = bench.descriptor(start={"argv": ["/nowhere/postgres"]})
    with pytest.raises(ServiceError, match="/nowhere/postgres does not start"):
        bench.connect().call("start", timeout=LIMIT, descriptor=path)


def test_stop_escalates_and_takes_children_with_own_sessions(bench: Bench) -> None:
    agent = bench.connect()
    path = bench.descriptor(stop={"signal": "SIGTERM", "timeout": 0.1, "then": None})
    agent.call("start", timeout=LIMIT, descriptor=path, settings={"deaf": "on", "children": 3})
    await_true(lambda: len(process.marked(ONE)) == 4)
    stopped = agent.call("stop", timeout=LIMIT, descriptor=path)
    assert (stopped["how"], stopped["exit"]) == ("SIGKILL", -signal.SIGKILL)
    assert process.marked(ONE) == []


def test_what_a_task_leaves_behind_is_killed_and_the_service_is_not(bench: Bench) -> None:
    agent = bench.connect()
    path = bench.descriptor()
    server = agent.call("start", timeout=LIMIT, descriptor=path, settings={})["pid"]
    assert run(agent, "t1", python(SPAWNER))["exit"] == 0
    assert process.marked(ONE) == [server]


def test_what_runs_in_a_container_is_another_hosts() -> None:
    """By hand, the run on every host is called the same, and containers show on this one."""
    apart = ["unshare", "--user", "--map-root-user", "--pid", "--fork"]
    able = not subprocess.run([*apart, "true"], capture_output=True, check=False).returncode
    need("namespaces", "let this user make user namespaces: sysctl user.max_user_namespaces", available=able)
    environment = {**os.environ, layout.MARKER: ONE}
    with subprocess.Popen([*apart, "--kill-child", "sleep", "600"], env=environment) as outer:
        try:
            await_true(lambda: len(process.descendants(outer.pid)) == 1)
            assert process.marked(ONE) == [outer.pid]
        finally:
            outer.kill()


def test_a_hanging_task_times_out_with_all_its_processes(bench: Bench) -> None:
    agent = bench.connect()
    result = run(agent, "t1", python(f"{SPAWNER}\nimport time; time.sleep(600)"), limit=0.5)
    assert (result["timed_out"], result["exit"]) == (True, -signal.SIGTERM)
    assert process.marked(ONE) == []


def test_a_task_is_cancelled(bench: Bench) -> None:
    agent = bench.connect()
    results: list[dict[str, Any]] = []
    loader = threading.Thread(target=lambda: results.append(run(agent, "t1", ["sleep", "600"])))
    loader.start()
    await_true(lambda: len(process.marked(ONE)) == 1)
    agent.call("cancel", timeout=LIMIT, task="t1")
    loader.join(LIMIT)
    assert (results[0]["exit"], results[0]["cancelled"]) == (-signal.SIGTERM, True)


def test_a_task_ends_when_its_service_dies(bench: Bench) -> None:
    agent = bench.connect()
    agent.call("start", timeout=LIMIT, descriptor=bench.descriptor(), settings={"die_after": 0.3})
    window = {"warmup": 0, "duration": 600}
    result = run(agent, "t1", ["sleep", "600"], service="server-1", window=window)
    assert (result["service_died"], result["service_exit"]) == (True, 4)
    assert result["exit"] == -signal.SIGTERM
    lines = (Path(agent.hello["work"]) / "trials/t1/host.samples").read_text().splitlines()
    assert len(lines) == 3  # header, first, and the last one taken early


def test_no_load_without_its_service(bench: Bench) -> None:
    with pytest.raises(ServiceError, match="server-1 is not running"):
        run(bench.connect(), "t1", ["true"], service="server-1")


def test_a_task_that_cannot_start_is_a_task_error(bench: Bench) -> None:
    with pytest.raises(TaskError, match="/nowhere/pgbench does not start"):
        run(bench.connect(), "t1", ["/nowhere/pgbench"])


def test_a_tasks_surroundings(bench: Bench) -> None:
    agent = bench.connect()
    program = "import os, sys; print(os.getcwd(), os.environ['A'], repr(sys.stdin.read())); sum(range(10**7))"
    result = run(agent, "t1", python(program), env={"A": "b"})
    cwd = f"{agent.hello['work']}/trials/t1"
    assert Path(cwd, "stdout").read_text() == f"{cwd} b ''\n"
    assert result["start"] <= result["end"]
    assert result["cpu_user"] + result["cpu_system"] > 0
    assert result["max_rss"] > 1_000_000


def test_samples_cover_the_window(bench: Bench) -> None:
    agent = bench.connect()
    agent.call("start", timeout=LIMIT, descriptor=bench.descriptor(), settings={})
    busy = python("import time\nend = time.time() + 0.8\nwhile time.time() < end: pass")
    result = run(agent, "t1", busy, service="server-1", window={"warmup": 0.1, "duration": 0.5}, hz=10)
    text = Path(agent.hello["work"], "trials/t1/host.samples").read_text()
    head, *samples = [json.loads(line) for line in text.splitlines()]
    assert head["schema"] == 2
    samples = [sample for sample in samples if not sample.get("warmup")]
    assert 2 < len(samples) <= 6
    first, last = samples[0], samples[-1]
    assert first["t"] >= result["start"] + 0.1
    assert set(first["files"]) == set(head["files"])
    assert first["files"]["stat"].startswith("cpu ")
    assert "\nctxt " in first["files"]["stat"]
    assert "\nintr " not in first["files"]["stat"]
    assert "meminfo" in last["files"]
    assert "meminfo" not in samples[1]["files"]
    assert last["task"]["cpu"] > first["task"]["cpu"]
    assert last["service"]["cpu"] >= first["service"]["cpu"]
    assert samples[1]["task"]["cpu"] is None
    assert last["agent"]["cpu"] >= first["agent"]["cpu"]
    assert {entry["pid"] for entry in last["foreign"]}.isdisjoint({agent.hello["pid"]})
    assert "foreign" not in samples[1]


def test_a_killed_controller_leaves_the_run_going(bench: Bench) -> None:
    bench.runs.add(ONE)
    script = f"""
import sys
from benchctl.benchmark.connection import connect
from benchctl.model.host import Host
agent = connect(Host(name="here", transport="pipe"), {ONE!r}, owner="first", ttl=60)
cwd = agent.hello["work"] + "/trials/t1"
print(agent.hello["pid"], flush=True)
argv = {python("import time; print(1); time.sleep(1.0)")!r}
agent.call("launch", timeout=60, task="t1", argv=argv, cwd=cwd, limit=30)
agent.call("await", timeout=60, task="t1")
"""
    controller = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert controller.stdout is not None
    supervisor = int(controller.stdout.readline())
    await_true(lambda: len(process.marked(ONE)) == 1)
    controller.kill()
    controller.wait()
    controller.stdout.close()
    agent = bench.connect()
    assert agent.hello["pid"] == supervisor
    argv = python("import time; print(1); time.sleep(1.0)")
    result = run(agent, "t1", argv)
    assert result["exit"] == 0
    assert run(agent, "t1", argv) == result
    with pytest.raises(AgentError, match="a task's id is used once"):
        run(agent, "t1", ["true"])


def test_an_interrupted_call_leaves_the_connection_usable(bench: Bench) -> None:
    agent = bench.connect()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            run(agent, "t1", ["sleep", "600"])
    finally:
        signal.signal(signal.SIGALRM, before)
    agent.call("cancel", timeout=LIMIT, task="t1")
    assert run(agent, "t1", ["sleep", "600"])["cancelled"] is True


def test_the_end_of_a_run_does_not_hurt_its_next_connection(bench: Bench) -> None:
    path = bench.descriptor()
    for _ in range(5):
        agent = bench.connect()
        agent.call("start", timeout=LIMIT, descriptor=path, settings={})
        assert agent.call("end", timeout=LIMIT) == {"stopped": ["server-1"]}
    agent = bench.connect()
    server = agent.call("start", timeout=LIMIT, descriptor=path, settings={})["pid"]
    for other in bench.open[:-1]:
        assert process.await_gone({other.hello["pid"]}) == set()
    assert process.is_alive(server)
    assert layout.runtime_folder(ONE).exists()


def test_attaching_at_once_finds_one_supervisor(bench: Bench) -> None:
    found: list[AgentConnection] = []
    threads = [threading.Thread(target=lambda: found.append(bench.connect())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert len(found) == 4
    assert len({agent.hello["pid"] for agent in found}) == 1


def test_a_supervisor_that_cannot_start_is_explained(bench: Bench) -> None:
    folder = layout.private_folder(layout.runtime_folder(ONE))
    (folder / "sock").mkdir()  # in the way of the socket
    with pytest.raises(ConnectionLostError, match=r"its supervisor does not start(?s:.*)IsADirectory"):
        bench.connect()
    shutil.rmtree(folder)


def test_a_second_run_is_refused_and_told_by_whom(bench: Bench) -> None:
    bench.connect(ONE)
    with pytest.raises(LeaseError, match=f"here: the run {ONE} of tests holds this host since"):
        bench.connect(TWO)
    bench.runs.add(TWO)
    await_true(lambda: not layout.runtime_folder(TWO).exists())


def test_a_run_that_nobody_asks_for_ends_by_itself(bench: Bench) -> None:
    agent = bench.connect(ttl=1.0)
    agent.call("start", timeout=LIMIT, descriptor=bench.descriptor(), settings={"children": 2})
    agent.close()  # nothing renews the lease any more
    await_true(lambda: not layout.runtime_folder(ONE).exists())
    assert process.marked(ONE) == []
    assert not (layout.lease_folder() / "lease.json").exists()


def test_an_open_connection_keeps_the_lease(bench: Bench) -> None:
    agent = bench.connect(ttl=0.6)
    result = run(agent, "t1", ["sleep", "1.5"])
    assert result["exit"] == 0
    bench.runs.add(TWO)
    with pytest.raises(LeaseError):
        bench.connect(TWO)


def test_a_killed_supervisor_is_noticed_and_cleaned_up_by_the_next(bench: Bench) -> None:
    agent = bench.connect()
    agent.call("start", timeout=LIMIT, descriptor=bench.descriptor(), settings={"children": 1})
    left = process.marked(ONE)
    os.kill(agent.hello["pid"], signal.SIGKILL)
    with pytest.raises(ConnectionLostError, match=f"the supervisor of run {ONE} died"):
        run(agent, "t1", ["sleep", "600"])
    agent.close()
    again = bench.connect(ONE)
    assert again.hello["pid"] != agent.hello["pid"]
    assert not any(process.is_alive(pid) for pid in left)


def test_a_dead_supervisors_lease_is_taken_over_with_what_it_left(bench: Bench) -> None:
    agent = bench.connect(ONE)
    agent.call("start", timeout=LIMIT, descriptor=bench.descriptor(), settings={"children": 1})
    left = process.marked(ONE)
    assert len(left) >= 1
    os.kill(agent.hello["pid"], signal.SIGKILL)
    await_true(lambda: not process.is_alive(agent.hello["pid"]))
    bench.connect(TWO)
    assert not any(process.is_alive(pid) for pid in left)
    agent.close()
    shutil.rmtree(layout.runtime_folder(ONE))  # the next connection of run-1 would have taken it over


def test_sigterm_ends_a_supervisor_properly(bench: Bench) -> None:
    agent = bench.connect()
    agent.call("start", timeout=LIMIT, descriptor=bench.descriptor(), settings={"children": 2})
    os.kill(agent.hello["pid"], signal.SIGTERM)
    await_true(lambda: not layout.runtime_folder(ONE).exists())
    assert process.marked(ONE) == []


def _pretend_another_version(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    other = bench.folder / "cache" / "agent" / f"{'0' * 64}.pyz"
    shutil.copy(build.zipapp(bench.folder / "cache"), other)
    monkeypatch.setattr(build, "zipapp", lambda _: other)


def test_a_busy_agent_of_another_version_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = bench.connect()
    agent.call("start", timeout=LIMIT, descriptor=bench.descriptor(), settings={})
    _pretend_another_version(bench, monkeypatch)
    with pytest.raises(AgentError, match="another version of benchctl"):
        bench.connect()


def test_an_idle_agent_of_another_version_is_replaced(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    before = bench.connect()
    _pretend_another_version(bench, monkeypatch)
    assert bench.connect().hello["hash"] == "0" * 64
    assert process.await_gone({before.hello["pid"]}) == set()


def test_changing_operations_need_the_lease(bench: Bench) -> None:
    agent = _attach(bench, sys.executable)
    with pytest.raises(LeaseError, match="start needs the host's lease"):
        agent.call("start", timeout=LIMIT, descriptor=bench.descriptor())


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"null",
        b'{"id": 1}',
        b'{"id": "a", "op": "hello"}',
        b"\xff\xfe",
        b"[" * 60000,
        b" " * 70000,
    ],
)
def test_hostile_requests_close_their_own_connection_only(bench: Bench, line: bytes) -> None:
    good = bench.connect()
    channel = _open(sys.executable)
    channel.stdin.write(line + b"\n")
    answer = json.loads(channel.stdout.read(1 << 16) or b"null")
    assert (answer["ok"], answer["id"], answer["kind"]) == (False, None, "usage")
    assert channel.stdout.read(1) == b""
    assert channel.process.wait(LIMIT) == 0
    _close(channel)
    assert good.call("hello", timeout=LIMIT)["pid"] == good.hello["pid"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"op": "launch", "task": "t"}, "launch needs argv, cwd, limit"),
        ({"op": "stop", "descriptor": 1}, "descriptor has the wrong type"),
        ({"op": "hello", "x": 1}, "hello takes no argument 'x'"),
        ({"op": "stamps", "want": {"../x": "a"}}, "cannot be the name of a stamp"),
        ({"op": "files", "dir": "/nowhere"}, "/nowhere is no folder"),
    ],
)
def test_wrong_arguments_are_named(bench: Bench, args: dict[str, Any], said: str) -> None:
    with pytest.raises(AgentError, match=said):
        bench.connect().call(args.pop("op"), timeout=LIMIT, **args)


def test_a_large_file_arrives_whole(bench: Bench, tmp_path: Path) -> None:
    agent = bench.connect()
    source = tmp_path / "large"
    source.write_bytes(os.urandom(1 << 16) * 80)
    empty = tmp_path / "empty"
    empty.touch()
    agent.fetch(str(source), tmp_path / "copy")
    agent.fetch(str(empty), tmp_path / "nothing")
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()
    assert (tmp_path / "nothing").read_bytes() == b""


def test_many_requests_at_once_are_answered(bench: Bench) -> None:
    agent = bench.connect()
    found: list[dict[str, Any]] = []
    threads = [
        threading.Thread(target=lambda name=f"t{n}": found.append(run(agent, name, ["true"])))
        for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert [result["exit"] for result in found] == [0] * 16


def test_the_agent_runs_on_python_39(bench: Bench) -> None:
    agent = _attach(bench, python39())
    assert agent.call("hello", timeout=LIMIT)["python"].startswith("3.9.")
    agent.hello = agent.call("hello", timeout=LIMIT)
    agent.keep_lease("tests", 60)
    path = bench.descriptor(limits={"nofile": 4096}, cpus="0")
    agent.call("image", timeout=LIMIT, descriptor=path, image="i", prepare={"argv": ["touch", "{data}/x"]})
    agent.call("reset", timeout=LIMIT, descriptor=path, image="i")
    assert (Path(agent.hello["work"]) / "server-1/data/x").exists()
    pid = agent.call("start", timeout=LIMIT, descriptor=path, settings={"children": 1})["pid"]
    assert os.sched_getaffinity(pid) == {0}
    assert "4096" in Path(f"/proc/{pid}/limits").read_text().partition("Max open files")[2].splitlines()[0]
    window = {"warmup": 0, "duration": 0.2}
    assert run(agent, "t1", ["sleep", "0.3"], service="server-1", window=window)["exit"] == 0
    assert agent.call("fingerprint", timeout=LIMIT)["facts"]["python.version"].startswith("3.9.")
    assert agent.call("end", timeout=LIMIT) == {"stopped": ["server-1"]}


def _open(interpreter: str) -> Channel:
    program = build.zipapp(layout.cache_folder())
    return PipeTransport("here", interpreter).open_agent(program, WORDS)


def _attach(bench: Bench, interpreter: str) -> AgentConnection:
    bench.runs.add(ONE)
    program = build.zipapp(layout.cache_folder())
    agent = AgentConnection(PipeTransport("here", interpreter), program, WORDS)
    bench.open.append(agent)
    return agent


def _close(channel: Channel) -> None:
    channel.process.last_words()
    channel.stdin.close()
    channel.stdout.close()
