"""Processes that outlive the one that starts them: a unit of their own, or a session without a parent.

Owns how they are started and known again. They are not the run's: what kills a run's processes spares them.
"""

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import List, Optional

from benchctl.agent import layout, process, unit
from benchctl.agent.wire import Json

READY = b"1"  # what one says when it does what it was started for
_PASSED_ON = ("PATH", "HOME", "TMPDIR", "XDG_RUNTIME_DIR")


def start(folder: Path, verb: str, words: List[str]) -> None:
    """Start the agent's own program with a verb; return when it says that it is ready.

    Raises OSError, with what it wrote last, when it ends without a word.
    """
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    log = folder / f"{verb}.log"
    command = [sys.executable, "-ISB", sys.argv[0], verb, *words]
    environment = {name: value for name, value in os.environ.items() if name in _PASSED_ON}
    environment.update({k: v for k, v in os.environ.items() if k.startswith("BENCHCTL_")})
    environment.pop(layout.MARKER, None)
    environment[layout.OWNER_TAG] = layout.TUNING_TAG
    said = _start_unit(folder, command, environment, verb) or _spawn(command, environment, log)
    if not said:
        raise OSError(f"{verb} does not start: {_tail(log)}")


def let_go(keep: Optional[int]) -> None:
    """Close what whoever started this process had open: an end of a controller's connection would hold it."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers
        if int(name) > 2 and int(name) != keep:
            with contextlib.suppress(OSError):  # the folder's own
                os.close(int(name))


def note(folder: Path, name: str, more: Json) -> None:
    """Write down that this process is the one of that name."""
    part = folder / f".{name}.{os.getpid()}"
    part.write_text(json.dumps({**process.state_of(os.getpid()), **more}) + "\n")
    part.replace(folder / f"{name}.json")


def find(folder: Path, name: str) -> Optional[Json]:
    """Return what the process of that name noted, if it lives."""
    try:
        noted = json.loads((folder / f"{name}.json").read_bytes())
        lives = noted["boot_id"] == process.boot_id() and process.is_alive(noted["pid"], noted["birth"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dict(noted) if lives else None


def stop(folder: Path, name: str) -> None:
    """End the process of that name, unless it is this one, and wait until it has. Safe to repeat.

    Its files go, and the folder with the last thing in it.
    """
    noted = find(folder, name)
    if noted is not None and noted["pid"] != os.getpid():
        process.await_gone(process.kill_all({noted["pid"]}, signal.SIGKILL))
    for kind in ("json", "log"):
        (folder / f"{name}.{kind}").unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


def _start_unit(folder: Path, command: List[str], environment: "dict[str, str]", verb: str) -> bytes:
    if unit.possible():
        with contextlib.suppress(OSError):  # systemd may be there and not answer, as in some containers
            return unit.start(folder, command, environment, verb)
    return b""


def _spawn(command: List[str], environment: "dict[str, str]", log: Path) -> bytes:
    waiting, ready = os.pipe()
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, ready, 3),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    try:
        os.posix_spawn(
            command[0], [*command, "--ready-fd", "3"], environment, file_actions=actions, setsid=True
        )
    finally:
        os.close(ready)
    try:
        return os.read(waiting, 1)
    finally:
        os.close(waiting)


def _tail(log: Path) -> str:
    try:
        return log.read_text(errors="replace")[-500:].strip()
    except OSError:
        return ""
