"""Hosts over SSH: one connection each, several channels on it, the agent's program brought along.

Owns the connection and its channels, and how the agent gets there; paramiko is imported at the first one.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import shlex
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING, NoReturn

from benchctl.benchmark import bootstrap, host_key, known_hosts
from benchctl.benchmark.authentication import authenticate
from benchctl.benchmark.transport import ERROR_TEXT, Channel, reason
from benchctl.errors import (
    AgentError,
    ConnectionLostError,
    UnfitError,
    UnreachableError,
)
from benchctl.provision.openssh import proxy_command

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import paramiko

    from benchctl.model.host import Host

CONNECT_TIMEOUT = 10.0  # seconds, where the host's options do not say
START_TIMEOUT = 30.0  # seconds for the first word of a program on a busy host
POLL_INTERVAL = 0.5  # seconds between two looks at stderr until a program has started
WRITE_TIMEOUT = 15.0  # seconds in which a program must take something of what it is sent
USER_TIMEOUT = 12_000  # ms that data may stay without the peer's acknowledgement
NOISE_LIMIT = 64 * 1024  # bytes that a login may print before the agent's first word
STDERR_LIMIT = 64 * 1024  # bytes that wait unread
_QUIET = logging.NullHandler()


class SshTransport:
    """One host; it connects at the first use, and again when the connection was lost or given up."""

    reconnects = True

    def __init__(self, host: Host) -> None:
        """Take the host as the inventory has it; its options say how it is reached."""
        self.host = host.name
        self._host = host
        self._options = host.options
        self._lock = threading.Lock()
        self._transport: paramiko.Transport | None = None
        self._closed = False

    def open(self, argv: Sequence[str]) -> Channel:
        """Start `argv`; every word is quoted, since SSH hands the line to the user's shell.

        Raises UnreachableError, HostKeyError or AuthError when there is no connection to be had, UnfitError
        for words that no command line can hold, ConnectionLostError when the channel does not open.
        """
        program = self._open(argv)
        return Channel(program, program, program)

    def _open(self, argv: Sequence[str]) -> _Remote:
        import paramiko

        if any("\0" in word for word in argv):
            raise UnfitError(f"{self.host}: a command line cannot hold a NUL: {argv!r:.200}")
        with self._lock:
            transport = self._connected()
        try:
            channel = transport.open_session(timeout=self._timeout)
            channel.settimeout(WRITE_TIMEOUT)
            channel.exec_command(shlex.join(argv))
        except (paramiko.SSHException, OSError, EOFError) as error:
            if not transport.is_active():
                raise ConnectionLostError(f"{self.host}: the SSH connection ended: {error}") from error
            raise ConnectionLostError(
                f"{self.host}: sshd opens no further channel: {error}",
                remedy="allow at least 2 (MaxSessions in its sshd_config), and no ForceCommand",
            ) from error
        return _Remote(channel)

    def open_agent(self, program: Path, words: Sequence[str]) -> Channel:
        """Start the agent there; its file is sent over the same channel when the host does not have it.

        Raises as `open`, and UnfitError without a Python that can run it or a folder to keep it.
        """
        nonce = secrets.token_hex(8)
        size = program.stat().st_size
        python = str(self._options.get("python", "python3"))
        argv = bootstrap.command(python, nonce, program.stem, size)
        remote = self._open([*argv, *words])
        deadline = time.monotonic() + START_TIMEOUT
        try:
            said, rest = self._first_word(remote, nonce, deadline)
            if said == "need":
                self._upload(remote, program)
                said, rest = self._first_word(remote, nonce, deadline, rest)
            self._judge(said)
        except BaseException:
            remote.terminate()
            raise
        remote.unread(rest)
        return Channel(remote, remote, remote)

    def abort(self) -> None:
        with self._lock:
            self._drop()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._drop()

    @property
    def _timeout(self) -> float:
        return float(self._options.get("connect_timeout", CONNECT_TIMEOUT))

    @property
    def _place(self) -> str:
        return f"{self._options['address']} port {self._port}"

    @property
    def _port(self) -> int:
        return int(self._options.get("port", known_hosts.SSH_PORT))

    def _drop(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _connected(self) -> paramiko.Transport:
        if self._closed:
            raise ConnectionLostError(f"{self.host}: the SSH connection is closed")
        if self._transport is not None and self._transport.is_active():
            return self._transport
        self._drop()
        pipe = self._pipe()
        try:
            transport = self._handshake(pipe)
        except BaseException:
            pipe.close()
            raise
        try:
            authenticate(transport, self._host, self._place)
        except BaseException:
            transport.close()
            raise
        self._transport = transport
        return transport

    def _pipe(self) -> socket.socket:
        if line := proxy_command(self._host):
            return self._through(line)
        try:
            pipe = socket.create_connection((str(self._options["address"]), self._port), self._timeout)
        except (OSError, ValueError) as error:  # ValueError: no name can be so
            raise UnreachableError(
                f"{self.host}: {self._place}: {reason(error)}",
                remedy="see whether it is up, and whether address, port and firewall are right",
            ) from error
        pipe.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            pipe.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT)
        return _Prompt(pipe.family, pipe.type, pipe.proto, fileno=pipe.detach())

    def _through(self, line: str) -> socket.socket:
        """Start the command that the user's SSH configuration names, as ssh does: by the shell."""
        escaped = line.replace("%%", "\0").replace("%h", str(self._options["address"]))
        command = escaped.replace("%p", str(self._port)).replace("\0", "%")
        ours, theirs = socket.socketpair()
        with theirs:
            child = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        threading.Thread(target=child.wait, name=f"proxy-{self.host}", daemon=True).start()
        return ours

    def _handshake(self, pipe: socket.socket) -> paramiko.Transport:
        import paramiko

        logging.getLogger("paramiko").addHandler(_QUIET)  # it is said once, by what is raised
        expected = host_key.Expected(self._host, self._port)
        try:
            transport = paramiko.Transport(pipe)
            transport.daemon = True
            transport.banner_timeout = transport.handshake_timeout = self._timeout
            expected.prefer(transport)
            transport.start_client(timeout=self._timeout)
            key = transport.get_remote_server_key()
        except (paramiko.SSHException, OSError, EOFError) as error:
            with contextlib.suppress(UnboundLocalError):
                transport.close()
            way = " through its ProxyJump or ProxyCommand" if proxy_command(self._host) else ""
            raise UnreachableError(
                f"{self.host}: {self._place} does not speak SSH{way}: {reason(error)}",
                remedy="try `ssh -v` to it: it shows what answers there",
            ) from error
        try:
            expected.check(key.get_name(), key.asbytes())
        except BaseException:
            transport.close()
            raise
        return transport

    def _first_word(
        self, remote: _Remote, nonce: str, deadline: float, buffer: bytes = b""
    ) -> tuple[str, bytes]:
        """Read past what a login prints to what the bootstrap says; return that and what follows it."""
        mark = b"benchctl-agent " + nonce.encode() + b" "
        while True:
            start = buffer.find(mark)
            if start >= 0 and (end := buffer.find(b"\n", start)) >= 0:
                return buffer[start + len(mark) : end].decode(errors="replace"), buffer[end + 1 :]
            if len(buffer) > NOISE_LIMIT or remote.overflowed():
                raise UnfitError(
                    f"{self.host}: its shell prints without end: {buffer[:80]!r}…",
                    remedy="make the login files of this user silent where there is no terminal",
                )
            if time.monotonic() > deadline:
                raise UnfitError(f"{self.host}: the agent did not start within {START_TIMEOUT:g} s")
            data = remote.poll(POLL_INTERVAL)
            if data == b"":
                self._explain_silence(remote, buffer)
            buffer += data or b""

    def _judge(self, said: str) -> None:
        if said != "have":
            raise UnfitError(f"{self.host}: {said[:1000]}", remedy=bootstrap.REMEDY)

    def _explain_silence(self, remote: _Remote, noise: bytes) -> NoReturn:
        status = remote.wait(CONNECT_TIMEOUT)
        words = remote.last_words() or noise[-200:].decode(errors="replace").strip()
        python = self._options.get("python", "python3")
        if status in {126, 127}:
            raise UnfitError(f"{self.host}: there is no {python} to run: {words}", remedy=bootstrap.REMEDY)
        if status is None or status < 0:
            raise ConnectionLostError(f"{self.host}: the SSH connection ended before the agent's first word")
        raise UnfitError(f"{self.host}: {python} ended with {status}: {words}", remedy=bootstrap.REMEDY)

    def _upload(self, remote: _Remote, program: Path) -> None:
        view = memoryview(program.read_bytes())
        try:
            while view:
                view = view[remote.write(view[: 1 << 15]) :]
        except OSError as error:
            words = remote.last_words()
            raise AgentError(f"{self.host}: the agent's program cannot be sent: {words or error}") from error


class _Prompt(socket.socket):
    """A TCP socket that acknowledges at once.

    sshd leaves Nagle's algorithm on where there is no terminal, so of two answers in a row the second would
    wait for a delayed acknowledgement of the first: 40 ms.
    """

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        data = super().recv(size, flags)
        if hasattr(socket, "TCP_QUICKACK"):
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data


class _Remote:
    """A program on the host: its stdin, its stdout and the handle on it in one."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._unread = b""
        self._ended = False  # its stdin
        self._words: str | None = None
        self._lock = threading.Lock()

    def unread(self, data: bytes) -> None:
        """Put back what was read too far."""
        self._unread = data

    def poll(self, timeout: float) -> bytes | None:
        """Return what comes within `timeout` seconds, b"" at the end, None when nothing does."""
        self._channel.settimeout(timeout)
        try:
            return bytes(self._channel.recv(1 << 16))
        except EOFError:
            return b""
        except TimeoutError:
            return None
        finally:
            self._channel.settimeout(WRITE_TIMEOUT)

    def write(self, data: bytes | memoryview, /) -> int:
        try:
            return int(self._channel.send(bytes(data[: 1 << 16])))
        except EOFError as error:
            raise ConnectionResetError("the SSH connection ended") from error

    def read(self, size: int, /) -> bytes:
        """Return what comes, however long it takes; b"" at the end."""
        if self._unread:
            data, self._unread = self._unread, b""
            return data
        while True:
            try:
                return bytes(self._channel.recv(size))
            except EOFError:  # paramiko says so when it cannot even tell the host that there is room again
                return b""
            except TimeoutError:
                pass
            if self._channel.closed or self.overflowed():
                return b""

    def close(self) -> None:
        """End its stdin, then at the second call all of it: writer and reader are one here."""
        if self._ended:
            self.terminate()
            return
        self._ended = True
        with contextlib.suppress(OSError, EOFError):
            self._channel.shutdown_write()

    def wait(self, timeout: float) -> int | None:
        self._channel.status_event.wait(timeout)
        if not self._channel.status_event.is_set():
            return None
        return int(self._channel.exit_status)

    def terminate(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            self._channel.close()

    def overflowed(self) -> bool:
        return len(self._channel.in_stderr_buffer) > STDERR_LIMIT

    def last_words(self) -> str:
        with self._lock:
            if self._words is None:
                with contextlib.suppress(OSError):
                    self._channel.settimeout(0.0)
                    self._words = self._channel.recv_stderr(ERROR_TEXT).decode(errors="replace").strip()
            return self._words or ""
