"""The supervisor of one run on this host: it outlives connections, owns all processes and the lease.

Owns the loop over connections and the end of the run. Operations run in threads of their own, so that one
that waits never holds up another; while a trial is measured all of them sleep.
"""

import contextlib
import ctypes
import fcntl
import gc
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from typing import Dict, Optional

from benchctl.agent import attach, files, ops
from benchctl.agent.cgroup import Cgroups, delegated
from benchctl.agent.connection import Connection
from benchctl.agent.context import Context
from benchctl.agent.layout import LINE_LIMIT, lease_folder
from benchctl.agent.lease import Lease
from benchctl.agent.process import state_of
from benchctl.agent.refusal import RefusalError
from benchctl.agent.session import Session
from benchctl.agent.wire import Json
from benchctl.agent.workers import Workers

REQUESTS_LIMIT = 64  # under way at once
CONNECTIONS_LIMIT = 32
SESSIONS_LIMIT = 256  # of one run: each controller has one, however often it comes back
_PR_SET_CHILD_SUBREAPER = 36


class Supervisor:
    """Serves one run until `end`, until its time passes without a request, or until SIGTERM."""

    def __init__(self, run: str, ttl: float) -> None:
        """Make the run's folders and take over as the parent of all orphans."""
        self._context = Context(run, supervised=True)
        self._context.make_folders()
        self._context.lease = Lease(lease_folder(), run)
        self._context.reaper.cgroups = Cgroups(delegated(), run)
        self._ttl = ttl
        self._owner: object = None
        self._deadline = time.monotonic() + ttl
        self._poll = select.poll()
        self._listener = socket.socket(socket.AF_UNIX)
        self._connections: Dict[int, Connection] = {}
        self._sessions: Dict[str, Session] = {}
        self._workers = Workers(REQUESTS_LIMIT)
        self._awake, self._alarm = os.pipe()
        self._ending = threading.Event()
        self._ended = False
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def serve(self, ready: Optional[int]) -> None:
        """Kill what a crashed supervisor of this run left, then serve; `ready` is told when it listens."""
        _keep_handles()
        ops.sweep(self._context)
        place = self._context.runtime / "sock"
        with contextlib.suppress(FileNotFoundError):
            place.unlink()
        self._listener.bind(str(place))
        self._listener.listen(16)
        state = state_of(os.getpid())
        (self._context.runtime / "supervisor.json").write_text(
            json.dumps({"run": self._context.run, **state})
        )
        os.set_blocking(self._alarm, False)
        signal.set_wakeup_fd(self._alarm)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self._ending.set())
        if ready is not None:
            os.write(ready, attach.LISTENING)
            os.close(ready)
        gc.collect()
        gc.freeze()
        gc.disable()  # a collection inside a measured window would be ours
        self._poll.register(self._awake, select.POLLIN)
        self._poll.register(self._listener, select.POLLIN)
        try:
            self._loop()
        finally:
            self._finish()

    def _loop(self) -> None:
        while not self._ending.is_set():
            left = self._deadline - time.monotonic()
            if left <= 0:
                _log(f"no request for {self._ttl:g} s: the run ends here")
                return
            found = {handle for handle, _ in self._poll.poll(left * 1000 + 1)}
            if self._awake in found:
                os.read(self._awake, 4096)
            for handle in found & set(self._connections):
                self._receive(self._connections[handle])
            if self._listener.fileno() in found:  # last: it may reuse the number of one that just closed
                self._accept()

    def _finish(self) -> None:
        if not self._ended:  # else the next supervisor of this run may be at work in the same folder
            ops.end(self._context)
        closing = [self._drop(connection) for connection in list(self._connections.values())]
        for thread in closing:
            thread.join(2)  # a controller that does not read must not keep the host busy

    def _accept(self) -> None:
        link, _ = self._listener.accept()
        link.settimeout(5)
        try:
            data, handles, _, _ = socket.recv_fds(link, LINE_LIMIT, 2)
            wanted = json.loads(data)
        except (OSError, ValueError):
            link.close()
            return
        if len(handles) != 2 or len(self._connections) >= CONNECTIONS_LIMIT:
            for handle in handles:
                os.close(handle)
            link.close()
            return
        link.settimeout(None)
        session = self._session(wanted)
        connection = Connection(link, handles[0], handles[1], session)
        if wanted.get("files"):
            threading.Thread(target=self._serve_files, args=(connection,), daemon=True).start()
            return
        if session.connection is not None:  # of a controller that has lost it, which we had not noticed
            self._drop(session.connection)
        session.connection = connection
        self._connections[connection.reading] = connection
        self._poll.register(connection.reading, select.POLLIN)

    def _session(self, wanted: Json) -> Session:
        name = wanted.get("session")
        if not isinstance(name, str) or wanted.get("files"):
            return Session()
        if name not in self._sessions and len(self._sessions) >= SESSIONS_LIMIT:
            idle = [key for key, session in self._sessions.items() if session.connection is None]
            for key in idle[:1]:
                del self._sessions[key]
        return self._sessions.setdefault(name, Session())

    def _receive(self, connection: Connection) -> None:
        try:
            data = os.read(connection.reading, LINE_LIMIT)
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
            return
        *lines, connection.buffer = (connection.buffer + data).split(b"\n")
        for line in lines:
            if not self._request(connection, line):
                return
        if len(connection.buffer) >= LINE_LIMIT:
            self._reject(connection, f"a request of over {LINE_LIMIT} bytes")

    def _request(self, connection: Connection, line: bytes) -> bool:
        try:
            request = json.loads(line)
            number, name = request.pop("id"), request.pop("op")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self._reject(connection, f"malformed request: {type(error).__name__}: {error}")
            return False
        if len(line) >= LINE_LIMIT or not isinstance(number, int):
            self._reject(connection, "malformed request: too long, or its id is no integer")
            return False
        if name == "lease" and isinstance(request.get("ttl"), (int, float)):
            self._ttl, self._owner = request["ttl"], request.get("owner")
        self._deadline = time.monotonic() + self._ttl
        act = ops.INLINE.get(name) if isinstance(name, str) and not request else None
        if act is not None and connection.send_now({"id": number, "ok": True, **act(self._context)}):
            return True
        known = connection.session.admit(number)
        if known is None:
            taken = self._workers.do(self._answer, connection.session, number, name, request)
        elif known:
            taken = self._workers.do(connection.send, known)
        else:
            return True
        if not taken:
            self._reject(connection, f"more than {REQUESTS_LIMIT} requests under way")
        return taken

    def _answer(self, session: Session, number: int, name: object, args: Json) -> None:
        try:
            self._renew()
            if name == "start":
                gc.collect()  # between trials, when it costs nobody anything
            answer = {"id": number, "ok": True, **ops.perform(self._context, name, args)}
        except RefusalError as error:
            answer = {"id": number, "ok": False, "error": str(error), "kind": error.kind, "log": error.log}
        except Exception as error:  # noqa: BLE001 - a defect here must reach the controller, not vanish
            _log(f"{name}: {error!r}")
            answer = {"id": number, "ok": False, "error": f"{name}: {error!r}", "kind": "internal", "log": ""}
        session.finish(number, answer)
        if name == "end" and answer["ok"]:
            self._ended = True
            self._ending.set()
            os.write(self._alarm, b"\0")

    def _renew(self) -> None:
        """Let any request renew the lease, at most three times in its time."""
        lease = self._context.lease
        if lease is not None and lease.held and time.monotonic() - lease.renewed > self._ttl / 3:
            ops.lease(self._context, self._owner, self._ttl)  # type: ignore[arg-type]

    def _reject(self, connection: Connection, why: str) -> None:
        self._drop(connection, {"id": None, "ok": False, "error": why, "kind": "usage"})

    def _drop(self, connection: Connection, last: Optional[Json] = None) -> threading.Thread:
        """Let go of a connection, after a last word; in a thread, since the other side may not read."""
        if self._connections.pop(connection.reading, None) is not None:
            self._poll.unregister(connection.reading)
        if connection.session.connection is connection:
            connection.session.connection = None
        thread = threading.Thread(target=connection.close, args=(last,), daemon=True)
        thread.start()
        return thread

    def _serve_files(self, connection: Connection) -> None:
        with contextlib.suppress(OSError):
            files.serve(self._context, connection.reading, connection.writing)
        connection.close()


def supervise(run: str, ttl: float, ready: Optional[int]) -> int:
    """Be the run's supervisor, unless it has one already. Returns the exit status."""
    context = Context(run, supervised=True)
    context.make_folders()
    lock = os.open(context.runtime / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if ready is not None:
            os.write(ready, attach.ANOTHER)
        return 0
    os.chdir("/")
    Supervisor(run, ttl).serve(ready)
    return 0


def _keep_handles() -> None:
    """Let no child have what whoever started us left open."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers
        with contextlib.suppress(OSError):  # the folder's own
            if int(name) > 2:
                os.set_inheritable(int(name), False)  # noqa: FBT003 - the library's own form


def _log(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {text}\n")
    sys.stderr.flush()
