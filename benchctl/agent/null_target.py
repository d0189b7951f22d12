"""A target that does nothing: it answers a load generator in its own protocol, as fast as it can be asked.

Runs a load generator against itself and says how busy that was, so that its own ceiling on this host is
known. Knows as much of each protocol as a load generator needs that is content with any answer. Owns its
processes and its socket, both gone at the end.
"""

import contextlib
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

from benchctl.agent.refusal import RefusalError
from benchctl.agent.wire import Json

REPORT = "null-target.json"
PORT = "{port}"  # in the load generator's words: where the target listens, when that is no socket's path
_CHUNK = 1 << 16
_BACKLOG = 1024
Answer = Callable[[bytes], bytes]


def words(options: Json, argv: List[str]) -> List[str]:
    """Return the command line that runs `argv` against the null target that `options` describe.

    `protocol`: redis (with `reply`, the text of every answer) or postgresql (with `version` and `scale`).
    `socket`: the path to listen at; without one it listens at the loopback, and `{port}` in `argv` is where.
    `threads`: of the load generator; the CPUs that these leave free are the target's.
    """
    if options.get("protocol") not in PROTOCOLS:
        raise RefusalError(f"there is no null target for {options.get('protocol')!r}")
    return [sys.executable, "-ISB", sys.argv[0], "null-target", json.dumps(options), *argv]


def run(options: Json, argv: List[str]) -> int:
    """Run `argv` to its end against the null target; leave REPORT in the working folder.

    Returns the exit status of `argv`, negative for a signal.
    """
    cpus = len(os.sched_getaffinity(0))
    threads = min(cpus, int(options["threads"]))
    listener, port = _listen(options.get("socket"))
    servers = [_Server(PROTOCOLS[options["protocol"]], options) for _ in range(max(1, cpus - threads))]
    try:
        threading.Thread(target=_hand_out, args=(listener, servers), daemon=True).start()
        began, start = time.monotonic(), time.time()
        asked = [word.replace(PORT, port) for word in argv]
        pid = os.posix_spawnp(asked[0], asked, os.environ, setsigdef=[signal.SIGPIPE])
        _, status, usage = os.wait4(pid, 0)
        seconds = time.monotonic() - began
    finally:
        spent = sum(server.end() for server in servers)
        if options.get("socket"):
            Path(options["socket"]).unlink()
    report = {
        "start": start,
        "end": start + seconds,
        "busy": (usage.ru_utime + usage.ru_stime) / seconds / threads,
        "target_busy": spent / seconds / len(servers),
    }
    Path(REPORT).write_text(json.dumps(report))
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)


def _listen(path: "str | None") -> "tuple[socket.socket, str]":
    """Listen; return the listener and its port as text, empty for a path."""
    if path:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        port = ""
    else:
        listener = socket.create_server(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    listener.listen(_BACKLOG)
    return listener, port


def _hand_out(listener: socket.socket, servers: "List[_Server]") -> None:
    """Give each server its share of the connections: who would accept for himself got them unevenly."""
    number = 0
    while True:
        connection, _ = listener.accept()
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, contextlib.suppress(OSError):  # a server that is gone leaves its client waiting
            servers[number % len(servers)].take(connection)
        number += 1


class _Server:
    """One process with one thread that answers all its connections."""

    def __init__(self, protocol: Callable[[Json], Answer], options: Json) -> None:
        self._giving, taking = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._pid = os.fork()
        if self._pid == 0:
            with contextlib.suppress(BaseException):
                self._giving.close()
                _answer_all(taking, protocol, options)
            os._exit(1)
        taking.close()

    def take(self, connection: socket.socket) -> None:
        socket.send_fds(self._giving, [b"."], [connection.fileno()])

    def end(self) -> float:
        """End it; return the seconds of CPU that it used."""
        os.kill(self._pid, signal.SIGKILL)
        _, _, usage = os.wait4(self._pid, 0)
        self._giving.close()
        return usage.ru_utime + usage.ru_stime


def _answer_all(taking: socket.socket, protocol: Callable[[Json], Answer], options: Json) -> None:
    answers: Dict[int, Answer] = {}
    ready = select.epoll()
    ready.register(taking.fileno(), select.EPOLLIN)
    read, write, new = os.read, os.write, taking.fileno()
    while True:
        for handle, _ in ready.poll():
            if handle == new:
                _, handles, _, _ = socket.recv_fds(taking, 1, 1)
                if not handles:
                    return
                answers[handles[0]] = protocol(options)
                ready.register(handles[0], select.EPOLLIN)
                continue
            try:
                data = read(handle, _CHUNK)
                if data:
                    reply = answers[handle](data)
                    while reply:
                        reply = reply[write(handle, reply) :]
            except OSError:  # the client has gone
                data = b""
            if not data:
                del answers[handle]
                ready.unregister(handle)  # closing does not do that while who handed it over has it too
                os.close(handle)


def _redis(options: Json) -> Answer:
    """RESP: a command is an array, and nothing else in it holds an asterisk; all get the same reply.

    What redis-benchmark sends: keys, counters and data of the characters 0 to o (genBenchmarkRandomData).
    """
    reply = str(options["reply"]).encode()
    return lambda data: reply * data.count(b"*")


class _Postgresql:
    """PostgreSQL's protocol 3: all are let in, a SELECT has one row with the scale, all else is done.

    Source: PostgreSQL's documentation, Frontend/Backend Protocol, Message Formats.
    """

    def __init__(self, options: Json) -> None:
        scale = str(options["scale"]).encode()
        column = b"scale\0" + struct.pack("!IhIhih", 0, 0, 23, 4, -1, 0)
        self._columns = _message(b"T", struct.pack("!h", 1) + column)
        self._row = _message(b"D", struct.pack("!hi", 1, len(scale)) + scale)
        self._greeting = (
            _message(b"R", struct.pack("!i", 0))
            + b"".join(_message(b"S", f"{name}\0{value}\0".encode()) for name, value in self._said(options))
            + _message(b"K", struct.pack("!ii", 1, 1))
            + _READY
        )
        self._data = b""
        self._greeted = False
        self._at_once = {
            verb: (self._columns + self._row if verb == b"SELECT" else b"") + done + _READY
            for verb, done in _DONE.items()
        }
        self._statements: Dict[bytes, bytes] = {}
        self._current = b""  # the SQL of the statement that was bound last

    @staticmethod
    def _said(options: Json) -> "list[tuple[str, Any]]":
        return [
            ("server_version", options["version"]),
            ("client_encoding", "UTF8"),
            ("standard_conforming_strings", "on"),
        ]

    def __call__(self, data: bytes) -> bytes:
        """Take what came; return the answer to all messages that are complete."""
        if self._greeted and not self._data and data[:1] == b"Q":  # by far the most: one whole query
            reply = self._at_once.get(data[5:11])
            if reply is not None and int.from_bytes(data[1:5], "big") == len(data) - 1:
                return reply
        data, found, at = self._data + data, b"", 0
        while not self._greeted and len(data) - at >= 8:
            length, code = struct.unpack_from("!II", data, at)
            at += length
            self._greeted = code >> 16 == 3
            found += self._greeting if self._greeted else b"N"  # neither TLS nor GSS
        while self._greeted and len(data) - at >= 5:
            end = at + 1 + int.from_bytes(data[at + 1 : at + 5], "big")
            if end > len(data):
                break
            found += self._reply(data[at : at + 1], data[at + 5 : end])
            at = end
        self._data = data[at:]
        return found

    def _reply(self, kind: bytes, body: bytes) -> bytes:
        if kind == b"Q":
            rows = self._columns + self._row if _gives_rows(body) else b""
            return rows + _done(body) + _READY
        if kind == b"P":
            name, sql, _ = body.split(b"\0", 2)
            self._statements[name] = self._current = sql
            return _message(b"1", b"")
        if kind == b"B":
            self._current = self._statements[body.split(b"\0", 2)[1]]
            return _message(b"2", b"")
        if kind == b"D":
            return self._columns if _gives_rows(self._current) else _message(b"n", b"")
        if kind == b"E":
            return (self._row if _gives_rows(self._current) else b"") + _done(self._current)
        return _READY if kind == b"S" else b""


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def _gives_rows(sql: bytes) -> bool:
    # pgbench asks how its tables are partitioned, and takes an answer without rows for `not at all`
    return sql[:6].upper() == b"SELECT" and b"partstrat" not in sql


def _done(sql: bytes) -> bytes:
    if b"partstrat" in sql:
        return _EMPTY
    return _DONE.get(sql[:6].upper().ljust(5, b"\0"), _EMPTY)


_READY = _message(b"Z", b"I")
_EMPTY = _message(b"I", b"")
_DONE = {  # by the first six bytes of a query, as pgbench spells them
    b"SELECT": _message(b"C", b"SELECT 1\0"),
    b"UPDATE": _message(b"C", b"UPDATE 1\0"),
    b"INSERT": _message(b"C", b"INSERT 0 1\0"),
    b"BEGIN;": _message(b"C", b"BEGIN\0"),
    b"END;\0": _message(b"C", b"COMMIT\0"),
}

PROTOCOLS: Dict[str, Callable[[Json], Answer]] = {"redis": _redis, "postgresql": _Postgresql}
