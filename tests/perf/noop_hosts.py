"""Trials of nothing on 2 hosts, the whole run, against mlos_bench and against a shell script of ssh commands.

The script does what people write first: for each trial, the command on both hosts side by side, its output in
a file for each. Once with a connection for each command, once with connections that are kept.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from tests.perf.hosts import seconds, site, without_lab
from tests.perf.mlos import Mlos
from tests.perf.rows import Row, compared, rounds

if TYPE_CHECKING:
    from pathlib import Path

HOSTS, TRIALS, ROUNDS = 2, 20, 5
NAME = f"{TRIALS} no-op trials on {HOSTS} hosts, whole run"
COMMAND = """printf '{"ops": 1}\\n'"""
SCRIPT = """
out=$1 trials=$2; shift 2
i=0
while [ $i -lt $trials ]; do
  i=$((i+1))
  for host in h1 h2; do
    "$@" $host "printf '{\\"ops\\": 1}\\n'" > "$out/$i-$host" &
  done
  wait
done
"""


def run() -> list[Row]:
    if rows := without_lab(NAME):
        return rows
    place = site()
    hosts = place.hosts(HOSTS)
    experiment = place.experiment(HOSTS, TRIALS, COMMAND)
    place.run(experiment)  # the first one converges
    mlos = Mlos(hosts)
    times: dict[str, list[float]] = {name: [] for name in ("ours", "mlos_bench", "ssh", "kept")}
    for _ in range(rounds(ROUNDS)):
        times["ours"].append(whole_run(experiment))
        times["mlos_bench"].append(mlos.run(TRIALS))
        times["ssh"].append(script())
        times["kept"].append(script(*place.multiplexed()))
        place.hang_up(hosts)
    peers = (
        ("mlos_bench", "mlos_bench", 0.6),
        ("ssh", "script, ssh each time", 1.5),
        ("kept", "script, ssh with ControlMaster", 1.5),
    )
    return [
        compared(f"{NAME} / {title}", statistics.median(times["ours"]), statistics.median(times[name]), goal)
        for name, title, goal in peers
    ]


def whole_run(experiment: Path) -> float:
    from tests.perf.hosts import BENCHCTL

    return seconds([BENCHCTL, "run", str(experiment)], env=site().environment)


def script(*options: str) -> float:
    folder = site().new_folder()
    return seconds(["sh", "-c", SCRIPT, "sh", str(folder), str(TRIALS), *site().ssh(*options)])
