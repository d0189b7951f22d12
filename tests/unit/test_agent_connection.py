"""The controller's end against peers that misbehave."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.benchmark.filechannel import LINE_LIMIT
from benchctl.benchmark.session import AgentConnection
from benchctl.benchmark.transport import Channel, PipeTransport
from benchctl.errors import AgentError, ConnectionLostError, LeaseError, ServiceError, TaskError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

LIMIT = 20.0


class _Handle:
    def wait(self, timeout: float) -> int | None:
        del timeout
        return 0

    def terminate(self) -> None:
        pass

    def last_words(self) -> str:
        return "its last words"

    def overflowed(self) -> bool:
        return False


class Scripted:
    """A transport whose program answers each request line with what `peer` returns; b"" ends it."""

    host = "h1"
    reconnects = False

    def __init__(self, peer: Callable[[dict[str, Any]], bytes]) -> None:
        self._peer = peer
        self._threads: list[threading.Thread] = []

    def open_agent(self, program: Path, words: Sequence[str]) -> Channel:
        del program
        return self.open(words)

    def abort(self) -> None:
        pass

    def close(self) -> None:
        pass

    def open(self, argv: Sequence[str]) -> Channel:
        del argv
        (their_in, our_out), (our_in, their_out) = os.pipe(), os.pipe()
        thread = threading.Thread(target=self._serve, args=(their_in, their_out))
        thread.start()
        self._threads.append(thread)
        return Channel(os.fdopen(our_out, "wb", 0), os.fdopen(our_in, "rb", 0), _Handle())

    def _serve(self, reading: int, writing: int) -> None:
        with os.fdopen(reading, "rb") as requests, os.fdopen(writing, "wb", 0) as answers:
            for line in requests:
                answer = self._peer(json.loads(line))
                if not answer:
                    return
                answers.write(answer)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(LIMIT)
            assert not thread.is_alive()


@pytest.fixture
def connect() -> Iterator[Callable[[Callable[[dict[str, Any]], bytes]], AgentConnection]]:
    opened: list[tuple[AgentConnection, Scripted]] = []

    def act(peer: Callable[[dict[str, Any]], bytes]) -> AgentConnection:
        transport = Scripted(peer)
        connection = AgentConnection(transport, Path("agent"), ["attach"])
        opened.append((connection, transport))
        return connection

    yield act
    for connection, transport in opened:
        connection.close()
        transport.join()


def reply(request: dict[str, Any], **answer: Any) -> bytes:
    return json.dumps({"id": request["id"], "ok": True, **answer}).encode() + b"\n"


def test_a_reply_is_returned_without_its_envelope(connect: Any) -> None:
    assert connect(lambda r: reply(r, pid=7)).call("hello", timeout=LIMIT) == {"pid": 7}


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("service", ServiceError),
        ("task", TaskError),
        ("lease", LeaseError),
        ("usage", AgentError),
        ("internal", AgentError),
        (None, AgentError),
    ],
)
def test_refusals_become_errors_with_host_and_log(connect: Any, kind: str, error: type[Exception]) -> None:
    agent = connect(lambda r: reply(r, ok=False, error="it broke", kind=kind, log="line 1\nline 2\n"))
    with pytest.raises(error, match=r"h1: it broke\n  its last lines:\n    line 1\n    line 2"):
        agent.call("start", timeout=LIMIT)


def test_replies_find_their_requests_in_any_order(connect: Any) -> None:
    held: list[dict[str, Any]] = []

    def peer(request: dict[str, Any]) -> bytes:
        held.append(request)
        if len(held) < 2:
            return b'{"id": 999, "ok": true}\n'
        return b"".join(reply(r, op=r["op"]) for r in reversed(held))

    agent = connect(peer)
    found: list[str] = []
    first = threading.Thread(target=lambda: found.append(agent.call("run", timeout=LIMIT)["op"]))
    first.start()
    assert agent.call("cancel", timeout=LIMIT)["op"] == "cancel"
    first.join(LIMIT)
    assert found == ["run"]


def test_silence_is_an_error_and_a_late_reply_is_dropped(connect: Any) -> None:
    gate = threading.Event()
    asked = threading.Event()

    def peer(request: dict[str, Any]) -> bytes:
        if request["op"] == "slow":
            asked.set()
            gate.wait(LIMIT)
        return reply(request, op=request["op"])

    agent = connect(peer)
    with pytest.raises(AgentError, match=r"h1: no reply to slow within 0\.01 s"):
        agent.call("slow", timeout=0.01)
    gate.set()
    assert agent.call("next", timeout=LIMIT) == {"op": "next"}


def test_a_lost_connection_fails_what_waits_and_what_comes(connect: Any) -> None:
    agent = connect(lambda _: b"")
    for _ in range(2):
        with pytest.raises(ConnectionLostError, match="connection to the agent ended: its last words"):
            agent.call("hello", timeout=LIMIT)


@pytest.mark.parametrize("answer", [b"nonsense\n", b"[1]\n", b"\xff\n", b"x" * (LINE_LIMIT + 2)])
def test_a_peer_that_is_no_agent_is_left(connect: Any, answer: bytes) -> None:
    with pytest.raises(ConnectionLostError, match="h1: "):
        connect(lambda _: answer).call("hello", timeout=LIMIT)


def test_the_agents_refusal_of_the_stream_is_shown(connect: Any) -> None:
    agent = connect(lambda _: b'{"id": null, "ok": false, "error": "malformed request"}\n')
    with pytest.raises(ConnectionLostError, match="h1: malformed request"):
        agent.call("hello", timeout=LIMIT)


def test_a_request_that_is_too_long_is_not_sent(connect: Any) -> None:
    agent = connect(reply)
    with pytest.raises(AgentError, match=r"the request start has \d+ bytes; the limit is 65536"):
        agent.call("start", timeout=LIMIT, settings={"a": "x" * LINE_LIMIT})
    assert agent.call("hello", timeout=LIMIT) == {}


def test_a_file_whose_hash_differs_does_not_appear(connect: Any, tmp_path: Path) -> None:
    agent = connect(lambda _: b'{"size": 3}\nabc{"sha256": "0"}\n')
    with pytest.raises(AgentError, match="h1: /x arrived damaged"):
        agent.fetch("/x", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_channel_that_ends_early_is_opened_again(connect: Any, tmp_path: Path) -> None:
    answers = [
        b"",
        b'{"size": 0}\n{"sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}\n',
    ]
    agent = connect(lambda _: answers.pop(0))
    with pytest.raises(ConnectionLostError, match="h1: the file channel ended: its last words"):
        agent.fetch("/x", tmp_path / "x")
    agent.fetch("/x", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b""


def test_closing_twice_is_well(connect: Any) -> None:
    agent = connect(reply)
    agent.close()
    agent.close()
    with pytest.raises(ConnectionLostError):
        agent.call("hello", timeout=LIMIT)


def test_a_program_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConnectionLostError, match="here: /nowhere/python does not start"):
        PipeTransport("here").open(["/nowhere/python"])
