"""The real agent's tasks and watches: held programs, starts on the clock, samples, probes, stops."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.agent import build, layout, process
from benchctl.benchmark.connection import connect
from benchctl.benchmark.session import AgentConnection
from benchctl.benchmark.transport import PipeTransport
from benchctl.errors import AgentError, BenchctlError, ServiceError, TaskError
from benchctl.model.host import Host
from benchctl.testing.server import write_descriptor
from tests.needs import python39

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUN = f"tasks-{os.getpid()}"  # other workers have runs of their own
LIMIT = 30.0
MONOTONIC = "import time; print(repr(time.monotonic()))"
SERVER = """
import http.server, socketserver, sys
print("listens soon", flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/ready?now" else 503)
        self.end_headers()
    def log_message(self, *_): pass
socketserver.TCPServer.allow_reuse_address = True
with socketserver.TCPServer(("127.0.0.1", int(sys.argv[1])), Handler) as server:
    print("accepts connections", flush=True)
    server.serve_forever()
"""

CLIENT = """
import socket, sys
place = sys.argv[1]
clients = []
for _ in range(3):
    if place.isdigit():
        clients.append(socket.create_connection(("127.0.0.1", int(place))))
    else:
        clients.append(socket.socket(socket.AF_UNIX))
        clients[-1].connect(place)
for client in clients * 2:
    client.sendall(b"*1\\r\\n$4\\r\\nPING\\r\\n" * 4)
    reply = b""
    while len(reply) < 4 * len(b"+PONG\\r\\n"):
        reply += client.recv(1000)
    print(reply.decode().split())
sys.exit(int(sys.argv[2]))
"""


class Rig:
    def __init__(self, agent: AgentConnection, folder: Path) -> None:
        self.agent = agent
        self.folder = folder
        self.work = Path(agent.hello["work"])

    def launch(self, task: str, argv: list[str], **given: Any) -> dict[str, Any]:
        given = {"limit": LIMIT, "cwd": str(self.work / "trials" / task), **given}
        return self.agent.call("launch", timeout=LIMIT, task=task, argv=argv, **given)

    def go(self, task: str, ahead: float = 0.05) -> float:
        at: float = self.clock() + ahead
        self.agent.call("go", timeout=LIMIT, task=task, at=at)
        return at

    def clock(self) -> float:
        return float(self.agent.call("clock", timeout=LIMIT)["m"])

    def wait(self, task: str) -> dict[str, Any]:
        return self.agent.call("await", timeout=LIMIT, task=task)

    def output(self, task: str, name: str = "stdout") -> str:
        return (self.work / "trials" / task / name).read_text()

    def watch(self, watch: str, **given: Any) -> None:
        given = {"start": self.clock(), "warmup": 0, "duration": 0.3, "hz": 10, **given}
        cwd = str(self.work / "trials" / watch)
        self.agent.call("watch", timeout=LIMIT, **{"watch": watch, "cwd": cwd, **given})

    def samples(self, watch: str) -> list[dict[str, Any]]:
        lines = self.output(watch, "host.samples").splitlines()
        assert all(json.loads(line)["schema"] == 2 for line in lines[:1])
        return [json.loads(line) for line in lines[1:]]

    def edges(self, watch: str) -> list[dict[str, Any]]:
        return [sample for sample in self.samples(watch) if sample.get("edge")]

    def service(self, **parts: Any) -> dict[str, Any]:
        """A descriptor of a small web server, as an object; its port stands under `port`."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        start = {"argv": python(SERVER, str(port))}
        least = {"schema": 1, "role": "stage", "instance": "web-1", "kind": "service", "start": start}
        text = json.dumps({**least, **parts}).replace("PORT", str(port))
        found: dict[str, Any] = json.loads(text)
        return found


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    with _surroundings(tmp_path, monkeypatch):
        agent = connect(Host(name="here", transport="pipe"), RUN, owner="tests", ttl=60)
        yield from _using(Rig(agent, tmp_path))


@pytest.fixture
def old_rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    with _surroundings(tmp_path, monkeypatch):
        program = build.zipapp(layout.cache_folder())
        words = ["attach", "--run", RUN, "--ttl", "60"]
        agent = AgentConnection(PipeTransport("here", python39()), program, words)
        agent.hello = agent.call("hello", timeout=LIMIT)
        agent.keep_lease("tests", 60)
        yield from _using(Rig(agent, tmp_path))


@contextlib.contextmanager
def _surroundings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    short = Path(tempfile.mkdtemp(prefix="b", dir="/tmp"))
    monkeypatch.setenv("BENCHCTL_CACHE", str(folder / "cache"))
    monkeypatch.setenv("BENCHCTL_LEASE_DIR", str(folder / "lease"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    try:
        yield
    finally:
        shutil.rmtree(short)


def _using(rig: Rig) -> Iterator[Rig]:
    try:
        yield rig
    finally:
        with contextlib.suppress(BenchctlError):
            rig.agent.call("end", timeout=LIMIT)
        rig.agent.close()
    await_true(lambda: process.marked(RUN) == [])


def await_true(condition: Callable[[], bool], limit: float = 20) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        threading.Event().wait(0.01)


def python(program: str, *arguments: str) -> list[str]:
    return [sys.executable, "-ISB", "-c", program, *arguments]


def test_a_held_program_executes_nothing_before_its_instant(rig: Rig) -> None:
    told = rig.launch("t1", ["touch", "began"], hold=True)
    assert told["held"] == "ptrace"
    assert Path(f"/proc/{told['pid']}/exe").resolve() == Path(str(shutil.which("touch"))).resolve()
    assert process.stat_of(told["pid"])[0] == b"t"
    cwd = rig.work / "trials/t1"
    assert {path.name for path in cwd.iterdir()} == {"stdout", "stderr"}
    at = rig.go("t1", ahead=0.5)
    result = rig.wait("t1")
    assert (result["exit"], result["late"], result["cancelled"]) == (0, False, False)
    assert at <= result["began"] < at + 5
    assert (cwd / "began").stat().st_mtime >= result["start"] - 0.011  # files bear the kernel's coarse time
    assert result["end"] >= result["start"]
    assert {entry["path"] for entry in result["files"]} == {"stdout", "stderr", "began"}
    assert result["files_left_off"] == 0


def test_programs_start_at_the_instant_not_before(rig: Rig) -> None:
    names = [f"t{number}" for number in range(5)]
    for name in names:
        rig.launch(name, python(MONOTONIC), hold=True)
    at = rig.clock() + 0.5
    for pending in [rig.agent.submit("go", task=name, at=at) for name in names]:
        assert pending.result(LIMIT) == {"late": False}
    for name in names:
        result = rig.wait(name)
        assert float(rig.output(name)) > at
        assert at <= result["began"] < at + 5
        assert result["began"] < float(rig.output(name))


def test_a_start_in_the_past_is_at_once_and_late(rig: Rig) -> None:
    rig.launch("t1", ["true"], hold=True)
    assert rig.agent.call("go", timeout=LIMIT, task="t1", at=rig.clock() - 1) == {"late": True}
    result = rig.wait("t1")
    assert (result["exit"], result["late"]) == (0, True)
    assert rig.agent.call("go", timeout=LIMIT, task="t1", at=rig.clock() + 1) == {"late": True}


def test_a_held_program_is_cancelled(rig: Rig) -> None:
    told = rig.launch("t1", ["touch", "began"], hold=True)
    rig.agent.call("cancel", timeout=LIMIT, task="t1")
    result = rig.wait("t1")
    assert (result["exit"], result["cancelled"]) == (-signal.SIGKILL, True)
    assert not process.is_alive(told["pid"])
    assert not (rig.work / "trials/t1/began").exists()


def test_a_released_program_that_waits_is_cancelled_before_its_instant(rig: Rig) -> None:
    rig.launch("t1", ["touch", "began"], hold=True)
    rig.go("t1", ahead=600)
    rig.agent.call("cancel", timeout=LIMIT, task="t1")
    assert rig.wait("t1")["cancelled"]
    assert not (rig.work / "trials/t1/began").exists()


def test_a_held_program_dies_with_its_supervisor(rig: Rig) -> None:
    told = rig.launch("t1", ["touch", "began"], hold=True)
    os.kill(rig.agent.hello["pid"], signal.SIGKILL)
    await_true(lambda: not process.is_alive(told["pid"]))
    assert not (rig.work / "trials/t1/began").exists()
    rig.agent.close()
    rig.agent = connect(Host(name="here", transport="pipe"), RUN, owner="tests", ttl=60)


def test_a_held_program_dies_with_its_service(rig: Rig) -> None:
    path = write_descriptor(rig.folder)
    server = rig.agent.call("start", timeout=LIMIT, descriptor=path, settings={})["pid"]
    rig.launch("t1", ["touch", "began"], hold=True, service="server-1")
    os.kill(server, signal.SIGKILL)
    result = rig.wait("t1")
    assert (result["service_died"], result["service_exit"]) == (True, -signal.SIGKILL)
    assert not (rig.work / "trials/t1/began").exists()


def test_a_setuid_program_keeps_its_rights_and_its_instant(rig: Rig) -> None:
    program = rig.folder / "who"
    shutil.copy(str(shutil.which("id")), program)
    root = os.getuid() == 0
    if root:
        os.chown(program, layout.NOBODY, -1)
    program.chmod(0o4755)
    told = rig.launch("t1", [str(program), "-u"], hold=True)
    assert told["held"] == "ptrace"
    assert Path(f"/proc/{told['pid']}/exe").resolve() == Path("/usr/bin/env").resolve()
    at = rig.go("t1")
    assert rig.wait("t1")["began"] >= at
    assert int(rig.output("t1")) == (layout.NOBODY if root else os.getuid())


def test_a_program_that_is_not_there_is_named_when_it_is_launched(rig: Rig) -> None:
    for hold in (False, True):
        with pytest.raises(TaskError, match="/nowhere/load does not start"):
            rig.launch(f"t{hold}", ["/nowhere/load"], hold=hold)
    with pytest.raises(TaskError, match="/nowhere/load does not start"):
        rig.wait("tTrue")
    with pytest.raises(AgentError, match="there is no task t9"):
        rig.wait("t9")


def test_a_script_without_its_interpreter_is_named(rig: Rig) -> None:
    script = rig.folder / "script"
    script.write_text("#!/nowhere/python\n")
    script.chmod(0o755)
    with pytest.raises(TaskError, match="script does not start"):
        rig.launch("t1", [str(script)], hold=True)


def test_the_same_id_is_launched_once(rig: Rig) -> None:
    first = rig.launch("t1", ["cat", "/dev/zero"], hold=True)
    assert rig.launch("t1", ["cat", "/dev/zero"], hold=True) == first
    with pytest.raises(AgentError, match="a task's id is used once"):
        rig.launch("t1", ["true"], hold=True)
    with pytest.raises(AgentError, match="which is in use"):
        rig.launch("t2", ["true"], cwd=str(rig.work / "trials/t1"))


def test_a_task_finds_its_folder_empty(rig: Rig) -> None:
    cwd = rig.work / "trials/t1"
    cwd.mkdir(parents=True)
    (cwd / "tx.17").write_text("of an earlier attempt")
    rig.launch("t1", ["ls"])
    rig.wait("t1")
    assert rig.output("t1") == "stderr\nstdout\n"


@pytest.mark.parametrize(
    "cwd", ["/nowhere/x", "{work}", "{work}/..", "{work}/../..", "trials/t1", "{work}/server-1"]
)
def test_no_task_empties_what_is_not_its_own(rig: Rig, cwd: str) -> None:
    rig.agent.call("start", timeout=LIMIT, descriptor=write_descriptor(rig.folder), settings={})
    with pytest.raises(AgentError, match=r"no task (of this run )?may empty it"):
        rig.launch("t1", ["true"], cwd=cwd.format(work=rig.work))
    assert (rig.work / "server-1/server.log").exists()


def test_a_shell_is_explicit(rig: Rig) -> None:
    in_shell = {"shell": True}
    rig.launch("t1", ["echo $((1 + 1)); exit 3"], **in_shell)
    assert rig.wait("t1")["exit"] == 3
    assert rig.output("t1") == "2\n"
    with pytest.raises(AgentError, match="one word"):
        rig.launch("t2", ["echo", "x"], **in_shell)


def test_endless_output_is_ended_and_cut(rig: Rig) -> None:
    rig.launch("t1", ["yes"], output_limit=100_000)
    result = rig.wait("t1")
    assert (result["output_exceeded"], result["exit"]) == (True, -signal.SIGKILL)
    assert (rig.work / "trials/t1/stdout").stat().st_size == 100_000
    rig.launch("t2", ["echo", "short"], output_limit=100_000)
    assert rig.wait("t2")["output_exceeded"] is False


def test_many_files_are_listed_as_far_as_a_reply_holds(rig: Rig) -> None:
    rig.launch("t1", python("for n in range(3000): open(f'{n:030}', 'w').close()"))
    result = rig.wait("t1")
    assert len(result["files"]) + result["files_left_off"] == 3002
    assert 300 < len(result["files"]) < 3000


def test_what_the_child_was_before_the_program_is_not_its_cpu(rig: Rig) -> None:
    rig.launch("t1", ["true"], hold=True)
    rig.go("t1")
    rig.wait("t1")
    rig.launch("t2", python("sum(range(3_000_000))"), hold=True)
    rig.go("t2")
    assert rig.wait("t2")["cpu_user"] > 0


def test_a_result_is_found_again_after_the_connection(rig: Rig) -> None:
    rig.launch("t1", ["sleep", "0.3"], hold=True)
    rig.go("t1")
    rig.agent.close()
    rig.agent = connect(Host(name="here", transport="pipe"), RUN, owner="tests", ttl=60)
    first = rig.wait("t1")
    assert first["exit"] == 0
    assert rig.wait("t1") == first


def test_samples_have_edges_and_a_warmup(rig: Rig) -> None:
    rig.agent.call("start", timeout=LIMIT, descriptor=write_descriptor(rig.folder), settings={})
    rig.launch("load", ["sleep", "600"])
    start = rig.clock() + 0.05
    rig.watch("w1", start=start, warmup=0.25, duration=0.5, task="load", service="server-1")
    await_true(lambda: len(rig.edges("w1")) == 2)
    samples, edges = rig.samples("w1"), rig.edges("w1")
    assert rig.agent.call("unwatch", timeout=LIMIT, watch="w1")["samples"] == len(samples) <= 9
    warm = [sample for sample in samples if sample.get("warmup")]
    assert 0 < len(warm) <= 3
    assert warm == samples[: len(warm)]
    assert edges == [samples[len(warm)], samples[-1]]
    for edge, at in zip(edges, (start + 0.25, start + 0.75), strict=True):
        assert at <= edge["m"]
        assert edge["service"]["cpu"] >= 0
        assert edge["service"]["rss"] > 0
        assert edge["task"]["cpu"] is not None
        assert {"foreign", "irqs", "kmsg", "units", "logins", "freq", "temp"} <= set(edge)
        assert {"netdev", "netstat", "snmp", "meminfo", "vmstat", "throttle"} <= set(edge["files"])
    times = [sample["m"] for sample in samples]
    assert times == sorted(times)
    between = samples[len(warm) + 1]
    assert "vmstat" not in between["files"]
    assert between["files"]["stat"].startswith("cpu ")
    assert edges[0]["files"]["netstat"].count("TcpExt:") == 2
    assert set(edges[0]["irqs"]) >= {"cpu0"}
    rig.agent.call("cancel", timeout=LIMIT, task="load")


def test_a_watch_needs_no_task_and_no_connection(rig: Rig) -> None:
    rig.watch("w1", duration=0.4)
    rig.agent.close()
    rig.agent = connect(Host(name="here", transport="pipe"), RUN, owner="tests", ttl=60)
    await_true(lambda: len(rig.edges("w1")) == 2)
    count = len(rig.samples("w1"))
    told = rig.agent.call("unwatch", timeout=LIMIT, watch="w1")
    size = (rig.work / "trials/w1/host.samples").stat().st_size
    assert told == {"samples": count, "files": [{"path": "host.samples", "size": size}]}
    assert rig.agent.call("unwatch", timeout=LIMIT, watch="w1") == told
    assert rig.samples("w1")[0]["task"] == {"cpu": None}


def test_a_watch_ends_with_its_task(rig: Rig) -> None:
    rig.launch("load", python("import time; time.sleep(0.3); sum(range(3_000_000))"))
    rig.watch("w1", duration=600, hz=1, task="load")
    rig.wait("load")
    assert rig.agent.call("unwatch", timeout=LIMIT, watch="w1")["samples"] == 2
    first, last = rig.samples("w1")
    assert (first["edge"], last["edge"]) == (True, True)
    assert last["task"]["cpu"] > first["task"]["cpu"]


def test_a_watch_is_ended(rig: Rig) -> None:
    rig.watch("w1", duration=600, hz=1)
    await_true((rig.work / "trials/w1/host.samples").exists)
    told = rig.agent.call("unwatch", timeout=LIMIT, watch="w1")
    assert told["samples"] in {0, 2}  # it may not have come to its first
    assert rig.agent.call("unwatch", timeout=LIMIT, watch="never") == {"samples": 0, "files": []}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hz": 0}, "hz are more than 0"),
        ({"duration": -1}, "duration and hz are more than 0"),
        ({"task": "t9"}, "no task t9 to watch"),
        ({"cwd": "/nowhere"}, "no samples of this run belong there"),
        ({"cwd": "{work}/../x"}, "no samples of this run belong there"),
    ],
)
def test_a_watch_of_nonsense_is_refused(rig: Rig, changes: dict[str, Any], said: str) -> None:
    if "cwd" in changes:
        changes = {"cwd": changes["cwd"].format(work=rig.work)}
    with pytest.raises(AgentError, match=said):
        rig.watch("w1", **changes)


@pytest.mark.parametrize(
    "ready",
    [
        {"port": "PORT"},
        {"port": "PORT", "host": "localhost"},
        {"http": "http://127.0.0.1:PORT/ready?now"},
        {"log": "^accepts +connections$"},
        {
            "argv": [
                sys.executable,
                "-ISB",
                "-c",
                "import socket; socket.create_connection(('127.0.0.1', PORT))",
            ]
        },
    ],
    ids=["port", "host", "http", "log", "command"],
)
def test_readiness_is_seen(rig: Rig, ready: dict[str, Any]) -> None:
    descriptor = rig.service(ready={**ready, "timeout": 20, "interval": 0.01})
    started = rig.agent.call("start", timeout=LIMIT, descriptor=descriptor)
    assert process.is_alive(started["pid"])
    assert "accepts connections" in (rig.work / "web-1/server.log").read_text()
    assert rig.agent.call("ready", timeout=LIMIT, descriptor=descriptor) == {"ready": True}
    assert rig.agent.call("stop", timeout=LIMIT, descriptor=descriptor)["how"] == "SIGTERM"
    assert rig.agent.call("ready", timeout=LIMIT, descriptor=descriptor) == {"ready": False}


@pytest.mark.parametrize(
    ("ready", "answer"),
    [
        ({"port": 1}, "Connection refused"),
        ({"http": "http://127.0.0.1:PORT/other"}, "(status 503|Connection refused)"),
        ({"log": "never"}, "no line of its output matches"),
        ({"argv": ["sh", "-c", "echo too early >&2; exit 3"]}, "exit code 3, too early"),
    ],
    ids=["port", "http", "log", "command"],
)
def test_what_is_never_ready_leaves_nothing_and_says_what_it_answered(
    rig: Rig, ready: dict[str, Any], answer: str
) -> None:
    said = rf"web-1 was not ready within 0\.6 s, asked again and again by .*; the last answer: {answer}"
    with pytest.raises(ServiceError, match=said):
        rig.agent.call("start", timeout=LIMIT, descriptor=rig.service(ready={**ready, "timeout": 0.6}))
    assert process.marked(RUN) == []


@pytest.mark.parametrize(
    ("ready", "said"),
    [
        ({"port": "x"}, "ready.port is no port: 'x'"),
        ({"http": "ftp://x/"}, "ready.http is no http:// address"),
        ({"http": "http://x/\r\nEvil: 1"}, "ready.http is no http:// address"),
        ({"log": "("}, "ready.log is no regular expression"),
        ({"log": "x", "port": 1}, "ready has port and log"),
    ],
)
def test_probes_of_nonsense_are_refused(rig: Rig, ready: dict[str, Any], said: str) -> None:
    with pytest.raises(AgentError, match=said):
        rig.agent.call("start", timeout=LIMIT, descriptor=rig.service(ready=ready))
    assert process.marked(RUN) == []


def test_a_command_stops_the_service(rig: Rig) -> None:
    command = python("import os, sys; os.kill(int(open(sys.argv[1]).read()), 2)", "{work}/pid")
    start = {"argv": ["sh", "-c", 'echo $$ > "$1/pid"; exec sleep 600', "sh", "{work}"]}
    ready = {"argv": ["test", "-s", "{work}/pid"], "interval": 0.01, "timeout": 20}
    descriptor = rig.service(start=start, ready=ready, stop={"argv": command, "timeout": 10})
    rig.agent.call("start", timeout=LIMIT, descriptor=descriptor)
    stopped = rig.agent.call("stop", timeout=LIMIT, descriptor=descriptor)
    assert (stopped["how"], stopped["exit"]) == ("command", -signal.SIGINT)


@pytest.mark.parametrize("command", [["false"], ["/nowhere/stop"], ["true"], ["sleep", "600"]])
def test_a_stop_command_that_does_not_help_is_followed_by_a_signal(rig: Rig, command: list[str]) -> None:
    descriptor = rig.service(stop={"argv": command, "timeout": 0.3, "then": "SIGINT"}, ready={"port": "PORT"})
    rig.agent.call("start", timeout=LIMIT, descriptor=descriptor)
    assert rig.agent.call("stop", timeout=LIMIT, descriptor=descriptor)["how"] == "SIGINT"
    assert process.marked(RUN) == []


def test_the_log_keeps_all_starts_and_a_stop_copies_the_last(rig: Rig) -> None:
    descriptor = rig.service(ready={"log": "accepts"})
    copy = rig.work / "trials/0002/server.log"
    for _ in range(2):
        rig.agent.call("start", timeout=LIMIT, descriptor=descriptor)
        rig.agent.call("stop", timeout=LIMIT, descriptor=descriptor, log=str(copy))
    log = (rig.work / "web-1/server.log").read_text()
    assert log.count("--- benchctl: web-1 starts at ") == 2
    assert log.count("accepts connections") == 2
    assert copy.read_text().startswith("listens soon\naccepts connections\n")
    assert copy.read_text().count("accepts connections") == 1
    rig.agent.call("start", timeout=LIMIT, descriptor=descriptor)
    with pytest.raises(AgentError, match="no log of this run belongs there"):
        rig.agent.call("stop", timeout=LIMIT, descriptor=descriptor, log="/nowhere/x.log")
    assert process.marked(RUN) == []


def test_a_service_stays_ready_whatever_its_log_gains(rig: Rig) -> None:
    descriptor = rig.service(ready={"log": "accepts"})
    rig.agent.call("start", timeout=LIMIT, descriptor=descriptor)
    with (rig.work / "web-1/server.log").open("a") as log:
        log.write("warning\n" * 300_000)  # more than one look reads
    assert rig.agent.call("ready", timeout=LIMIT, descriptor=descriptor)["ready"] is True
    rig.agent.call("stop", timeout=LIMIT, descriptor=descriptor)
    assert rig.agent.call("ready", timeout=LIMIT, descriptor=descriptor)["ready"] is False


def test_an_inline_service_is_stopped_at_the_end(rig: Rig) -> None:
    descriptor = rig.service(ready={"port": "PORT"})
    rig.agent.call("start", timeout=LIMIT, descriptor=descriptor)
    assert rig.agent.call("hello", timeout=LIMIT)["busy"] is True
    assert rig.agent.call("end", timeout=LIMIT) == {"stopped": ["web-1"]}


def test_python_39_holds_watches_and_probes(old_rig: Rig) -> None:
    rig = old_rig
    assert rig.agent.hello["python"].startswith("3.9.")
    descriptor = rig.service(ready={"http": "http://127.0.0.1:PORT/ready?now"})
    rig.agent.call("start", timeout=LIMIT, descriptor=descriptor)
    assert rig.launch("load", python(MONOTONIC + "; time.sleep(0.3)"), hold=True)["held"] == "ptrace"
    at = rig.clock() + 0.2
    rig.watch("w1", start=at, warmup=0.1, duration=0.1, task="load", service="web-1")
    rig.agent.call("go", timeout=LIMIT, task="load", at=at)
    result = rig.wait("load")
    assert result["exit"] == 0
    assert at <= result["began"] < float(rig.output("load"))
    assert rig.agent.call("unwatch", timeout=LIMIT, watch="w1")["samples"] in {2, 3}
    assert len(rig.edges("w1")) == 2


NULL_REDIS = {"protocol": "redis", "reply": "+PONG\r\n", "threads": 1}


@pytest.mark.parametrize("local", [True, False], ids=["socket", "loopback"])
@pytest.mark.parametrize("exit_status", [0, 3])
def test_a_task_runs_against_a_null_target(rig: Rig, local: bool, exit_status: int) -> None:  # noqa: FBT001 - a parametrised flag
    path = Path(rig.agent.hello["runtime"]) / "null.sock"
    against = {**NULL_REDIS, **({"socket": str(path)} if local else {})}
    argv = python(CLIENT, str(path) if local else "{port}", str(exit_status))
    rig.launch("t1", argv, against=against)
    result = rig.wait("t1")
    assert result["exit"] == exit_status, rig.output("t1", "stderr")
    assert rig.output("t1").splitlines() == [str(["+PONG"] * 4)] * 6
    report = json.loads(rig.output("t1", "null-target.json"))
    assert report["end"] > report["start"]
    assert report["busy"] > 0
    assert report["target_busy"] > 0
    assert not path.exists()
    assert process.marked(RUN, "t1") == []


def test_a_task_against_a_null_target_is_cancelled_with_it(rig: Rig) -> None:
    rig.launch("t1", ["sleep", "600"], against=NULL_REDIS)
    await_true(lambda: len(process.marked(RUN, "t1")) >= 3)  # the target, its server, the load
    rig.agent.call("cancel", timeout=LIMIT, task="t1")
    assert rig.wait("t1")["cancelled"]
    assert process.marked(RUN, "t1") == []


def test_python_39_has_the_null_target(old_rig: Rig) -> None:
    old_rig.launch("t1", python(CLIENT, "{port}", "0"), against=NULL_REDIS)
    assert old_rig.wait("t1")["exit"] == 0, old_rig.output("t1", "stderr")


def test_a_host_remembers_for_the_next_run(rig: Rig) -> None:
    rig.agent.call("remember", timeout=LIMIT, name="a", value={"throughput": 5.0})
    recalled = rig.agent.call("recall", timeout=LIMIT, name="a")
    assert recalled == {"value": {"throughput": 5.0}}
    assert rig.agent.call("recall", timeout=LIMIT, name="b") == {"value": None}
