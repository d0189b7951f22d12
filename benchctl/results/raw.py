"""Where the raw files of a trial lie, host by host, and when its window was in each host's own clock.

Must not interpret what a program wrote; that is for loaders, gates and the analysis.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from benchctl.model.measurement import Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from benchctl.model.measurement import Trial
    from benchctl.results.store import RunStore

SAMPLES = "host.samples"
SERVER_LOG = "server.log"
_LONGEST = 1 << 16  # characters of a line; what follows reads as a line of its own


class ServerLog(NamedTuple):
    """The part of a server's log that belongs to a trial, and the trial's window in that host's clock."""

    host: str
    window: Window
    lines: Iterable[str]


def host_folders(store: RunStore, trial: Trial) -> dict[str, Path]:
    """Host -> its folder of raw files, in the order of names."""
    raw = store.trial_folder(trial.ordinal) / "raw"
    return {path.name: path for path in sorted(raw.glob("*")) if path.is_dir()}


def server_logs(store: RunStore, trial: Trial) -> tuple[ServerLog, ...]:
    """What servers wrote during the trial; none for a run whose trials came without logs."""
    return tuple(
        ServerLog(host, host_window(folder, trial.window), _lines(folder / SERVER_LOG))
        for host, folder in host_folders(store, trial).items()
        if (folder / SERVER_LOG).is_file()
    )


def host_window(folder: Path, otherwise: Window) -> Window:
    """The window in the host's own clock, as its sampler saw it; without samples, `otherwise`."""
    first, last = "", ""
    try:
        with (folder / SAMPLES).open(encoding="utf-8", errors="replace") as file:
            next(file, None)  # the head
            for line in file:
                first = first or ("" if '"warmup": true' in line else line)
                last = line
        return Window(start=float(json.loads(first)["t"]), end=float(json.loads(last)["t"]))
    except (OSError, ValueError, KeyError, TypeError):
        return otherwise


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="replace") as file:
        while line := file.readline(_LONGEST):
            yield line.rstrip("\n")
