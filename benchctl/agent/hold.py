"""Programs that are loaded but have not executed anything, and the wait for an instant on the clock.

Owns ptrace and the scheduling policy around a start. A held program belongs to the thread that started it:
only that one may release it, and when it dies with its process the kernel kills what it holds.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import stat
import subprocess
import threading
import time
from pathlib import Path
from typing import Iterator, List, Mapping

from benchctl.agent import birth
from benchctl.agent.process import Process

_DETACH, _SEIZE = 17, 0x4206
_EXITKILL, _TRACEEXEC = 0x00100000, 0x10
_EXEC_STOP = signal.SIGTRAP | 4 << 8
_WALL = 0x40000000
_PR_SET_TIMERSLACK = 29
_TIMER_ABSTIME = 1
_CLOCK_MONOTONIC = 1
_WAITER, _HELD = 20, 10  # priorities under SCHED_FIFO: who releases goes before what is released
_ENV = "/usr/bin/env"
_HEAD_START = 0.001  # seconds that a released program may run before others, to get on a CPU at all
_COARSE = 0.02  # seconds before the instant in which nothing else is waited for: busy hosts wake threads late


class _Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


_libc = ctypes.CDLL(None, use_errno=True)
_ptrace = ctypes.PyDLL(None, use_errno=True).ptrace  # keeps the interpreter: nothing may come in between
_ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_ptrace.restype = ctypes.c_long


class Hold:
    """One program stopped by ptrace from its exec to `release`. Its methods are one thread's."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self.spent = 0.0  # seconds of CPU that the child used before it was the program
        self._pid = 0

    def load(self, program: birth.Program) -> int:
        """Start a program, stop it before its first instruction, and have it killed should this process die.

        Returns its process number. Raises OSError when it cannot be executed, SubprocessError when it cannot
        be held.
        """
        if not birth.POSSIBLE:
            raise subprocess.SubprocessError("this host cannot hold a program")
        path = shutil.which(program.argv[0], path=program.env.get("PATH", os.defpath)) or program.argv[0]
        newborn = birth.Birth(path, program)
        try:
            pid = newborn.pid
            if _ptrace(_SEIZE, pid, None, _EXITKILL | _TRACEEXEC):
                os.kill(pid, signal.SIGKILL)  # while it waits: its number is still its own
            newborn.proceed()
            stopped = _is_stopped(pid)
            failure = newborn.failure()  # it has been executed, or has ended
            if failure:
                raise OSError(failure, os.strerror(failure), program.argv[0])
            if not stopped:
                raise subprocess.SubprocessError("it cannot be held")
        finally:
            newborn.close()
        self._pid = pid
        with contextlib.suppress(OSError, ValueError):  # the kernel may keep no such statistics
            self.spent = int(Path(f"/proc/{pid}/schedstat").read_bytes().split()[0]) / 1e9
        return pid

    def release(self, child: Process, at: float, begun: threading.Event) -> float:
        """Wait for an instant of CLOCK_MONOTONIC, then let the program run; return when that was done.

        `begun` is set right after it.
        """
        preferred = not child.done.is_set() and _prefer(self._pid, _HELD)
        sleep_until(at)
        began = time.monotonic()
        _ptrace(_DETACH, self._pid, None, None)
        begun.set()
        if preferred:
            time.sleep(_HEAD_START)
            with contextlib.suppress(ProcessLookupError):
                _unprefer(self._pid)
        return began


def _is_stopped(pid: int) -> bool:
    """Wait for a traced process's exec; say whether it came to that. Otherwise it has ended."""
    with contextlib.suppress(ChildProcessError):  # who bore it has seen its end
        while True:
            _, status = os.waitpid(pid, _WALL)
            if not os.WIFSTOPPED(status):
                return False
            if status >> 8 == _EXEC_STOP:
                return True
            os.kill(pid, signal.SIGKILL)  # stopped by a signal before its exec
    return False


def holdable(argv: List[str], environment: Mapping[str, str]) -> List[str]:
    """Return the command line to hold: the given one, or one that executes it when it is released.

    A traced program gets no setuid and no file capabilities at its exec, so that exec must come later.
    """
    path = shutil.which(argv[0], path=environment.get("PATH", os.defpath))
    return [_ENV, "--", *argv] if path is not None and _gains_rights(path) and "=" not in argv[0] else argv


def _gains_rights(path: str) -> bool:
    try:
        if os.stat(path).st_mode & (stat.S_ISUID | stat.S_ISGID):  # noqa: PTH116 - beside getxattr
            return True
        os.getxattr(path, "security.capability")
    except OSError:
        return False
    return True


@contextlib.contextmanager
def precedence() -> Iterator[None]:
    """Let the calling thread go before all others where that is permitted, with exact timers anyway."""
    _libc.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    preferred = _prefer(0, _WAITER)
    try:
        yield
    finally:
        if preferred:
            _unprefer(0)
        _libc.prctl(_PR_SET_TIMERSLACK, 0, 0, 0, 0)


def coarse(at: float) -> float:
    """Return how long to wait for other news before only the instant counts, in seconds."""
    return at - time.monotonic() - _COARSE


def sleep_until(at: float) -> None:
    """Wait for an instant of CLOCK_MONOTONIC."""
    seconds = int(at)
    until = _Timespec(seconds, round((at - seconds) * 1e9))
    while time.monotonic() < at and _libc.clock_nanosleep(
        _CLOCK_MONOTONIC, _TIMER_ABSTIME, ctypes.byref(until), None
    ):
        pass


def _prefer(pid: int, priority: int) -> bool:
    try:
        os.sched_setscheduler(pid, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError:
        return False
    return True


def _unprefer(pid: int) -> None:
    for policy in (os.SCHED_OTHER, os.SCHED_OTHER | os.SCHED_RESET_ON_FORK):  # the first wants a privilege
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(pid, policy, os.sched_param(0))
            return
