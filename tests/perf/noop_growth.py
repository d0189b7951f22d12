"""What each further trial of nothing costs, by number of hosts: the slope between two lengths of run.

With barrier, telemetry of every host and gates; the peer has none of them.
"""

from __future__ import annotations

import statistics
from itertools import pairwise
from typing import TYPE_CHECKING

from benchctl.journal import read
from tests.perf.hosts import site, without_lab
from tests.perf.mlos import Mlos
from tests.perf.noop_hosts import COMMAND, whole_run
from tests.perf.rows import Row, compared, duration, rounds

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = (2, 4, 8, 16)
ROUNDS = 3
SHORT, LONG = 10, 110
PEERS_SHORT, PEERS_LONG = 3, 13
LIMIT, GOAL = 0.010, 0.15  # seconds on 2 hosts; of mlos_bench's slope
NAME = "each further no-op trial"


def run() -> list[Row]:
    if rows := without_lab(NAME):
        return rows
    return [row for count in HOSTS for row in growth(count)]


def growth(count: int) -> list[Row]:
    place = site()
    mlos = Mlos(place.hosts(count))
    short, long = (place.experiment(count, trials, COMMAND) for trials in (SHORT, LONG))
    loop = trial_times(place.run(long))  # the first run converges, and warms up
    ours, theirs = [], []
    for _ in range(rounds(ROUNDS)):
        ours.append((whole_run(long) - whole_run(short)) / (LONG - SHORT))
        theirs.append((mlos.run(PEERS_LONG) - mlos.run(PEERS_SHORT)) / (PEERS_LONG - PEERS_SHORT))
    slope = statistics.median(ours)
    name = f"{NAME} on {count} hosts"
    rows = [compared(f"{name} / mlos_bench", slope, statistics.median(theirs), GOAL)]
    if count == min(HOSTS):
        rows.append(Row(name, duration(slope), "", "", f"<= {duration(LIMIT)}", slope <= LIMIT))
    return [*rows, Row(f"{name}, in the loop", duration(statistics.median(loop)), "", "", "")]


def trial_times(folder: Path) -> list[float]:
    """Seconds from each trial's first journal entry to the next one's."""
    entries = read(folder / "journal.jsonl")
    starts = [entry.time for entry in entries if entry.act == "trial" and entry.phase == "meant"]
    return [after - before for before, after in pairwise(starts)]
