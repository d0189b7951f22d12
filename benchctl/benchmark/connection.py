"""The controller's end of the agent protocol: requests as JSON lines, files over a second raw channel.

Owns the pairing of replies with requests, the renewal of the host's lease and the mapping of refusals to
errors. Must not know what the operations do: the agent owns that.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import platform
import threading
from typing import TYPE_CHECKING, Any, Protocol

from benchctl.agent import build, layout
from benchctl.benchmark.transport import PipeTransport
from benchctl.errors import (
    AgentError,
    BenchctlError,
    ConnectionLostError,
    LeaseError,
    ServiceError,
    TaskError,
    UnfitError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchctl.benchmark.transport import Channel, Transport
    from benchctl.model.host import Host

LINE_LIMIT = 64 * 1024
CONNECT_TIMEOUT = 30.0  # seconds for the first reply: the supervisor may have to start on a busy host
CLOSE_TIMEOUT = 5.0
_CHUNK = 1 << 20
_KINDS: dict[str, type[BenchctlError]] = {"service": ServiceError, "task": TaskError, "lease": LeaseError}


class Agent(Protocol):
    """What the executor needs of an agent; AgentConnection and testing.agent.FakeAgent are both."""

    @property
    def host(self) -> str:
        """The name of the host, as messages show it."""

    @property
    def hello(self) -> dict[str, Any]:
        """The agent's reply to `hello`: cache, work, runtime, boot_id, pid, …."""

    def call(self, op: str, *, timeout: float, **args: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
        """Execute one operation and return its reply without `id` and `ok`; `timeout` in seconds."""

    def fetch(self, path: str, destination: Path) -> str:
        """Copy a file of the host to `destination`; return its SHA-256, checked on both ends."""

    def close(self) -> None:
        """Let go of the connection; the supervisor and what it runs go on until its lease ends."""


class _Pending:
    def __init__(self) -> None:
        self.done = threading.Event()
        self.reply: dict[str, Any] | None = None


class AgentConnection:
    """One host's agent. Several threads may call at once; a reply that nobody waits for is dropped."""

    def __init__(self, host: str, transport: Transport, attach: Sequence[str]) -> None:
        """Open the connection with the command line `attach`, which `connect` knows how to build."""
        self.host = host
        self.hello: dict[str, Any] = {}
        self._transport = transport
        self._attach = tuple(attach)
        self._channel = transport.open(attach)
        self._ids = itertools.count(1)
        self._lock = threading.Lock()  # of _pending and _lost
        self._write_lock = threading.Lock()
        self._pending: dict[int, _Pending] = {}
        self._lost = ""
        self._closing = threading.Event()
        self._files: _FileChannel | None = None
        self._files_lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, name=f"agent-{host}", daemon=True)
        self._reader.start()

    def call(self, op: str, *, timeout: float, **args: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
        """Execute one operation on the host.

        Raises ServiceError, TaskError or LeaseError as the agent says, AgentError for what it could not do or
        did not answer within `timeout` seconds, ConnectionLostError when the connection ended.
        """
        number = next(self._ids)
        line = json.dumps({"id": number, "op": op, **args}, separators=(",", ":")).encode() + b"\n"
        if len(line) > LINE_LIMIT:
            raise AgentError(
                f"{self.host}: the request {op} has {len(line)} bytes; the limit is {LINE_LIMIT}"
            )
        pending = _Pending()
        with self._lock:
            if self._lost:
                raise ConnectionLostError(self._lost, remedy=self._remedy())
            self._pending[number] = pending
        try:
            self._send(line)
            if not pending.done.wait(timeout):
                raise AgentError(f"{self.host}: no reply to {op} within {timeout:g} s", remedy=self._remedy())
        finally:
            with self._lock:
                self._pending.pop(number, None)
        return self._result(op, pending.reply)

    def fetch(self, path: str, destination: Path) -> str:
        """Copy a file of the host over the raw channel, opened at the first use.

        The file appears under its name only when complete and checked; syncing it is the caller's. Raises
        AgentError when the host cannot read it or the hashes differ, ConnectionLostError when the connection
        ended.
        """
        with self._files_lock:
            if self._files is None:
                self._files = _FileChannel(self.host, self._transport.open([*self._attach, "--files"]))
            try:
                return self._files.fetch(path, destination)
            except BaseException:
                self._files.close()  # what is still under way would be read as the next file
                self._files = None
                raise

    def close(self) -> None:
        """Close both channels. Safe to repeat, and from any thread."""
        self._closing.set()
        with self._files_lock:
            if self._files is not None:
                self._files.close()
                self._files = None
        _hang_up(self._channel)
        self._reader.join(CLOSE_TIMEOUT)
        if not self._reader.is_alive():
            self._channel.stdout.close()

    def keep_lease(self, owner: str, ttl: float) -> None:
        """Take the lease, then renew it three times per `ttl` seconds until the connection closes.

        Raises LeaseError when another run holds the host.
        """
        record = {"user": owner, "pid": os.getpid(), "host": platform.node()}
        self.call("lease", timeout=CONNECT_TIMEOUT, owner=record, ttl=ttl)
        name = f"lease-{self.host}"
        threading.Thread(target=self._renew, args=(record, ttl), name=name, daemon=True).start()

    def _renew(self, owner: dict[str, Any], ttl: float) -> None:
        while not self._closing.wait(ttl / 3):
            try:
                self.call("lease", timeout=ttl, owner=owner, ttl=ttl)
            except BenchctlError:
                return  # the operation under way learns of it itself, with a better message

    def _send(self, line: bytes) -> None:
        with self._write_lock:
            sent = 0
            try:
                while sent < len(line):
                    sent += self._channel.stdin.write(line[sent:]) or 0
            except (OSError, ValueError) as error:
                self._reader.join(CLOSE_TIMEOUT)  # it learns the reason, from the attacher's last words
                self._fail(f"{self.host}: the agent does not take requests any more: {error}")
                raise ConnectionLostError(self._lost, remedy=self._remedy()) from error
            except BaseException:
                if sent:  # an interrupt: half a request would spoil the next one
                    self._fail(f"{self.host}: interrupted in the middle of a request")
                raise

    def _result(self, op: str, reply: dict[str, Any] | None) -> dict[str, Any]:
        if reply is None:
            raise ConnectionLostError(self._lost, remedy=self._remedy())
        if reply.get("ok") is True:
            return {key: value for key, value in reply.items() if key not in {"id", "ok"}}
        message = f"{self.host}: {reply.get('error') or f'{op} failed without a message'}"
        if log := str(reply.get("log") or "").strip():
            message += f"\n  its last lines:\n{_indented(log)}"
        raise _KINDS.get(str(reply.get("kind")), AgentError)(message)

    def _read(self) -> None:
        buffer = b""
        try:
            while data := self._channel.stdout.read(LINE_LIMIT):
                *lines, buffer = (buffer + data).split(b"\n")
                for line in lines:
                    self._deliver(line)
                if len(buffer) > LINE_LIMIT:
                    self._fail(f"{self.host}: the agent sent a line over {LINE_LIMIT} bytes")
                    return
        except (OSError, ValueError) as error:
            self._fail(f"{self.host}: the connection to the agent broke: {error}")
            return
        self._fail(_ended(f"{self.host}: the connection to the agent", self._channel))

    def _deliver(self, line: bytes) -> None:
        reply = json.loads(line)
        if not isinstance(reply, dict):
            raise ValueError("a reply is not an object")  # noqa: TRY004 - one kind for all that breaks framing
        number = reply.get("id")
        if number is None:  # the agent refuses the stream itself, and closes
            self._fail(f"{self.host}: {reply.get('error')}")
            return
        with self._lock:
            pending = self._pending.get(number)
        if pending is not None:
            pending.reply = reply
            pending.done.set()

    def _fail(self, why: str) -> None:
        with self._lock:
            self._lost = self._lost or why
            waiting = list(self._pending.values())
        for pending in waiting:
            pending.done.set()

    def _remedy(self) -> str:
        log = f"; its log is {self.hello['runtime']}/supervisor.log" if "runtime" in self.hello else ""
        return f"see whether the host is up and not overloaded, then resume the run{log}"


class _FileChannel:
    def __init__(self, host: str, channel: Channel) -> None:
        self._host = host
        self._channel = channel
        self._buffer = b""

    def fetch(self, path: str, destination: Path) -> str:
        self._channel.stdin.write(json.dumps({"path": path}).encode() + b"\n")
        size = int(self._line(path)["size"])
        digest = hashlib.sha256()
        part = destination.with_name(destination.name + ".part")
        try:
            with part.open("wb") as file:
                while size:
                    data = self._some(min(size, _CHUNK))
                    digest.update(data)
                    file.write(data)
                    size -= len(data)
            if self._line(path)["sha256"] != digest.hexdigest():
                raise AgentError(f"{self._host}: {path} arrived damaged", remedy="repeat the trial")
            part.replace(destination)
        finally:
            part.unlink(missing_ok=True)
        return digest.hexdigest()

    def close(self) -> None:
        _hang_up(self._channel)
        self._channel.stdout.close()

    def _line(self, path: str) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            if len(self._buffer) > LINE_LIMIT:
                raise ConnectionLostError(f"{self._host}: the file channel is out of step")
            self._buffer += self._receive()
        line, self._buffer = self._buffer.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise AgentError(f"{self._host}: {path} cannot be fetched: {answer['error']}")
        return answer

    def _some(self, limit: int) -> bytes:
        data = self._buffer or self._receive()
        self._buffer = data[limit:]
        return data[:limit]

    def _receive(self) -> bytes:
        data = self._channel.stdout.read(_CHUNK)
        if not data:
            words = self._channel.process.last_words()
            raise ConnectionLostError(
                f"{self._host}: the file channel ended" + (f": {words}" if words else "")
            )
        return data


def connect(host: Host, run: str, *, owner: str, ttl: float) -> AgentConnection:
    """Reach the agent of `run` on `host`, start it if needed, and take the host's lease for `ttl` seconds.

    The lease is renewed while the connection is open. `owner` is shown to whom it keeps out. Raises
    LeaseError when another run holds the host, UnfitError when there is no place for its folders,
    ConnectionLostError when the agent cannot be reached, AgentError when the run's agent is of another
    version of benchctl.
    """
    _check_folders(host, run)
    program = build.zipapp(layout.cache_folder())
    transport = PipeTransport(host.name)
    argv = [transport.python, "-ISB", str(program), "attach", "--run", run, "--ttl", f"{ttl:g}"]
    connection = AgentConnection(host.name, transport, argv)
    try:
        _greet(connection, run, program.stem)
        _take_lease(connection, owner, ttl)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_folders(host: Host, run: str) -> None:
    """Raise UnfitError when the host has no place for sockets or for what outlives a run."""
    try:
        layout.runtime_folder(run)
        layout.cache_folder()
    except ValueError as error:
        raise UnfitError(
            f"{host.name}: {error}",
            remedy="XDG_RUNTIME_DIR wants a short path, as /run/user/UID; BENCHCTL_CACHE any folder of yours",
        ) from error


def _greet(connection: AgentConnection, run: str, wanted: str) -> None:
    connection.hello = connection.call("hello", timeout=CONNECT_TIMEOUT)
    if connection.hello["hash"] != wanted:
        raise AgentError(
            f"{connection.host}: the agent of run {run} was started by another version of benchctl",
            remedy="resume the run with the version that started it, or wait for its lease to end",
        )


def _take_lease(connection: AgentConnection, owner: str, ttl: float) -> None:
    try:
        connection.keep_lease(owner, ttl)
    except LeaseError:
        with contextlib.suppress(BenchctlError):  # the refusal matters more
            connection.call("end", timeout=CONNECT_TIMEOUT)
        raise


def _hang_up(channel: Channel) -> None:
    with contextlib.suppress(OSError):
        channel.stdin.close()
    if channel.process.wait(CLOSE_TIMEOUT) is None:
        channel.process.terminate()
    channel.process.last_words()


def _ended(what: str, channel: Channel) -> str:
    words = channel.process.last_words()
    return f"{what} ended: {words}" if words else f"{what} ended"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
