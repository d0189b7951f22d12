"""An SSH server of the test's own on loopback, and a way to it that can be cut."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchctl.agent import process
from benchctl.model.host import Host

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin") or ""
LIMIT = 20.0


def await_true(condition: Callable[[], bool], limit: float = LIMIT) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        threading.Event().wait(0.005)


def make_key(path: Path, kind: str = "ed25519", *more: str) -> str:
    """Make a key pair; return the public line."""
    argv = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path), *more]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    return path.with_name(path.name + ".pub").read_text().strip()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Sshd:
    """A host: a server with keys and folders of its own, which what it runs finds in its environment."""

    def __init__(self, folder: Path, name: str = "h1", *config: str) -> None:
        self.name = name
        self.folder = folder / name
        self.folder.mkdir()
        self.port = free_port()
        self.host_key = make_key(self.folder / "host_key")
        self.key = self.folder / "id"
        (self.folder / "authorized_keys").write_text(make_key(self.key) + "\n")
        self.known_hosts = self.folder / "known_hosts"
        self.trust(self.host_key)
        self.cache = self.folder / "cache"
        self.short = Path(tempfile.mkdtemp(prefix="b", dir="/tmp"))
        self.environment = {
            "BENCHCTL_CACHE": str(self.cache),
            "BENCHCTL_LEASE_DIR": str(self.folder / "lease"),
            "BENCHCTL_STATE_DIR": str(self.folder / "state"),
            "BENCHCTL_ROOT": str(self.folder / "machine"),  # its knobs are files of its own
            "XDG_RUNTIME_DIR": str(self.short),
        }
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def trust(self, public: str, names: str | None = None) -> None:
        kind, blob = public.split()[:2]
        self.known_hosts.write_text(f"{names or f'[127.0.0.1]:{self.port}'} {kind} {blob}\n")

    def start(self) -> None:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd as root refuses to start without it
        setenv = " ".join(f"{name}={value}" for name, value in self.environment.items())
        lines = [
            *self._config,
            f"ListenAddress 127.0.0.1:{self.port}",
            f"HostKey {self.folder}/host_key",
            f"AuthorizedKeysFile {self.folder}/authorized_keys",
            f"SetEnv {setenv}",
            "PidFile none",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "PermitRootLogin yes",
            "MaxStartups 100",
        ]
        path = self.folder / "sshd_config"
        path.write_text("\n".join(lines) + "\n")
        log = self.folder / "sshd.log"
        self._process = subprocess.Popen(
            [PROGRAM, "-D", "-f", str(path), "-E", str(log)], stdin=subprocess.DEVNULL
        )
        await_true(self._listens)

    def host(self, **options: str | int | bool) -> Host:
        given: dict[str, str | int | float | bool] = {
            "address": "127.0.0.1",
            "port": self.port,
            "user": "root" if os.getuid() == 0 else os.environ["USER"],
            "identity_file": str(self.key),
            "known_hosts_file": str(self.known_hosts),
            "python": sys.executable,
        }
        return Host(name=self.name, transport="ssh", options={**given, **options})

    def sessions(self) -> list[int]:
        """The server's processes of open connections."""
        assert self._process is not None
        return process.children(self._process.pid)

    def cut(self) -> None:
        """Kill the processes of all open connections."""
        process.kill_all([pid for one in self.sessions() for pid in (one, *self._own(one))])

    def _own(self, pid: int) -> list[int]:
        names = {child: Path(f"/proc/{child}/comm") for child in process.descendants(pid)}
        found = []
        for child, name in names.items():
            with contextlib.suppress(OSError):
                if name.read_text().startswith("sshd"):
                    found.append(child)
        return found

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)  # else a client that was cut gets in again
            self.cut()
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.short, ignore_errors=True)

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "sshd.log").read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


class Cable:
    """A port of its own that leads to a server's, and can fall silent or be cut."""

    def __init__(self, server: Sshd) -> None:
        port = server.port
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.silent = threading.Event()
        self.losing = threading.Event()  # what comes back does not arrive
        self._far: set[socket.socket] = set()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()
        server.trust(server.host_key, f"[127.0.0.1]:{self.port}")
        self.host = server.host(port=self.port)

    def cut(self) -> None:
        """End all connections, as a firewall does that forgets them."""
        for pair in self._pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._listener.close()
        for pair in self._pairs:
            for end in pair:
                end.close()

    def _carry(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            while not self._ended.is_set():
                for key, _ in selector.select(0.02):
                    if key.fileobj is self._listener:
                        self._join(selector)
                    elif not self.silent.is_set():
                        self._move(selector, key)
                if self.silent.is_set():
                    self._ended.wait(0.01)

    def _join(self, selector: selectors.BaseSelector) -> None:
        near, _ = self._listener.accept()
        try:
            far = socket.create_connection(("127.0.0.1", self._target), 5)
        except OSError:
            near.close()
            return
        self._pairs.append((near, far))
        self._far.add(far)
        selector.register(near, selectors.EVENT_READ, far)
        selector.register(far, selectors.EVENT_READ, near)

    def _move(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        source, target = key.fileobj, key.data
        assert isinstance(source, socket.socket)
        data = b""
        with contextlib.suppress(OSError):
            data = source.recv(1 << 16)
        if data and source in self._far and self.losing.is_set():
            return
        if data:
            with contextlib.suppress(OSError):
                target.sendall(data)
                return
        selector.unregister(source)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
