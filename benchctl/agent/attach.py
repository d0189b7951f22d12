"""The attacher: hands its own stdin and stdout to the run's supervisor, starting that first if need be.

It then only waits, so that its exit status says how the connection ended: 0 when either side closed it, 1
when the supervisor died. Loads as little as it can: a connection is opened while somebody waits.
"""

import contextlib
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Dict, List

from benchctl.agent import layout
from benchctl.agent.refusal import RefusalError

LISTENING, ANOTHER = b"1", b"0"  # what a new supervisor says: it serves, or the run has one already
START_LIMIT = 20.0  # seconds for a supervisor to come up on a busy host
_PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME")


def attach(run: str, ttl: float, session: str, *, files: bool, rejoin: bool) -> int:
    """Connect this process's stdin and stdout with the supervisor. Returns the exit status.

    With `rejoin` only with one that is there already: a new one would know nothing of what was asked before.
    """
    try:
        folder = layout.runtime_folder(layout.check_name(run, "a run"))
        layout.private_folder(folder.parent)
        layout.private_folder(folder)
        link = _connect(folder) if rejoin else _reach(folder, run, ttl)
    except FileNotFoundError:
        sys.stderr.write(f"the agent of run {run} is gone: the host was restarted, or the agent ended\n")
        return 1
    except (OSError, ValueError, RefusalError) as error:
        sys.stderr.write(f"the agent of run {run} cannot be reached: {error}\n")
        return 1
    header = json.dumps({"files": files, "session": session}).encode()
    socket.send_fds(link, [header], [0, 1])
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)  # an end held open here would hide the other side's end
    os.dup2(null, 1)
    if link.recv(1):
        return 0
    sys.stderr.write(f"the supervisor of run {run} died\n{_log(folder)}")
    return 1


def _reach(folder: Path, run: str, ttl: float) -> socket.socket:
    deadline = time.monotonic() + START_LIMIT
    while True:
        with contextlib.suppress(OSError):
            return _connect(folder)
        if time.monotonic() > deadline:
            raise TimeoutError(f"its supervisor did not come up in {START_LIMIT:g} s\n{_log(folder)}")
        said = _start(folder, run, ttl)
        if not said:
            raise ChildProcessError(f"its supervisor does not start\n{_log(folder)}")
        if said == ANOTHER:
            time.sleep(0.005)  # that one is about to listen


def _connect(folder: Path) -> socket.socket:
    link = socket.socket(socket.AF_UNIX)
    try:
        link.connect(str(folder / "sock"))
    except OSError:
        link.close()
        raise
    return link


def _start(folder: Path, run: str, ttl: float) -> bytes:
    """Start a supervisor that belongs to nobody; return what it says, b"" when it ended without a word."""
    from benchctl.agent import unit

    if unit.possible():
        with contextlib.suppress(OSError):  # systemd may be there and not answer, as in some containers
            return unit.start(folder, _command(run, ttl), _environment())
    waiting, ready = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork() == 0:
            _become_supervisor(folder, run, ttl, ready)
        os._exit(0)
    os.close(ready)
    os.waitpid(child, 0)
    said = os.read(waiting, 1)
    os.close(waiting)
    return said


def _become_supervisor(folder: Path, run: str, ttl: float, ready: int) -> None:
    try:
        log = os.open(folder / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.set_inheritable(ready, True)  # noqa: FBT003 - the library's own form
        command = [*_command(run, ttl), "--ready-fd", str(ready)]
        os.execve(command[0], command, _environment())  # noqa: S606 - no shell
    finally:
        os._exit(127)


def _command(run: str, ttl: float) -> List[str]:
    return [sys.executable, "-ISB", sys.argv[0], "supervise", "--run", run, "--ttl", f"{ttl:g}"]


def _environment() -> Dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON
        or (name.startswith("BENCHCTL_") and name not in {layout.MARKER, layout.OWNER_TAG})
    }


def _log(folder: Path) -> str:
    try:
        return (folder / "supervisor.log").read_text(errors="replace")[-2000:]
    except OSError:
        return ""
