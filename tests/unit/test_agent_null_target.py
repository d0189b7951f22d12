"""The null target's answers, message by message, and what makes a host forget what was measured of it."""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from benchctl.agent import memory, null_target
from benchctl.agent.refusal import RefusalError

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.agent.context import Context
    from benchctl.agent.null_target import Answer

STARTUP = struct.pack("!II", 8 + 13, 196608) + b"user\0bench\0\0\0"
TLS = struct.pack("!II", 8, 80877103)


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def kinds(reply: bytes) -> str:
    """The types of a server's messages, in order."""
    found, at = "", 0
    while at < len(reply):
        found += chr(reply[at])
        at += 1 + int.from_bytes(reply[at + 1 : at + 5], "big")
    assert at == len(reply)
    return found


def postgresql() -> Answer:
    return null_target.PROTOCOLS["postgresql"]({"version": "18.6", "scale": 7})


CLIENT = """
import socket, sys
def ask():
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=20) as connection:
        connection.sendall(b"*1")
        assert connection.recv(5) == b"+OK\\r\\n"
for _ in range(5):
    ask()
"""


@pytest.fixture
def server() -> Answer:
    answer = postgresql()
    assert kinds(answer(STARTUP)) == "RSSSKZ"
    return answer


def test_redis_has_one_reply_for_each_command_however_they_arrive() -> None:
    answer = null_target.PROTOCOLS["redis"]({"reply": "+OK\r\n"})
    command = b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000001\r\n$3\r\nxxx\r\n"
    assert answer(command * 5) == b"+OK\r\n" * 5
    cut = command * 2
    assert b"".join(answer(cut[at : at + 7]) for at in range(0, len(cut), 7)) == b"+OK\r\n" * 2


def test_a_client_that_leaves_before_it_was_handed_over_ends_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a busy machine: who hands connections over still has his copy when the client is gone."""
    send = socket.send_fds

    def send_slowly(*arguments: Any) -> int:
        sent = send(*arguments)
        time.sleep(0.1)
        return sent

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket, "send_fds", send_slowly)
    options = {"protocol": "redis", "reply": "+OK\r\n", "threads": 1}
    assert null_target.run(options, [sys.executable, "-c", CLIENT, null_target.PORT]) == 0


def test_postgresql_declines_tls_then_lets_in() -> None:
    answer = postgresql()
    assert answer(TLS) == b"N"
    reply = answer(STARTUP)
    assert b"server_version\x0018.6\0" in reply
    assert kinds(reply) == "RSSSKZ"


@pytest.mark.parametrize(
    ("sql", "answered"),
    [
        ("BEGIN;", "CZ"),
        ("UPDATE pgbench_accounts SET abalance = 1 WHERE aid = 2;", "CZ"),
        ("SELECT abalance FROM pgbench_accounts WHERE aid = 2;", "TDCZ"),
        ("INSERT INTO pgbench_history VALUES (1);", "CZ"),
        ("END;", "CZ"),
        ("select count(*) from pgbench_branches", "TDCZ"),
        ("select o.n, p.partstrat from pg_class", "IZ"),
        ("vacuum", "IZ"),
    ],
)
def test_postgresql_answers_queries(server: Answer, sql: str, answered: str) -> None:
    query = message(b"Q", sql.encode() + b"\0")
    assert kinds(server(query)) == answered
    assert kinds(b"".join(server(query[at : at + 1]) for at in range(len(query)))) == answered
    assert kinds(server(query * 2)) == answered * 2


def test_a_count_of_branches_is_the_scale(server: Answer) -> None:
    assert message(b"D", struct.pack("!hi", 1, 1) + b"7") in server(message(b"Q", b"SELECT count(*)\0"))


def test_postgresql_knows_prepared_statements(server: Answer) -> None:
    read, write = b"SELECT 1;", b"UPDATE t SET a = 1;"
    sync, execute = message(b"S", b""), message(b"E", b"\0" + bytes(4))
    parsed = message(b"P", b"p0\0" + read + bytes(3)) + message(b"P", b"p1\0" + write + bytes(3)) + sync
    assert kinds(server(parsed)) == "11Z"
    for name, answered in ((b"p0", "2TDCZ"), (b"p1", "2nCZ"), (b"p0", "2TDCZ")):
        bound = message(b"B", b"\0" + name + b"\0" + bytes(6)) + message(b"D", b"P\0")
        assert kinds(server(bound + execute + sync)) == answered


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(RefusalError, match="no null target for 'mysql'"):
        null_target.words({"protocol": "mysql"}, ["true"])


def context(folder: Path) -> Context:
    return cast("Context", SimpleNamespace(cache=folder))


def test_what_was_measured_is_known_until_the_host_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = context(tmp_path)
    assert memory.recall(here, "a") == {"value": None}
    memory.remember(here, "a", {"throughput": 1.0})
    memory.remember(here, "b", {"throughput": 2.0})
    assert memory.recall(here, "a") == {"value": {"throughput": 1.0}}
    monkeypatch.setattr(memory, "boot_id", lambda: "another boot")
    assert memory.recall(here, "a") == {"value": None}
    memory.remember(here, "c", {"throughput": 3.0})
    assert set(json.loads((tmp_path / memory.FILE).read_text())["values"]) == {"c"}


@pytest.mark.parametrize("content", ["", "[]", '{"host": 1}', '{"values": {}}'])
def test_a_damaged_memory_is_empty(tmp_path: Path, content: str) -> None:
    (tmp_path / memory.FILE).write_text(content)
    assert memory.recall(context(tmp_path), "a") == {"value": None}


def test_a_memory_does_not_grow_without_end(tmp_path: Path) -> None:
    here: Any = context(tmp_path)
    for number in range(memory.KEPT + 3):
        memory.remember(here, str(number), {})
    memory.remember(here, "3", {"new": True})
    kept = json.loads((tmp_path / memory.FILE).read_text())["values"]
    assert list(kept) == [*map(str, range(4, memory.KEPT + 3)), "3"]
