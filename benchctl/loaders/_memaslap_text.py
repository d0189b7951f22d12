"""memaslap's report: a table for each second, then the statistics of the whole run.

Owns its form; every line has to be known. Source: libmemcached's contrib/bin/memaslap (ms_stats.c).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from benchctl.errors import ParseError
from benchctl.loaders._shared import content

if TYPE_CHECKING:
    from pathlib import Path

REMEDY = "look at the raw files; a form that memaslap really prints belongs into benchctl/loaders/memaslap.py"
_CLEAR = "\x1b[1;1H\x1b[2J"  # before each second's tables
_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_KNOWN = re.compile(
    r"servers: \S+|threads count: \d+|concurrency: \d+|windows size: \d+k?"
    r"|[sg]et proportion: [sg]et_prop=[0-9.]+"
    r"|Type +Time\(s\) +Ops +TPS\(ops/s\) +Net\(M/s\) +Get_miss +Min\(us\) +Max\(us\) +Avg\(us\) +Std_dev"
    r" +Geo_dist *|   Log2 Dist:| +\d+:( +\d+){1,4}"
)
_RUN_TIME = re.compile(r"run time: (\d+)s")
_TITLE = re.compile(r"(Get|Set|Total) Statistics(?: \((\d+) events\))?")
_ROW = re.compile(rf"(Period|Global)((?:\s+{_NUMBER}){{10}})\s*")
_FIGURE = re.compile(rf"   (Min|Max|Avg|Geo|Std): +{_NUMBER}")
_COUNTER = re.compile(r"(cmd_get|cmd_set|get_misses|written_bytes|read_bytes|object_bytes): (\d+)")
_END = re.compile(rf"Run time: {_NUMBER}s Ops: (\d+) TPS: (\d+) Net_rate: {_NUMBER}M/s")


class Second(NamedTuple):
    """One second of all requests, as reported at its end."""

    requests: float
    mean: float  # microseconds


class Report(NamedTuple):
    """All that a run printed, of gets and sets together."""

    wanted: int  # seconds that it was to run
    seconds: tuple[Second, ...]
    figures: dict[str, float]  # Min, Max and Avg, in microseconds
    counters: dict[str, int]
    requests: int
    throughput: float  # 1/s


def read(path: Path) -> Report:
    """Read the whole file. Raises ParseError for a line that is not known, and for one that is missing."""
    text = content(path)
    lines = [line.removeprefix(_CLEAR) for line in text.splitlines()]
    reader = _Reader()
    end = None
    for number, line in enumerate(lines, start=1):
        if end is not None or not (not line.strip() or reader.take(line) or _END.fullmatch(line)):
            raise ParseError(f"{path}:{number}: unknown line: {line[:200]!r}", remedy=REMEDY)
        end = _END.fullmatch(line)
    if (
        end is None
        or not reader.wanted
        or len(reader.counters) < 6
        or not {"Min", "Max", "Avg"} <= reader.figures.keys()
    ):
        raise ParseError(f"{path}: the report is cut off after {len(lines)} lines", remedy=REMEDY)
    return Report(
        reader.wanted, tuple(reader.seconds), reader.figures, reader.counters, int(end[2]), float(end[3])
    )


class _Reader:
    """Takes one line after the other; whose statistics they are, a title has said."""

    def __init__(self) -> None:
        self.wanted = 0
        self.seconds: list[Second] = []
        self.figures: dict[str, float] = {}
        self.counters: dict[str, int] = {}
        self._part = ""

    def take(self, line: str) -> bool:
        """Whether the line is known."""
        if run_time := _RUN_TIME.fullmatch(line):
            self.wanted = int(run_time[1])
        elif title := _TITLE.fullmatch(line):
            self._part = title[1]
        elif row := _ROW.fullmatch(line):
            if self._part == "Total" and row[1] == "Period":
                words = [float(word) for word in row[2].split()]
                self.seconds.append(Second(words[1], words[7]))
        elif figure := _FIGURE.fullmatch(line):
            if self._part == "Total":
                self.figures[figure[1]] = float(figure[2])
        elif counter := _COUNTER.fullmatch(line):
            self.counters[counter[1]] = int(counter[2])
        else:
            return _KNOWN.fullmatch(line) is not None
        return True
