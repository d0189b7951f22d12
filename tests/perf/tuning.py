"""Verify, tune and restore of all knobs on a generated two-socket machine, on files in memory.

The peer is one shell that reads, or writes, the same files and keeps no journal. Files in memory cost less
than the kernel's own: what a real host takes, `time benchctl hosts verify` shows there.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchctl.agent import tuning
from benchctl.agent.machine import Machine
from benchctl.agent.profiles import PROFILES
from benchctl.agent.restore import restore
from benchctl.agent.tuning_journal import Journal
from tests.machines import two_sockets
from tests.perf.rows import Row, median_ratio, milliseconds, rounds

if TYPE_CHECKING:
    from collections.abc import Callable

_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
GOAL = 0.030  # seconds for a verify
HEAD = {"run": "perf", "profile": "repeatable", "kept": True, "program": ""}


def run() -> list[Row]:
    """Three rows, the first with a goal."""
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        root = Path(folder) / "machine"
        for path, text in two_sockets().files.items():
            target = Path(f"{root}{path}")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        machine, journal = Machine(str(root)), Journal(Path(folder) / "state")
        tuning.tune(machine, journal, PROFILES["repeatable"], HEAD)
        entries = [one for one in journal.read()[0][0].entries if one.kind == "file"]
        read = _script(folder, "read", [f"read -r x < {root}{one.path}" for one in entries])
        write = _script(folder, "write", [f"echo {one.new} > {root}{one.path}" for one in entries])
        undo = _script(folder, "undo", [f"echo '{one.old.strip()}' > {root}{one.path}" for one in entries])
        restore(machine, journal)
        times: dict[str, list[tuple[float, float]]] = {"verify": [], "tune": [], "restore": []}
        for _ in range(rounds(30)):
            tuned = _seconds(lambda: tuning.tune(machine, journal, PROFILES["repeatable"], HEAD))
            times["tune"].append((tuned, _shell(write)))
            verified = _seconds(lambda: tuning.drift(machine, journal))
            times["verify"].append((verified, _shell(read)))
            times["restore"].append((_seconds(lambda: restore(machine, journal)), _shell(undo)))
    return [_row(name, pairs, len(entries)) for name, pairs in times.items()]


def _row(name: str, pairs: list[tuple[float, float]], places: int) -> Row:
    ours, peer = zip(*pairs, strict=True)
    goal = GOAL if name == "verify" else None
    met = None if goal is None else sorted(ours)[len(ours) // 2] <= goal
    return Row(
        f"{name} of {places} places / one shell",
        milliseconds(list(ours)),
        milliseconds(list(peer)),
        f"{median_ratio(pairs):.2f}",
        "" if goal is None else "<= 30 ms",
        met,
    )


def _script(folder: str, name: str, lines: list[str]) -> Path:
    path = Path(folder) / f"{name}.sh"
    path.write_text("\n".join(lines) + "\n")
    return path


def _shell(script: Path) -> float:
    return _seconds(lambda: subprocess.run(["/bin/sh", str(script)], check=True, stdin=subprocess.DEVNULL))


def _seconds(act: Callable[[], object]) -> float:
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin
