"""Agents over real SSH, to servers of the tests' own: proof of both sides, upload, lost connections."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.agent import process
from benchctl.benchmark import session, ssh
from benchctl.benchmark.connection import AgentConnection, connect, connect_all
from benchctl.benchmark.fleet import Fleet
from benchctl.errors import (
    AgentError,
    AuthError,
    BenchctlError,
    ConnectionLostError,
    HostKeyError,
    UnfitError,
    UnreachableError,
)
from tests.integration.sshd import PROGRAM, Cable, Sshd, await_true, free_port, make_key
from tests.needs import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchctl.model.host import Host

LIMIT = 30.0
RUN = f"run-ssh-{os.getpid()}"

Serve = "Callable[..., Sshd]"


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Sshd]]:
    need("sshd", "apt-get install openssh-server", available=bool(PROGRAM))
    monkeypatch.setenv("BENCHCTL_CACHE", str(tmp_path / "controller"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    servers: list[Sshd] = []

    def make(name: str = "h1", *config: str) -> Sshd:
        servers.append(Sshd(tmp_path, name, *config))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


class Opened:
    """Connects, and ends what it connected."""

    def __init__(self) -> None:
        self.agents: list[AgentConnection] = []
        self.notices: list[str] = []

    def __call__(self, host: Host, run: str = RUN) -> AgentConnection:
        self.agents.append(connect(host, run, owner="tests", ttl=60, on_notice=self.notices.append))
        return self.agents[-1]

    def close(self) -> None:
        for agent in self.agents:
            with contextlib.suppress(BenchctlError):
                agent.call("end", timeout=LIMIT)
            agent.close()
            assert process.await_gone({agent.hello["pid"]}) == set()


@pytest.fixture
def opened(serve: Callable[..., Sshd]) -> Iterator[Opened]:
    made = Opened()
    yield made
    made.close()


def launch(agent: AgentConnection, task: str, argv: list[str]) -> str:
    cwd = f"{agent.hello['work']}/trials/{task}"
    agent.call("launch", timeout=LIMIT, task=task, argv=argv, cwd=cwd, limit=LIMIT, hold=True)
    return cwd


def test_a_host_is_connected_and_known_by_its_own_folders(serve: Any, opened: Opened) -> None:
    server = serve()
    agent = opened(server.host())
    assert agent.hello["cache"] == str(server.cache)
    assert agent.hello["runtime"].startswith(str(server.short))
    program = server.cache / "agent" / f"{agent.hello['hash']}.pyz"
    assert hashlib.sha256(program.read_bytes()).hexdigest() == agent.hello["hash"]
    assert program.stat().st_mode & 0o077 == 0
    compiled = f"{program.name}.{sys.implementation.cache_tag}"  # by the host's Python, which is ours here
    assert sorted(path.name for path in program.parent.iterdir()) == [program.name, compiled]


def test_the_agent_is_sent_once(serve: Any, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve()
    sent: list[Path] = []
    upload = ssh.SshTransport._upload  # noqa: SLF001 - counted, not replaced

    def count(self: ssh.SshTransport, remote: Any, program: Path) -> None:
        sent.append(program)
        upload(self, remote, program)

    monkeypatch.setattr(ssh.SshTransport, "_upload", count)
    first = opened(server.host())
    first.call("end", timeout=LIMIT)
    opened(server.host())
    assert len(sent) == 1
    (server.cache / "agent" / f"{first.hello['hash']}.pyz").write_bytes(b"torn")
    opened(server.host())
    assert len(sent) == 2


def test_a_changed_host_key_is_refused(serve: Any, tmp_path: Path) -> None:
    server = serve()
    server.trust(make_key(tmp_path / "other"))
    with pytest.raises(HostKeyError, match=r"shows the ssh-ed25519 key SHA256:.*not the one in") as caught:
        connect(server.host(), RUN, owner="tests", ttl=60)
    assert caught.value.exit_code == 3
    assert not server.cache.exists()


def test_an_unknown_host_key_is_refused_and_shown(serve: Any) -> None:
    server = serve()
    server.known_hosts.write_text("")
    mark = subprocess.run(
        ["ssh-keygen", "-lf", str(server.folder / "host_key.pub")], check=True, capture_output=True, text=True
    ).stdout.split()[1]
    with pytest.raises(HostKeyError, match=f"{mark.replace('+', '.')}, which is not in {server.known_hosts}"):
        connect(server.host(), RUN, owner="tests", ttl=60)


def test_a_revoked_host_key_is_refused(serve: Any) -> None:
    server = serve()
    server.trust(server.host_key)
    line = server.known_hosts.read_text()
    server.known_hosts.write_text(f"{line}@revoked * {' '.join(server.host_key.split()[:2])}\n")
    with pytest.raises(HostKeyError, match="which is revoked"):
        connect(server.host(), RUN, owner="tests", ttl=60)


def test_a_certificate_authority_is_named_as_unsupported(serve: Any) -> None:
    server = serve()
    server.known_hosts.write_text(f"@cert-authority * {server.host_key}\n")
    with pytest.raises(HostKeyError, match=r"known_hosts:1 wants a certificate, which is not supported"):
        connect(server.host(), RUN, owner="tests", ttl=60)


def test_hashed_names_and_other_kinds_of_keys(serve: Any, tmp_path: Path, opened: Opened) -> None:
    rsa = tmp_path / "rsa"
    public = make_key(rsa, "rsa", "-b", "2048")
    server = serve("h1", f"HostKey {rsa}")
    server.trust(public)  # the server would rather show its ed25519 key
    subprocess.run(["ssh-keygen", "-H", "-f", str(server.known_hosts)], check=True, capture_output=True)
    assert "127.0.0.1" not in server.known_hosts.read_text()
    opened(server.host())


def test_a_wrong_key_is_refused(serve: Any, tmp_path: Path) -> None:
    server = serve()
    make_key(tmp_path / "stranger")
    with pytest.raises(AuthError, match=r"takes none of the keys: .*stranger \(refused\)"):
        connect(server.host(identity_file=str(tmp_path / "stranger")), RUN, owner="tests", ttl=60)


def test_keys_that_cannot_be_used_say_why(serve: Any, tmp_path: Path) -> None:
    server = serve()
    locked = tmp_path / "locked"
    make_key(locked)
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-f", str(locked), "-N", "secret"], check=True, capture_output=True
    )
    garbage = tmp_path / "garbage"
    garbage.write_text("no key\n")
    for path, said in (
        (locked, "has a passphrase: load it with ssh-add"),
        (garbage, "no private key"),
        (tmp_path / "nowhere", "No such file"),
    ):
        with pytest.raises(AuthError, match=said):
            connect(server.host(identity_file=str(path)), RUN, owner="tests", ttl=60)


def test_a_key_in_the_ssh_agent_is_used(
    serve: Any, opened: Opened, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = serve()
    place = server.short / "agent.sock"
    keeper = subprocess.Popen(["ssh-agent", "-D", "-a", str(place)], stdout=subprocess.DEVNULL)
    try:
        await_true(place.exists)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(place))
        subprocess.run(["ssh-add", "-q", str(server.key)], check=True, capture_output=True)
        opened(server.host(identity_file=str(tmp_path / "nowhere")))
    finally:
        keeper.terminate()
        keeper.wait()


def test_a_host_that_is_down_is_unreachable(serve: Any) -> None:
    server = serve()
    with pytest.raises(UnreachableError, match=r"h1: 127\.0\.0\.1 port \d+: Connection refused"):
        connect(server.host(port=free_port()), RUN, owner="tests", ttl=60)


@pytest.mark.parametrize(
    "address", ["no such host", "-oProxyCommand=x", "a\nb", "x" * 300, "h\0", "ü.invalid"]
)
def test_hostile_addresses_are_unreachable_and_nothing_else(serve: Any, address: str) -> None:
    with pytest.raises(UnreachableError):
        connect(serve().host(address=address), RUN, owner="tests", ttl=60)


def test_what_does_not_speak_ssh_is_named(serve: Any) -> None:
    program = "import socket, sys; s = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
    program += "while True:\n c, _ = s.accept(); c.sendall(b'x' * 100000 + b'\\n'); c.close()"
    port = free_port()
    with subprocess.Popen([sys.executable, "-c", program, str(port)]) as child:
        try:
            server = serve()
            await_true(lambda: _listens(port))
            with pytest.raises(UnreachableError, match="does not speak SSH"):
                connect(server.host(port=port), RUN, owner="tests", ttl=60)
        finally:
            child.kill()


def _listens(port: int) -> bool:
    import socket

    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def test_no_python_there(serve: Any) -> None:
    with pytest.raises(UnfitError, match="there is no /nowhere/python3 to run") as caught:
        connect(serve().host(python="/nowhere/python3"), RUN, owner="tests", ttl=60)
    assert "Python 3.9" in caught.value.remedy


def test_a_python_that_is_too_old(serve: Any, tmp_path: Path) -> None:
    old = tmp_path / "python3.6"
    old.write_text(
        f"#!/bin/sh\nexec {sys.executable} -ISB -c 'import sys; sys.version_info = (3, 6, 9, 0, 0);"
        """ code = sys.argv[3]; sys.argv[1:4] = []; exec(code)' "$@"\n"""
    )
    old.chmod(0o755)
    with pytest.raises(UnfitError, match=r"is Python 3\.6; the agent needs 3\.9"):
        connect(serve().host(python=str(old)), RUN, owner="tests", ttl=60)


def test_a_folder_that_cannot_be_made(serve: Any) -> None:
    server = serve()
    server.cache.write_text("in the way")
    with pytest.raises(UnfitError, match=f"the agent cannot be kept in {server.cache}/agent"):
        connect(server.host(), RUN, owner="tests", ttl=60)


@pytest.mark.parametrize(
    ("script", "error", "said"),
    [
        ("yes noise", UnfitError, "its shell prints without end"),
        ("yes noise >&2", UnfitError, "prints without end"),
        ("echo no; exit 7", UnfitError, "ended with 7: no"),
        ("kill -9 $$", ConnectionLostError, "before the agent's first word"),
    ],
)
def test_hosts_that_are_no_hosts(
    serve: Any, tmp_path: Path, script: str, error: type[Exception], said: str
) -> None:
    fake = tmp_path / "python3"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    with pytest.raises(error, match=said):
        connect(serve().host(python=str(fake)), RUN, owner="tests", ttl=60)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import os\nwhile 1: os.write(1, b'x' * 4096)", "a line over 65536 bytes"),
        ("import os\nos.read(0, 1); os.write(1, b'surprise\\n')", "what answers is no agent: b'surprise'"),
        ("import os\nos.read(0, 1)\nwhile 1: os.write(2, b'x' * 4096)", "without end to its stderr"),
    ],
)
def test_agents_that_are_no_agents(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    monkeypatch.setattr(session, "PING_INTERVAL", 0.05)
    fake = tmp_path / "python3"
    program = tmp_path / "fake.py"
    program.write_text(
        f"import sys\nprint('motd\\nbenchctl-agent', sys.argv[4], 'have', flush=True)\n{script}\n"
    )
    fake.write_text(f'#!/bin/sh\nexec {sys.executable} {program} "$@"\n')
    fake.chmod(0o755)
    with pytest.raises(AgentError, match=said):
        connect(serve().host(python=str(fake)), RUN, owner="tests", ttl=60)


def test_words_with_meaning_to_a_shell_are_inert(serve: Any, tmp_path: Path) -> None:
    transport = ssh.SshTransport(serve().host())
    words = ["$(touch bad)", "; rm -rf x", "`id`", "a\nb", "-n", "ü ", "", "'\"", "*", "~", "!x", "\\"]
    program = "import sys, json; print(json.dumps(sys.argv[1:]))"
    channel = transport.open([sys.executable, "-ISB", "-c", program, *words])
    data = b""
    while some := channel.stdout.read(1 << 16):
        data += some
    import json

    assert json.loads(data) == words
    with pytest.raises(UnfitError, match="cannot hold a NUL"):
        transport.open(["a\0b"])
    transport.close()


def test_files_come_and_go_whole(serve: Any, opened: Opened, tmp_path: Path) -> None:
    server = serve()
    agent = opened(server.host())
    source = tmp_path / "source"
    source.write_bytes(os.urandom(1 << 16) * 40)
    work = agent.hello["work"]
    digest = agent.put(source, f"{work}/files/a b/tool", executable=True)
    assert digest == hashlib.sha256(source.read_bytes()).hexdigest()
    there = Path(work, "files/a b/tool")
    assert there.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in there.parent.iterdir()] == ["tool"]
    wanted = [(str(there), tmp_path / f"copy{number}") for number in range(30)]
    assert agent.fetch_all(wanted) == [digest] * 30
    assert {path.read_bytes() for _, path in wanted} == {source.read_bytes()}


@pytest.mark.parametrize("path", ["/etc/benchctl-x", "{work}/../x", "{work}", "relative", "{work}/link/x"])
def test_nothing_is_written_outside_the_runs_folder(serve: Any, opened: Opened, path: str) -> None:
    agent = opened(serve().host())
    work = Path(agent.hello["work"])
    (work / "link").symlink_to("/")
    with pytest.raises(AgentError, match=r"not this run's to write|Is a directory"):
        agent.put(Path(__file__), path.format(work=work))
    assert agent.put(Path(__file__), f"{work}/fine")


def test_a_missing_file_is_named_and_the_rest_still_comes(serve: Any, opened: Opened, tmp_path: Path) -> None:
    agent = opened(serve().host())
    with pytest.raises(AgentError, match="/nowhere cannot be fetched: No such file"):
        agent.fetch_all([("/nowhere", tmp_path / "a"), ("/etc/hostname", tmp_path / "b")])
    agent.fetch("/etc/hostname", tmp_path / "b")


def test_a_file_without_room_is_refused(
    serve: Any, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = opened(serve().host())
    huge = Path(agent.hello["work"], "huge")
    with huge.open("wb") as file:
        file.truncate(1 << 40)
    monkeypatch.setattr("benchctl.benchmark.filechannel.FILE_LIMIT", 1 << 50)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
    with pytest.raises(AgentError, match="has room for 1"):
        agent.fetch(str(huge), tmp_path / "huge")


def test_a_cut_in_mid_await_is_survived(serve: Any, opened: Opened) -> None:
    server = serve()
    agent = opened(server.host())
    launch(agent, "t1", ["sh", "-c", "read x < go; echo done; exit 3"])
    fifo = Path(agent.hello["work"], "trials/t1/go")
    os.mkfifo(fifo)
    agent.call("go", timeout=LIMIT, task="t1", at=0.0)
    waiting = agent.submit("await", task="t1")
    server.cut()
    await_true(lambda: any("is there again" in notice for notice in opened.notices))
    assert not waiting.done
    fifo.write_text("x\n")
    result = waiting.result(LIMIT)
    assert (result["exit"], result["cancelled"]) == (3, False)
    assert "trying again" in opened.notices[0]


@pytest.fixture
def cable(serve: Callable[..., Sshd]) -> Iterator[Cable]:
    made = Cable(serve())
    yield made
    made.close()


def test_a_request_whose_reply_was_lost_is_executed_once(cable: Cable, opened: Opened) -> None:
    agent = opened(cable.host)
    cwd = launch(agent, "t1", ["sh", "-c", "echo x >> ../count"])
    count = Path(cwd).parent / "count"
    cable.losing.set()
    pending = agent.submit("go", task="t1", at=0.0)
    await_true(count.exists)
    cable.cut()
    cable.losing.clear()
    assert pending.result(LIMIT) == {"late": True}
    assert agent.call("await", timeout=LIMIT, task="t1")["exit"] == 0
    assert count.read_text() == "x\n"


def test_cuts_at_any_moment_lose_and_repeat_nothing(serve: Any, opened: Opened) -> None:
    server = serve()
    agent = opened(server.host())
    moments = random.Random(5)
    cuts = 12

    def cut() -> None:
        for number in range(cuts):
            threading.Event().wait(moments.uniform(0, 0.05))
            server.cut()
            await_true(lambda number=number: len(opened.notices) >= 2 * number + 2)  # type: ignore[misc]

    cutter = threading.Thread(target=cut)
    cutter.start()
    number = 0
    while cutter.is_alive():
        number += 1
        cwd = launch(agent, f"t{number}", ["sh", "-c", "echo x >> ../count"])
        agent.call("go", timeout=LIMIT, task=f"t{number}", at=0.0)
        assert agent.call("await", timeout=LIMIT, task=f"t{number}")["exit"] == 0
    cutter.join()
    assert (Path(cwd).parent / "count").read_text() == "x\n" * number
    assert sum("is there again" in notice for notice in opened.notices) == cuts


def test_a_fetch_goes_on_after_a_cut(serve: Any, opened: Opened, tmp_path: Path) -> None:
    server = serve()
    agent = opened(server.host())
    large = Path(agent.hello["work"], "large")
    large.write_bytes(os.urandom(1 << 20) * 8)
    wanted = [(str(large), tmp_path / f"copy{number}") for number in range(6)]
    found: list[str] = []
    fetching = threading.Thread(target=lambda: found.extend(agent.fetch_all(wanted)))
    fetching.start()
    await_true((tmp_path / "copy1").exists)
    server.cut()
    fetching.join(LIMIT)
    assert found == [hashlib.sha256(large.read_bytes()).hexdigest()] * 6
    assert not list(tmp_path.glob("*.part"))


def test_silence_is_noticed_and_time_without_a_connection_not_counted(
    cable: Cable, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PING_INTERVAL", 0.05)
    agent = opened(cable.host)
    cable.silent.set()
    asked = agent.submit("stamps", want={})
    found: list[dict[str, Any]] = []
    waiter = threading.Thread(target=lambda: found.append(asked.result(0.01)))
    waiter.start()
    await_true(lambda: any("nothing came from the host" in notice for notice in opened.notices))
    cable.cut()
    cable.silent.clear()
    waiter.join(LIMIT)
    assert found == [{"differ": []}]


def test_a_host_that_stays_away_is_given_up(
    serve: Any, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "RECONNECT_LIMIT", 0.3)
    server = serve()
    agent = opened(server.host())
    pid = agent.hello["pid"]
    server.stop()
    with pytest.raises(ConnectionLostError, match=r"could not be taken up again within 0\.3 s: .*refused"):
        agent.call("stamps", timeout=LIMIT, want={})
    os.kill(pid, 15)


def test_another_host_key_after_a_cut_ends_it(serve: Any, opened: Opened, tmp_path: Path) -> None:
    server = serve()
    agent = opened(server.host())
    pid = agent.hello["pid"]
    server.trust(make_key(tmp_path / "other"))
    server.cut()
    with pytest.raises(ConnectionLostError, match="it is another host"):
        agent.call("stamps", timeout=LIMIT, want={})
    os.kill(pid, 15)


def test_a_dead_supervisor_is_not_replaced_unnoticed(serve: Any, opened: Opened) -> None:
    agent = opened(serve().host())
    os.kill(agent.hello["pid"], 9)
    with pytest.raises(ConnectionLostError, match=f"the supervisor of run {RUN} died"):
        agent.call("stamps", timeout=LIMIT, want={})


def _own_stamp(host: str) -> dict[str, Any]:
    return {"want": {host: "x"}}


def test_eight_hosts_at_once(serve: Any) -> None:
    servers = [serve(f"h{number}") for number in range(8)]
    fleet = Fleet(connect_all([server.host() for server in servers], RUN, owner="tests", ttl=60))
    try:
        found = fleet.each("stamps", _own_stamp, timeout=LIMIT)
        assert found == {f"h{number}": {"differ": [f"h{number}"]} for number in range(8)}
        clocks = fleet.clocks()
        assert all(abs(clock.offset) <= clock.uncertainty + 1e-6 for clock in clocks.values())
        assert fleet.round_trip > 0
        with pytest.raises(AgentError, match=r"h0: (?s:.*)\nh1: "):
            fleet.each("files", {"dir": "/nowhere"}, hosts=["h0", "h1"], timeout=LIMIT)
    finally:
        for reply in dict(fleet.stream("end", timeout=LIMIT)).values():
            assert not isinstance(reply, BenchctlError)
        fleet.close()


def test_one_host_that_fails_lets_the_others_go(serve: Any, tmp_path: Path) -> None:
    good, bad = serve("good"), serve("bad")
    bad.trust(make_key(tmp_path / "other"))
    hosts = [good.host(), bad.host(), good.host(port=free_port())]
    hosts = [*hosts[:2], type(hosts[2])(name="down", transport="ssh", options=hosts[2].options)]
    with pytest.raises(UnfitError, match=r"bad: (?s:.*)\ndown: "):
        connect_all(hosts, RUN, owner="tests", ttl=60)
    await_true(lambda: not list((good.short / "benchctl").glob("*")))
    assert not (good.folder / "lease/lease.json").exists()


def test_through_a_bastion(serve: Any, opened: Opened) -> None:
    bastion, target = serve("bastion"), serve("target")
    known = target.known_hosts.read_text() + bastion.known_hosts.read_text()
    target.known_hosts.write_text(known)
    keys = (target.folder / "authorized_keys").read_text()
    (bastion.folder / "authorized_keys").write_text(keys)
    agent = opened(target.host(proxy_jump=f"root@127.0.0.1:{bastion.port}"))
    assert agent.hello["cache"] == str(target.cache)
    bastion.cut()
    assert agent.call("stamps", timeout=LIMIT, want={}) == {"differ": []}
