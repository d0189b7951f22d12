"""A pgbench log to percentiles and one-second series, against pandas.read_csv and quantiles of its latencies.

Each side runs in a process of its own, which times itself after its imports and tells its peak memory
(VmHWM: unlike ru_maxrss it starts anew with the program). Time is the better of ROUNDS, taken in turn.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchctl import loaders
from benchctl.model.experiment import Workload
from benchctl.model.measurement import Window
from tests.perf.rows import Row

if TYPE_CHECKING:
    from typing import TextIO

LINES = 10_000_000
ROUNDS = 2
RATE = 20_000  # transactions per second
START = 1_795_264_000
QUANTILES = [0.5, 0.95, 0.99, 0.999]
_BLOCK = 200_000


class Cost(NamedTuple):
    seconds: float
    bytes: int


def run(lines: int = LINES, rounds: int = ROUNDS) -> list[Row]:
    """Two rows: time and memory."""
    with tempfile.TemporaryDirectory() as folder:
        write_raw(Path(folder), lines)
        costs = [(_measure("ours", folder), _measure("peer", folder)) for _ in range(rounds)]
    ours, peer = (min(side, key=lambda cost: cost.seconds) for side in zip(*costs, strict=True))
    name = f"pgbench log, {lines:,} lines / pandas.read_csv + quantile"
    mib = 2**20
    return [
        Row(
            f"{name}: time",
            f"{ours.seconds:.2f} s",
            f"{peer.seconds:.2f} s",
            f"{ours.seconds / peer.seconds:.2f}",
            "<= 1",
            ours.seconds <= peer.seconds,
        ),
        Row(
            f"{name}: peak memory",
            f"{ours.bytes / mib:.0f} MiB",
            f"{peer.bytes / mib:.0f} MiB",
            f"{ours.bytes / peer.bytes:.2f}",
            "<= 0.6",
            ours.bytes <= 0.6 * peer.bytes,
        ),
    ]


def write_raw(folder: Path, lines: int) -> None:
    """Write what a closed loop of `lines` transactions leaves; latencies are log-normal around 1 ms."""
    rng = np.random.default_rng(7)
    total = 0
    with (folder / "tx.1").open("w") as file:
        for first in range(0, lines, _BLOCK):
            latency = rng.lognormal(np.log(1000), 0.5, min(_BLOCK, lines - first)).astype(np.int64)
            total += int(latency.sum())
            _write_block(file, first, latency)
    (folder / "stderr").write_text("")
    (folder / "stdout").write_text(
        "pgbench (18.6)\nnumber of clients: 16\nnumber of threads: 1\nmaximum number of tries: 1\n"
        f"number of transactions actually processed: {lines}\nnumber of failed transactions: 0 (0.000%)\n"
        f"latency average = {total / lines / 1000:.3f} ms\n"
    )


def _write_block(file: TextIO, first: int, latency: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
    count = np.arange(first, first + len(latency))
    micros = count * 1_000_000 // RATE
    columns = (count % 16, count // 16 + 1, latency, START + micros // 1_000_000, micros % 1_000_000)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    file.write("".join(f"{client} {tx} {time_us} 0 {s} {us}\n" for client, tx, time_us, s, us in rows))


def _measure(side: str, folder: str) -> Cost:
    argv = [sys.executable, "-m", "tests.perf.parse_log", side, folder]
    return Cost(*json.loads(subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout))


def _ours(folder: Path) -> float:
    import benchctl.loaders._pgbench_log  # noqa: F401 - imports are not part of the figure

    lines = int((folder / "stdout").read_text().split("processed: ")[1].split()[0])
    window = Window(start=float(START), end=START + lines / RATE)
    begin = time.perf_counter()
    loaders.get("pgbench").parse(folder, window, Workload(role="pgbench"))
    return time.perf_counter() - begin


def _peer(folder: Path) -> float:
    import pandas as pd

    begin = time.perf_counter()
    frame = pd.read_csv(folder / "tx.1", sep=" ", header=None)
    frame[2].quantile(QUANTILES)
    return time.perf_counter() - begin


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def main() -> None:
    side = _ours if sys.argv[1] == "ours" else _peer
    seconds = side(Path(sys.argv[2]))
    sys.stdout.write(json.dumps([seconds, _peak()]))


if __name__ == "__main__":
    main()
