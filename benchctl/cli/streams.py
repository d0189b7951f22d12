"""stdout and stderr as they may be: closed from the start, in another encoding, or left by their reader.

Owns that none of it changes what a command does or its exit code.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import ReadableBuffer

_GONE = (errno.EPIPE, errno.EIO)  # the pipe's reader ended; the terminal was closed


def prepare_streams() -> None:
    """Open what was closed at the start; print what the locale has no character for as a question mark."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:  # else the next file that is opened, a journal, would be taken for it
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for good
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for good
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


@contextmanager
def lasting_streams() -> Iterator[None]:
    """While the body runs, what is written after the reader went away goes nowhere, without an error."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(_lasting, before)
    try:
        yield
    finally:
        for stream, old in zip((sys.stdout, sys.stderr), before, strict=True):
            if stream is not old:
                stream.flush()
        sys.stdout, sys.stderr = before


def to_nowhere(fd: int) -> None:
    """Let everything that is written to `fd` from now on vanish."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, fd)
    os.close(null)


class _Lasting(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data) or 0
        except OSError as error:
            if error.errno not in _GONE:
                raise
            to_nowhere(self.fileno())
            return memoryview(data).nbytes


def _lasting(stream: TextIO) -> TextIO:
    """Wrap a stream of the operating system; one that lives in memory is left as it is."""
    try:
        fd = stream.fileno()
    except (OSError, ValueError, AttributeError):
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Lasting(fd, "w", closefd=False)),
        encoding=stream.encoding,
        errors="replace",
        line_buffering=True,
    )
