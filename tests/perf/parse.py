"""The load generators' parsers on 100 MB of their output, against pandas or json that read the same bytes.

The outputs are made of recorded ones (outputs.py). A program that prints a summary of some lines has no
large output: there it is so many whole outputs, each in files of its own, that are read one after the other.
The peer reads the file alone and holds nothing against anything; a text that is no table goes to pandas as
rows of words. pgbench's log has a figure of its own (parse_log.py). Time is the better of two rounds, taken
in turn.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchctl import loaders
from benchctl.testing.loader_contract import asked
from tests.perf.outputs import CASES, grown
from tests.perf.rows import Row, rounds

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = 100_000_000
QUICK = 5_000_000
WHOLE = 200  # outputs of a program that prints a summary alone
ROUNDS = 2


class Kind(NamedTuple):
    """A recorded case, the file of it that says most, and who reads it beside us."""

    case: str
    file: str
    peer: str
    words: int  # of its widest line


KINDS = (
    Kind("hey/get", "stdout", "pandas.read_csv by blanks", 3),
    Kind("xephon_b/single", "requests.log", "pandas.read_csv by blanks", 5),
    Kind("benchbase/tpcc-postgresql-18", "*.raw.csv", "pandas.read_csv", 6),
    Kind("command/redis-csv", "stdout", "pandas.read_csv", 8),
    Kind("tpch/duckdb", "stdout", "json.loads of each line", 0),
    Kind("go_tpc/two-clients", "stdout", "json.loads of each line", 0),
    Kind("go_ycsb/f-postgresql", "stdout", "pandas.read_csv", 13),
    Kind("sysbench/mysql-no-warmup", "stdout", "pandas.read_csv by blanks", 18),
    Kind("memaslap/get-heavy", "stdout", "pandas.read_csv by blanks", 11),
    Kind("fio/randread", "fio.json", "json.loads", 0),
    Kind("stress_ng/cpu", "stress-ng.yaml", "pandas.read_csv", 3),
    Kind("redis_benchmark/set", "stdout", "pandas.read_csv", 8),
    Kind("mysqlslap/read", "stdout", "pandas.read_csv", 7),
)


def run() -> list[Row]:
    size = QUICK if os.environ.get("PERF_QUICK") else SIZE
    return [measured(kind, size) for kind in KINDS]


def measured(kind: Kind, size: int) -> Row:
    """One row: MB/s of both, and the ratio of their times."""
    role = kind.case.partition("/")[0]
    loader = loaders.get(role)
    workload, window = asked(CASES / kind.case)
    loader.parse(CASES / kind.case, window, workload)  # imports are no part of the figure
    with tempfile.TemporaryDirectory() as folder:
        raws = [Path(folder) / "raw"]
        if output := grown(kind.case, kind.file, raws[0], size):
            workload, what = output.workload, f"more {output.grew}"
        else:
            raws = [Path(shutil.copytree(CASES / kind.case, Path(folder) / str(at))) for at in range(WHOLE)]
            what = f"{WHOLE} whole outputs"
        files = [path for raw in raws for path in raw.glob(kind.file)]
        bytes_read = sum(file.stat().st_size for file in files)
        ours, theirs = _best(
            lambda: [loader.parse(raw, window, workload) for raw in raws],
            lambda: [_READERS[kind.peer](file, kind.words) for file in files],
        )
    return Row(
        f"parse {role}, {bytes_read / 1e6:.3g} MB ({what}) / {kind.peer}",
        f"{bytes_read / 1e6 / ours:.3g} MB/s",
        f"{bytes_read / 1e6 / theirs:.3g} MB/s",
        f"{ours / theirs:.2f}",
        "",
    )


def _best(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    times = [(_seconds(ours), _seconds(theirs)) for _ in range(rounds(ROUNDS))]
    first, second = zip(*times, strict=True)
    return min(first), min(second)


def _seconds(act: Callable[[], object]) -> float:
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin


def _table(separator: str, path: Path, words: int) -> object:
    import pandas as pd

    return pd.read_csv(path, sep=separator, header=None, names=range(words), low_memory=False)


def _each_line(path: Path, _: int) -> object:
    return [json.loads(line) for line in path.read_bytes().splitlines() if line.startswith((b"{", b"["))]


_READERS: dict[str, Callable[[Path, int], object]] = {
    "pandas.read_csv": partial(_table, ","),
    "pandas.read_csv by blanks": partial(_table, r"\s+"),
    "json.loads": lambda path, _: json.loads(path.read_bytes()),
    "json.loads of each line": _each_line,
}
