"""How bytes reach a program on a host: `open(argv)` gives its stdin, its stdout and a handle on it.

Owns what all ways have in common, and pipes for this machine. Must not know what the bytes mean.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, NamedTuple, Protocol

from benchctl.errors import ConnectionLostError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ERROR_TEXT = 4000  # bytes of a program's last words that a message carries
_LAST_WORDS = 5.0  # seconds that a program gets to end after its stdout ended


class Writer(Protocol):
    """Raw bytes to the program: `write` returns how many were taken."""

    def write(self, data: bytes | memoryview, /) -> int | None: ...

    def close(self) -> None: ...


class Reader(Protocol):
    """Raw bytes from the program: `read` returns what is there, b"" at the end."""

    def read(self, size: int, /) -> bytes | None: ...

    def close(self) -> None: ...


class ProcessHandle(Protocol):
    """The program itself."""

    def wait(self, timeout: float) -> int | None:
        """Return its exit status, or None when it still runs after `timeout` seconds."""

    def terminate(self) -> None:
        """Stop the program; the agent's supervisor does not depend on it."""

    def last_words(self) -> str:
        """Return what it wrote to stderr; call it only after its stdout ended."""

    def overflowed(self) -> bool:
        """Say whether it wrote more to stderr than anybody reads."""


class Channel(NamedTuple):
    stdin: Writer
    stdout: Reader
    process: ProcessHandle


class Transport(Protocol):
    """A way to start programs on one host."""

    @property
    def host(self) -> str:
        """The host's name, as messages show it."""

    @property
    def reconnects(self) -> bool:
        """Whether a connection that was lost may be there again when `open_agent` is called again."""

    def open(self, argv: Sequence[str]) -> Channel:
        """Start `argv` there. Raises ConnectionLostError or UnfitError when that is not possible."""

    def open_agent(self, program: Path, words: Sequence[str]) -> Channel:
        """Start the agent's zipapp with `words`, after bringing it there when it is not there yet."""

    def abort(self) -> None:
        """Give the connection up, with all its channels; the next `open` makes a new one."""

    def close(self) -> None:
        """Let go of the connection for good."""


class PipeTransport:
    """This machine: the program is a child, in a session of its own so that Ctrl-C does not reach it."""

    reconnects = False

    def __init__(self, host: str, python: str = sys.executable) -> None:
        self.host = host
        self._python = python

    def open_agent(self, program: Path, words: Sequence[str]) -> Channel:
        return self.open([self._python, "-ISB", str(program), *words])

    def abort(self) -> None:
        """Do nothing: pipes have no connection beside the channels."""

    def close(self) -> None:
        """Do nothing: each channel is closed by who opened it."""

    def open(self, argv: Sequence[str]) -> Channel:
        try:
            child = subprocess.Popen(
                list(argv),
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise ConnectionLostError(
                f"{self.host}: {argv[0]} does not start: {error.strerror}",
                remedy="check that this Python installation is complete",
            ) from error
        if child.stdin is None or child.stdout is None:  # Popen's type allows it; with PIPE it cannot be
            raise ConnectionLostError(f"{self.host}: no pipes to {argv[0]}")
        return Channel(child.stdin, child.stdout, _Child(child))


class _Child:
    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        self._words: str | None = None
        self._lock = threading.Lock()  # the reading thread and the closing one both ask for last words

    def wait(self, timeout: float) -> int | None:
        try:
            return self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def terminate(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._child.terminate()

    def overflowed(self) -> bool:
        return False  # the pipe's own limit holds it up

    def last_words(self) -> str:
        with self._lock:
            if self._words is None and self._child.stderr is not None:
                if self.wait(_LAST_WORDS) is None:  # its stderr would not end either
                    self._child.kill()
                    self._child.wait()
                self._words = self._child.stderr.read(ERROR_TEXT).decode(errors="replace").strip()
                self._child.stderr.close()
            return self._words or ""


def reason(error: BaseException) -> str:
    """Return the operating system's words, else the error's own, else its kind."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    strerror = getattr(error, "strerror", None)
    return str(strerror or error or type(error).__name__).strip()
