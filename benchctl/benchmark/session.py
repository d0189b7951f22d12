"""The controller's end of the agent protocol: requests as JSON lines, over connections that may break.

Owns the pairing of replies with requests, taking a lost connection up again, the renewal of the host's lease
and the mapping of refusals to errors. Must not know what the operations do: the agent owns that.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from benchctl.benchmark.clock import ClockEstimate
from benchctl.benchmark.filechannel import CLOSE_TIMEOUT, LINE_LIMIT, FileChannel, hang_up, write_all
from benchctl.errors import (
    AgentError,
    BenchctlError,
    ConnectionLostError,
    HostKeyError,
    LateError,
    LeaseError,
    ServiceError,
    TaskError,
    UnfitError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchctl.benchmark.protocol import Clock
    from benchctl.benchmark.transport import Channel, Transport

CONNECT_TIMEOUT = 30.0  # seconds for the first reply: the supervisor may have to start on a busy host
RECONNECT_LIMIT = 120.0  # seconds for which a lost connection is tried again
PING_INTERVAL = 3.0  # seconds
MISSED_LIMIT = 4  # pings in a row without a byte from the host: it counts as gone, after 12 s
STATUS_TIMEOUT = 2.0  # seconds after the end of a program's output until its exit status comes, if it does
CLOCK_FIRST = 20  # round trips of a first measurement
CLOCK_FRESH = 0.5  # seconds for which a measurement needs no new one
_BACKOFF, _BACKOFF_LIMIT = 0.1, 5.0  # seconds between two attempts, doubled each time
_KINDS: dict[str, type[BenchctlError]] = {
    "service": ServiceError,
    "task": TaskError,
    "lease": LeaseError,
    "late": LateError,
    "unfit": UnfitError,
}


class _End(NamedTuple):
    why: str
    final: bool  # nothing can come after it


class _Link:
    """One channel to the attacher, while it lasts."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.buffer = b""
        self.broken = ""  # why we gave it up
        self.refusing = ""  # what it said to the last request; why, the reader learns at its end
        self.final = False  # nothing can come after it


class _Request:
    """An operation under way; it outlives the link that it was sent over."""

    def __init__(self, connection: AgentConnection, number: int, op: str, line: bytes) -> None:
        self.number = number
        self.op = op
        self.line = line
        self.ready = threading.Event()
        self.reply: dict[str, Any] | None = None
        self.sent_over: _Link | None = None
        self.sent = 0.0
        self.received = 0.0
        self._connection = connection
        self._watchers: list[threading.Event] = []

    @property
    def done(self) -> bool:
        return self.ready.is_set()

    def result(self, timeout: float) -> dict[str, Any]:
        return self._connection.await_reply(self, timeout)

    def watch(self, event: threading.Event) -> None:
        self._watchers.append(event)
        if self.done:
            event.set()

    def finish(self, reply: dict[str, Any] | None) -> None:
        self.received = time.monotonic()
        self.reply = reply
        self.ready.set()
        for event in self._watchers:
            event.set()


class AgentConnection:
    """One host's agent. Several threads may use it at once; a reply that nobody waits for is dropped.

    Requests are numbered within a session that the agent knows: after a lost connection those without a reply
    are sent again with their numbers, and the agent executes each once.
    """

    def __init__(
        self,
        transport: Transport,
        program: Path,
        words: Sequence[str],
        *,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        """Open the connection: start the attacher of `program` with `words`, which `connect` knows.

        `on_notice` is told in words when the connection is lost and when it is there again. Raises what the
        transport raises.
        """
        self.host = transport.host
        self.hello: dict[str, Any] = {}
        self._transport = transport
        self._program = program
        self._words = (*words, "--session", secrets.token_hex(8))
        self._notice = on_notice or (lambda _: None)
        self._ids = itertools.count(1)
        self._lock = threading.Lock()  # of _pending and _lost
        self._write_lock = threading.Lock()
        self._pending: dict[int, _Request] = {}
        self._lost = ""
        self._heard = time.monotonic()
        self._missed = 0
        self._up = threading.Event()  # the link works, or never will again
        self._closing = threading.Event()
        self._clock = ClockEstimate()
        self._files: FileChannel | None = None
        self._files_lock = threading.Lock()
        try:
            self._link = _Link(transport.open_agent(program, self._words))
        except BaseException:
            transport.close()
            raise
        self._up.set()
        self._keeper: threading.Thread | None = None
        self._lease: tuple[dict[str, Any], float] | None = None
        self._reader = threading.Thread(target=self._serve, name=f"agent-{self.host}", daemon=True)
        self._reader.start()
        if transport.reconnects:
            self._start_keeper()

    @property
    def round_trip(self) -> float:
        return self._clock.round_trip

    def call(self, op: str, *, timeout: float, **args: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
        """Execute one operation on the host; time without a connection is not counted.

        Raises ServiceError, TaskError or LeaseError as the agent says, AgentError for what it could not do or
        did not answer within `timeout` seconds, ConnectionLostError when the connection ended for good.
        """
        return self.submit(op, **args).result(timeout)

    def submit(self, op: str, **args: Any) -> _Request:  # noqa: ANN401 - JSON values
        """Begin one operation. Raises ConnectionLostError when the connection has ended for good."""
        number = next(self._ids)
        line = json.dumps({"id": number, "op": op, **args}, separators=(",", ":")).encode() + b"\n"
        if len(line) > LINE_LIMIT:
            raise AgentError(
                f"{self.host}: the request {op} has {len(line)} bytes; the limit is {LINE_LIMIT}"
            )
        request = _Request(self, number, op, line)
        with self._lock:
            if self._lost:
                raise self._gone()
            self._pending[number] = request
        self._send(request)
        return request

    def await_reply(self, request: _Request, timeout: float) -> dict[str, Any]:
        """Wait for a request's reply; what `Pending.result` does."""
        try:
            if not self._is_answered(request, timeout):
                raise AgentError(
                    f"{self.host}: no reply to {request.op} within {timeout:g} s", remedy=self._remedy()
                )
        finally:
            with self._lock:
                self._pending.pop(request.number, None)
        if request.reply is None:
            raise self._gone()
        return self._judge(request.op, request.reply)

    def fetch(self, path: str, destination: Path) -> str:
        """Copy one file of the host; see `fetch_all`."""
        return self.fetch_all([(path, destination)])[0]

    def fetch_all(self, files: Sequence[tuple[str, Path]]) -> list[str]:
        """Copy files of the host over the raw channel, which opens at its first use; return their SHA-256.

        Each appears under its name only when complete and checked; syncing is the caller's. A lost connection
        is waited for, and what had not arrived is fetched again. Raises AgentError when the host cannot read
        one, it is too large or its hash differs, ConnectionLostError when the connection ended for good.
        """
        hashes: list[str] = []
        self._over_files(lambda channel: channel.fetch_all(files, hashes))
        return hashes

    def put(self, source: Path, path: str, *, executable: bool = False) -> str:
        """Copy a file to the host, below the run's work folder; return its SHA-256. Raises as `fetch_all`."""
        hashes: list[str] = []
        self._over_files(lambda channel: hashes.append(channel.put(source, path, executable=executable)))
        return hashes[0]

    def clock(self) -> Clock:
        """Return how the host's clock stands to ours; many round trips the first time, none if just measured.

        Raises as `call`.
        """
        while len(self._clock) < CLOCK_FIRST or time.monotonic() - self._clock.last > CLOCK_FRESH:
            self.call("clock", timeout=CONNECT_TIMEOUT)
        return self._clock.at(time.monotonic())

    def close(self) -> None:
        """Close the connection. Safe to repeat, and from any thread."""
        self._closing.set()
        with self._files_lock:
            self._close_files()
        hang_up(self._link.channel)
        self._reader.join(CLOSE_TIMEOUT)
        if not self._reader.is_alive():
            self._link.channel.stdout.close()
        self._transport.close()
        self._fail(f"{self.host}: the connection to the agent is closed")

    def keep_lease(self, owner: str, ttl: float) -> None:
        """Take the lease, then renew it three times per `ttl` seconds until the connection closes.

        Raises LeaseError when another run holds the host.
        """
        record = {"user": owner, "pid": os.getpid(), "host": platform.node()}
        self.call("lease", timeout=CONNECT_TIMEOUT, owner=record, ttl=ttl)
        self._lease = (record, ttl)
        self._start_keeper()

    def _start_keeper(self) -> None:
        if self._keeper is None:
            self._keeper = threading.Thread(target=self._keep, name=f"keeper-{self.host}", daemon=True)
            self._keeper.start()

    def _keep(self) -> None:
        """Renew the lease; where a connection may be lost in silence, ask whether the host is there."""
        renewed = time.monotonic()
        while True:
            lease = self._lease  # it comes after the first pings, and then stays
            pause = PING_INTERVAL if self._transport.reconnects else lease[1] / 3 if lease else PING_INTERVAL
            if self._closing.wait(min(pause, lease[1] / 3) if lease else pause) or self._lost:
                return
            try:
                if self._transport.reconnects:
                    self._ping()
                if lease is not None and time.monotonic() - renewed >= lease[1] / 3:
                    renewed = time.monotonic()
                    self.submit("lease", owner=lease[0], ttl=lease[1])
            except ConnectionLostError:
                return  # the operation under way learns of it itself, with a better message

    def _ping(self) -> None:
        """Count, rather than look at the clock: this machine may have been asleep."""
        link = self._link
        if link.broken:  # the reader is at work on another one
            self._missed = 0
            return
        self._missed += 1
        if link.channel.process.overflowed():
            self._break(link, "it writes without end to its stderr", final=True)
        elif self._missed > MISSED_LIMIT:
            self._missed = 0
            self._break(link, "nothing came from the host any more")
            self._transport.abort()
        elif self._up.is_set() and not any(request.op == "clock" for request in self._requests()):
            self.submit("clock")

    def _requests(self) -> list[_Request]:
        with self._lock:
            return [self._pending[number] for number in sorted(self._pending)]

    def _hear(self) -> None:
        self._heard = time.monotonic()
        self._missed = 0

    def _send(self, request: _Request) -> None:
        """Send over the link there is; without one the request waits for the next."""
        with self._write_lock:
            link = self._link
            if not self._up.is_set() or link.broken or link.refusing or request.sent_over is link:
                return
            try:
                request.sent, request.sent_over = time.monotonic(), link
                write_all(link.channel, request.line)
            except TimeoutError:
                self._break(link, "it does not take requests any more")
            except (OSError, ValueError) as error:
                link.refusing = f"it does not take requests any more: {error}"
            except BaseException:
                # An interrupt: half a request would spoil the next one.
                self._break(link, "interrupted in the middle of a request")
                raise

    @staticmethod
    def _break(link: _Link, why: str, *, final: bool = False) -> None:
        link.broken = link.broken or why
        link.final = final
        link.channel.process.terminate()  # the reader then sees the end, and decides

    def _is_answered(self, request: _Request, timeout: float) -> bool:
        """Wait; what was sent again over a new connection has its time again."""
        began, left = time.monotonic(), timeout
        while not request.ready.wait(max(left, 0.0)):
            since = max(began, request.sent)
            left = timeout - (time.monotonic() - since)
            if left <= 0:
                if not self._is_in_doubt(request, since):
                    return False
                left = 0.5
        return True

    def _is_in_doubt(self, request: _Request, since: float) -> bool:
        """Say whether the host's silence may be the connection's."""
        asked = self._up.is_set() and request.sent_over is self._link
        return self._transport.reconnects and (not asked or self._heard < since)

    def _judge(self, op: str, reply: dict[str, Any]) -> dict[str, Any]:
        if reply.get("ok") is True:
            return {key: value for key, value in reply.items() if key not in {"id", "ok"}}
        message = f"{self.host}: {reply.get('error') or f'{op} failed without a message'}"
        if log := str(reply.get("log") or "").strip():
            message += f"\n  its last lines:\n{_indented(log)}"
        raise _KINDS.get(str(reply.get("kind")), AgentError)(message)

    def _serve(self) -> None:
        """Read one link after the other until there is no further one."""
        while True:
            end = self._read(self._link)
            if self._closing.is_set() or end.final or not self._transport.reconnects:
                self._fail(end.why)
                self._link.channel.process.terminate()
                return
            failure = self._reconnect(end.why)
            if failure:
                self._fail(failure)
                return

    def _read(self, link: _Link, until: _Request | None = None) -> _End:
        """Read to the end of a link, or until a request has its reply."""
        what = f"{self.host}: the connection to the agent"
        try:
            while data := link.channel.stdout.read(LINE_LIMIT):
                self._hear()
                *lines, link.buffer = (link.buffer + data).split(b"\n")
                for line in lines:
                    self._deliver(line)
                if len(link.buffer) > LINE_LIMIT:
                    return _End(f"{self.host}: the agent sent a line over {LINE_LIMIT} bytes", final=True)
                if until is not None and until.done:
                    return _End("", final=False)
        except AgentError as error:
            return _End(error.detail, final=True)
        except (OSError, ValueError) as error:
            return _End(f"{what} broke: {link.broken or error}", final=False)
        words = link.broken or link.channel.process.last_words() or link.refusing
        exit_status = link.channel.process.wait(STATUS_TIMEOUT)
        told = not link.broken and exit_status is not None and exit_status >= 0  # by a host that is there
        return _End(f"{what} ended: {words}" if words else f"{what} ended", final=told or link.final)

    def _deliver(self, line: bytes) -> None:
        try:
            reply = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise AgentError(f"{self.host}: what answers is no agent: {line[:80]!r}") from error
        if not isinstance(reply, dict):
            raise AgentError(f"{self.host}: what answers is no agent: {line[:80]!r}")
        number = reply.get("id")
        if number is None:  # the agent refuses the stream itself, and closes
            raise AgentError(f"{self.host}: {str(reply.get('error'))[:1000]}")
        with self._lock:
            request = self._pending.pop(number, None) if isinstance(number, int) else None
        if request is not None:
            request.finish(reply)
            if request.op == "clock" and isinstance(reply.get("m"), float):
                self._clock.add(request.sent, request.received, reply["m"])

    def _reconnect(self, why: str) -> str:
        """Take the connection up again and re-send what has no reply; return what made that impossible."""
        self._up.clear()
        self._link.broken = why
        self._notice(f"{why}; trying again for {RECONNECT_LIMIT:g} s")
        self._link.channel.stdout.close()
        deadline, pause = time.monotonic() + RECONNECT_LIMIT, _BACKOFF
        while True:
            try:
                self._relink()
                break
            except HostKeyError as error:
                return f"{why}; then {error.detail}"
            except (ConnectionLostError, UnfitError) as error:
                last = error.detail
            except AgentError as error:
                return error.detail
            if time.monotonic() + pause > deadline or self._closing.wait(pause):
                return f"{why}; it could not be taken up again within {RECONNECT_LIMIT:g} s: {last}"
            pause = min(2 * pause, _BACKOFF_LIMIT)
        self._up.set()
        for request in self._requests():
            self._send(request)
        self._notice(f"{self.host}: the connection to the agent is there again")
        return ""

    def _relink(self) -> None:
        """Open a link to the supervisor that was there before. Raises AgentError when it is another one."""
        link = _Link(self._transport.open_agent(self._program, [*self._words, "--rejoin"]))
        self._missed = 0
        self._link = link
        number = next(self._ids)
        greeting = _Request(self, number, "hello", b"")  # not sent by `_send`: the link is not up yet
        with self._lock:
            self._pending[number] = greeting
        try:
            write_all(link.channel, json.dumps({"id": number, "op": "hello"}).encode() + b"\n")
        except (OSError, ValueError) as error:
            raise ConnectionLostError(f"{self.host}: {error}") from error
        end = self._read(link, until=greeting)
        with self._lock:
            self._pending.pop(number, None)
        if greeting.reply is None:
            raise (AgentError if end.final else ConnectionLostError)(end.why)
        reply = greeting.reply
        if self.hello and (reply.get("boot_id"), reply.get("pid")) != (
            self.hello["boot_id"],
            self.hello["pid"],
        ):
            raise AgentError(
                f"{self.host}: the host was restarted, or its agent was; what it ran for this run is gone"
            )

    def _over_files(self, act: Callable[[FileChannel], None]) -> None:
        """Use the raw channel, opened if need be, again after each lost connection."""
        with self._files_lock:
            while True:
                try:
                    if self._files is None:
                        channel = self._transport.open_agent(self._program, self._file_words())
                        self._files = FileChannel(self.host, channel, self._hear)
                    act(self._files)
                except BaseException as error:
                    if self._files is not None:
                        self._files.abandon()  # what is still under way would be read as the next file
                        self._files = None
                    lost = isinstance(error, ConnectionLostError | UnfitError)
                    if not lost or not self._transport.reconnects or not self._is_there_again():
                        raise
                else:
                    return

    def _file_words(self) -> list[str]:
        return [*self._words, "--files", *(["--rejoin"] if self._transport.reconnects else [])]

    def _close_files(self) -> None:
        if self._files is not None:
            self._files.close()
            self._files = None

    def _is_there_again(self) -> bool:
        """Wait until the connection works; return False when it never will."""
        try:
            self.call("clock", timeout=CONNECT_TIMEOUT)
        except AgentError:
            return False
        return not self._closing.is_set()

    def _fail(self, why: str) -> None:
        with self._lock:
            self._lost = self._lost or why
            waiting = list(self._pending.values())
            self._pending.clear()
        self._up.set()
        for request in waiting:
            request.finish(None)

    def _gone(self) -> ConnectionLostError:
        return ConnectionLostError(self._lost, remedy=self._remedy())

    def _remedy(self) -> str:
        log = f"; its log is {self.hello['runtime']}/supervisor.log" if "runtime" in self.hello else ""
        return f"see whether the host is up and not overloaded, then resume the run{log}"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
