"""exampleload: its command line, and its output in the common form.

Of the functions, `names`, `command` and `parse` are what every load generator needs; benchctl's
`benchctl/loaders/loader.py` says what each may be asked for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from benchctl.errors import ParseError
from benchctl.loaders import Command
from benchctl.model.measurement import LoaderResult, Quantity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchctl.model.experiment import Value, Workload
    from benchctl.model.measurement import TaskResult, Window

ENDS_ITSELF = True  # the program decides when it is done; False: it runs through warm-up and window
METRICS = frozenset({"throughput", "latency_min"})
DEFAULTS = {"size": 1000, "loops": 20_000, "repeats": 5}
_LINE = re.compile(
    r"(?P<loops>[0-9]+) loops, best of [0-9]+: (?P<best>[0-9.]+(?:e[-+]?[0-9]+)?) usec per loop"
)


def names(workload: Workload) -> frozenset[str]:
    """The metrics that it reports. Raises SpecError for what it cannot have."""
    return METRICS


def command(
    workload: Workload, descriptor: Mapping[str, Any], target: Mapping[str, Any] | None, seed: int
) -> Command:
    """One run. `target` says how the DBMS is reached: `socket`, or `host` and `port`."""
    found = _options(workload)
    argv = (descriptor["binaries"]["python3"], "-m", "timeit", "-u", "usec")
    argv += ("-n", str(found["loops"]), "-r", str(found["repeats"]), f"sum(range({found['size']}))")
    return Command(argv, {**descriptor.get("env", {}), "LC_ALL": "C.UTF-8"})


def parse(
    raw: Path,
    window: Window,
    workload: Workload,
    task: TaskResult | None = None,
) -> LoaderResult:
    """What it printed: one line, all of it known. Raises ParseError with file and line."""
    path = raw / "stdout"
    try:
        text = path.read_text(encoding="utf-8", errors="backslashreplace")
    except FileNotFoundError as error:
        raise ParseError(f"{path}: not there", remedy="exampleload has to write it") from error
    match = _LINE.fullmatch(text.rstrip("\n")) if text.endswith("\n") else None
    if match is None:
        shown = text.splitlines()[:2]
        raise ParseError(f"{path}:1: expected one line like '5 loops, best of 3: 1.5 usec per loop': {shown}")
    best = float(match["best"])
    if best <= 0:
        raise ParseError(f"{path}:1: {best} usec is no measurement", remedy="raise workload.size")
    return LoaderResult(
        loader="exampleload",
        version="",  # where its output does not tell; the descriptor does
        open_loop=False,  # True where requests start at given times, whatever the answers do
        metrics={
            "throughput": Quantity(value=1e6 / best, unit="1/s"),
            "latency_min": Quantity(value=best / 1000, unit="ms"),
        },
        errors=0,
        requests=int(match["loops"]) * _options(workload)["repeats"],
        percentile_source="loader",
    )


def _options(workload: Workload) -> dict[str, int]:
    return {name: int(str(workload.options.get(name, default))) for name, default in DEFAULTS.items()}


# What this load generator does not have.


def prepare(
    options: Mapping[str, Value],
    descriptor: Mapping[str, Any],
    target: Mapping[str, Any] | None,
    seed: int,
) -> Command | None:
    """The command that fills a fresh data image; None when nothing is needed."""
    return None


def null_run(
    workload: Workload,
    descriptor: Mapping[str, Any],
    target: Mapping[str, Any],
    runtime: str,
) -> None:
    """The run against a target that does nothing; None where that cannot be."""


def samples(raw: Path, window: Window) -> None:
    """A table of every request; None when it keeps none."""


def latencies(raw: Path, window: Window) -> dict[str, Any]:
    """Microseconds of every request by kind of time; empty when it keeps none."""
    return {}
