"""Outputs of load generators as large as one likes, made from recorded ones as the program would go on.

A program that prints something each second, each round or each request gets more of its own lines, and what
it says of their number is made to fit. One that prints a summary alone has no large output: `grown` gives
None.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from benchctl.testing.loader_contract import asked

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchctl.model.experiment import Value, Workload

CASES = Path(__file__).parents[1] / "cases" / "loaders"
_KEPT = 1_000_000  # responses that hey keeps


class Output(NamedTuple):
    """What it is an output of."""

    workload: Workload
    grew: str  # what there is more of


def grown(case: str, file: str, raw: Path, size: int) -> Output | None:
    """An output of about so many bytes; None where the program prints a summary alone."""
    role = case.partition("/")[0]
    if role not in _GROWERS:
        return None
    shutil.copytree(CASES / case, raw)
    workload, _ = asked(CASES / case)
    (path,) = raw.glob(file)
    grew, grow = _GROWERS[role]
    options = {**workload.options, **(grow(path, size) or {})}
    return Output(msgspec.structs.replace(workload, options=options), grew)


def _times(lines: list[str], size: int) -> int:
    return max(1, size // len("".join(lines)))


def _hey(path: Path, size: int) -> None:
    head, *lines = path.read_text().splitlines(keepends=True)
    wanted = min(len(lines) * _times(lines, size), _KEPT)
    many = (lines * (wanted // len(lines) + 1))[:wanted]
    path.write_text(json.dumps({**json.loads(head), "results": wanted}) + "\n" + "".join(many))


def _xephon_b(path: Path, size: int) -> None:
    lines = path.read_text().splitlines(keepends=True)
    times = _times(lines, size)
    path.write_text("".join(lines) * times)
    stdout = path.with_name("stdout")
    banner, report = stdout.read_text().splitlines()
    totals = ("totalRequests", "totalPoints", "failedRequests", "retriedRequests")
    found = json.loads(report)
    stdout.write_text(f"{banner}\n{json.dumps(found | {name: found[name] * times for name in totals})}\n")


def _benchbase(path: Path, size: int) -> None:
    head, *lines = path.read_text().splitlines(keepends=True)
    times = _times(lines, size)
    path.write_text(head + "".join(lines) * times)
    (summary,) = path.parent.glob("*.summary.json")
    found = json.loads(summary.read_text())
    grow = ("Measured Requests", "Throughput (requests/second)", "Goodput (requests/second)")
    summary.write_text(json.dumps(found | {name: found[name] * times for name in grow}))
    stdout = path.with_name("stdout")
    counted = re.sub(r"\[ *(\d+)\]", lambda count: f"[{int(count[1]) * times}]", stdout.read_text())
    stdout.write_text(counted)


def _go_ycsb(path: Path, size: int) -> None:
    before, stars, after = path.read_text().rpartition("*" * 46)
    last = before.splitlines(keepends=True)[-4:]  # READ, READ_MODIFY_WRITE, TOTAL, UPDATE
    path.write_text(before + "".join(last) * _times(last, size) + stars + after)


def _go_tpc(path: Path, size: int) -> None:
    seconds, finished, rest = path.read_text().partition("Finished\n")
    path.write_text(seconds * _times([seconds], size) + finished + rest)


def _memaslap(path: Path, size: int) -> None:
    text = path.read_text()
    head, clear, tables = text.partition("\x1b[1;1H")
    *seconds, end = re.split(r"(?=\n\x1b|\nGet Statistics \()", clear + tables)
    many = _times(seconds, size)
    head = head.replace(f"run time: {len(seconds)}s", f"run time: {len(seconds) * many}s")
    path.write_text(head + ("".join(seconds) + "\n") * many + end)


def _sysbench(path: Path, size: int) -> None:
    text = path.read_text()
    (*_, last) = re.findall(r"^\[ \d+s \] thds.*\n", text, re.MULTILINE)
    first = int(last.split()[1].removesuffix("s"))
    more = range(first, first + _times([last], size))
    path.write_text(text.replace(last, "".join(last.replace(f"{first}s", f"{at}s", 1) for at in more)))


def _tpch(path: Path, size: int) -> dict[str, Value]:
    *lines, end = path.read_text().splitlines(keepends=True)
    first = [line for line in lines if '"round": 1,' in line]
    rounds = _times(first, size)
    many = "".join("".join(first).replace('"round": 1,', f'"round": {at},') for at in range(1, rounds + 1))
    path.write_text(many + end)
    return {"rounds": rounds}


def _command(path: Path, size: int) -> dict[str, Value]:
    head, *rows = path.read_text().splitlines(keepends=True)
    path.write_text(head + "".join(rows) * _times(rows, size))
    return {"parse": {"csv": True, "row": "test=SET", "take": "last"}}


_GROWERS: dict[str, tuple[str, Callable[[Path, int], dict[str, Value] | None]]] = {
    "hey": ("responses", _hey),
    "xephon_b": ("requests", _xephon_b),
    "benchbase": ("transactions", _benchbase),
    "go_ycsb": ("seconds", _go_ycsb),
    "go_tpc": ("seconds", _go_tpc),
    "memaslap": ("seconds", _memaslap),
    "sysbench": ("seconds", _sysbench),
    "tpch": ("rounds", _tpch),
    "command": ("rows", _command),
}
