"""Starting the supervisor as a transient unit of systemd, where there is one and we may.

Owns the command line of systemd-run. A unit outlives the login that started it, and its cgroup is its own.
"""

import os
import select
import subprocess
from pathlib import Path
from typing import Dict, List

from benchctl.agent.cgroup import UNIT_PREFIX

SLICE = "bench.slice"
_PROGRAM = "/usr/bin/systemd-run"
_START_LIMIT = 20.0  # seconds
_PROPERTIES = (
    "Type=exec",
    "Delegate=memory io",  # no others: delegated ones are switched on for all slices of the host
    "KillMode=mixed",  # SIGTERM to the supervisor alone: it stops services in their order; then all the rest
    "OOMPolicy=continue",  # a loader that is killed is a result, not the run's end
    "TasksMax=infinity",
    "TimeoutStopSec=90",
)


def possible() -> bool:
    """Say whether this user may start units of the system."""
    return os.getuid() == 0 and os.path.isdir("/run/systemd/system") and os.access(_PROGRAM, os.X_OK)  # noqa: PTH112 - loads nothing


def start(folder: Path, command: List[str], environment: Dict[str, str], name: str = "supervisor") -> bytes:
    """Start `command` with the path of a fifo added, to which it says that it is ready; return what it says.

    `name` names its log in the folder. Returns b"" when it ended without a word. Raises OSError when systemd
    does not start it.
    """
    fifo = folder / f"ready.{os.getpid()}"
    os.mkfifo(fifo, 0o600)
    try:
        waiting = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            asked = _ask(folder, name, [*command, "--ready", str(fifo)], environment)
            if asked.returncode:
                raise OSError(asked.stderr.decode(errors="replace").strip() or "systemd-run failed")
            poll = select.poll()
            poll.register(waiting, select.POLLIN)
            poll.poll(_START_LIMIT * 1000)
            return os.read(waiting, 1)
        except BlockingIOError:
            return b""
        finally:
            os.close(waiting)
    finally:
        fifo.unlink()


def _ask(
    folder: Path, name: str, command: List[str], environment: Dict[str, str]
) -> "subprocess.CompletedProcess[bytes]":
    log = folder / f"{name}.log"
    # With our number: the unit of a dead supervisor may not be gone yet.
    unit = f"{UNIT_PREFIX}{folder.name}-{name}-{os.getpid()}.service"
    words = ["--quiet", "--collect", f"--unit={unit}", f"--slice={SLICE}"]
    for item in (*_PROPERTIES, f"StandardOutput=append:{log}", f"StandardError=append:{log}"):
        words += ["-p", item]
    words += [f"--setenv={key}={value}" for key, value in environment.items()]
    try:
        return subprocess.run(
            [_PROGRAM, *words, "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_START_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"systemd-run did not end in {_START_LIMIT:g} s") from error
