"""A new process that waits between its birth and its exec until somebody has taken hold of it.

Owns the call of posix_spawn: its child shares our memory until its exec, which costs a tenth of what a copy
of a Python process does. Where the kernel lets it, it is born in its cgroup: moving a process stops all forks
of the host for some milliseconds. In between, the child waits for the opening of a fifo that has no name.
"""

import contextlib
import ctypes
import functools
import os
import select
import signal
import threading
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional

_SETSIGDEF, _SETSID = 0x04, 0x80
_OPAQUE = 1024  # bytes: more than any library's attributes, actions or set of signals
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)

_libc = ctypes.CDLL(None, use_errno=True)  # lets go of the interpreter: the caller waits for the exec

POSSIBLE = (
    hasattr(_libc, "posix_spawn_file_actions_addchdir_np") and Path("/proc/thread-self/children").exists()
)
"""Whether this C library (glibc since 2.29) and this kernel can."""


class Program(NamedTuple):
    """What a new process becomes."""

    argv: List[str]
    env: Dict[str, str]
    cwd: str
    stdout: int
    stderr: int
    cgroup: Optional[Path]  # a folder; None without


class Birth:
    """One process from its birth to its exec, which `proceed` lets happen."""

    def __init__(self, path: str, program: Program) -> None:
        """Give birth to it. Raises OSError when there is no process, ValueError for what holds a NUL."""
        self._path = os.fsencode(path)
        self._argv = _vector(program.argv)
        self._env = _vector(f"{name}={value}" for name, value in program.env.items())
        self._program = program
        self._failure = 0
        self._joined = False  # its cgroup, by being born there
        self._gate = f"/proc/self/fd/{_nameless_fifo()}"
        self._ends: List[int] = []
        try:
            self._ends.append(os.open(self._gate, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
            self._actions = _actions(program, self._gate)
            poll = select.poll()
            poll.register(self._ends[0], 0)
            self._thread = threading.Thread(target=self._spawn, name="birth", daemon=True)
            self._thread.start()
            poll.poll()  # until the child has opened and closed the fifo, or there is none
            self.pid = self._child()
        except BaseException:
            self.close()
            raise

    def proceed(self) -> None:
        """Let it become its program."""
        if self._program.cgroup is not None and not self._joined:
            with contextlib.suppress(OSError):
                (self._program.cgroup / "cgroup.procs").write_text(str(self.pid))
        self._ends.append(os.open(self._gate, os.O_WRONLY | os.O_CLOEXEC))

    def failure(self) -> int:
        """Return the error number of its exec, once it has been executed or has ended."""
        self._thread.join()
        return self._failure

    def close(self) -> None:
        """Let go of the fifo, when it has been executed or has ended."""
        for end in self._ends:
            os.close(end)

    def _child(self) -> int:
        """The process that the thread waits for."""
        place = Path(f"/proc/self/task/{self._thread.native_id}/children")
        with contextlib.suppress(OSError):
            found = place.read_bytes().split()
            if found:
                return int(found[0])
        number = self.failure()
        raise OSError(number, os.strerror(number), self._program.argv[0])

    def _spawn(self) -> None:
        """Be the thread that it is born from: a child's cgroup is that of the thread which makes it."""
        pid = ctypes.c_int()
        try:
            self._joined = self._program.cgroup is not None and _enter(self._program.cgroup)
            self._failure = _libc.posix_spawn(
                ctypes.byref(pid), self._path, self._actions, _attributes(), self._argv, self._env
            )
        finally:
            with contextlib.suppress(OSError):  # for who waits for a child that never came
                os.close(os.open(self._gate, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))


def _vector(words: Iterable[str]) -> "ctypes.Array[ctypes.c_char_p]":
    encoded = [os.fsencode(word) for word in words]
    if any(b"\0" in word for word in encoded):
        raise ValueError("a command line cannot hold a NUL")
    return (ctypes.c_char_p * (len(encoded) + 1))(*encoded, None)


def _actions(program: Program, gate: str) -> "ctypes.Array[ctypes.c_char]":
    """What the child does before its exec: tell that it is there, wait, and take its files."""
    actions = ctypes.create_string_buffer(_OPAQUE)
    place, null, folder = (os.fsencode(path) for path in (gate, os.devnull, program.cwd))
    failures = [
        _libc.posix_spawn_file_actions_init(actions),
        _libc.posix_spawn_file_actions_addopen(actions, 0, place, os.O_WRONLY, 0),
        _libc.posix_spawn_file_actions_addopen(actions, 0, place, os.O_RDONLY, 0),  # closes the other first
        _libc.posix_spawn_file_actions_addopen(actions, 0, null, os.O_RDONLY, 0),
        _libc.posix_spawn_file_actions_adddup2(actions, program.stdout, 1),
        _libc.posix_spawn_file_actions_adddup2(actions, program.stderr, 2),
        _libc.posix_spawn_file_actions_addchdir_np(actions, folder),
    ]
    if any(failures):
        raise OSError(max(failures), os.strerror(max(failures)))
    return actions


def _attributes() -> "ctypes.Array[ctypes.c_char]":
    """A session of its own, and the signals that Python ignores as they were."""
    attributes, restored = ctypes.create_string_buffer(_OPAQUE), ctypes.create_string_buffer(_OPAQUE)
    _libc.sigemptyset(restored)
    for number in _IGNORED_BY_PYTHON:
        _libc.sigaddset(restored, number)
    _libc.posix_spawnattr_init(attributes)
    _libc.posix_spawnattr_setsigdefault(attributes, restored)
    _libc.posix_spawnattr_setflags(attributes, ctypes.c_short(_SETSIGDEF | _SETSID))
    return attributes


def _enter(cgroup: Path) -> bool:
    """Put the calling thread alone into a cgroup, which version 1 can, and stops nobody."""
    try:
        handle = os.open(cgroup / "tasks", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(handle, b"0")
        finally:
            os.close(handle)
    except OSError:
        return False
    return True


@functools.lru_cache(maxsize=None)
def _nameless_fifo() -> int:
    """Return a handle to open the fifo by, one for all births: each opens it for itself."""
    import tempfile  # it loads much, and is needed once

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "gate")  # noqa: PTH118 - loads nothing
        os.mkfifo(path, 0o600)
        return os.open(path, os.O_PATH | os.O_CLOEXEC)
