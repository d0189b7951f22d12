"""fio 3: one kind of I/O on a file of its own, for warm-up plus window; its report as JSON.

Closed loop; with a rate too, latency is service time. fio leaves out the warm-up (ramp_time) itself and
counts latencies, from submission to completion, in bins that are 1/64 wide; percentiles are made of these.
The file is laid out anew before each trial and removed after it; the time for that lies in the trial, not in
the numbers. Without `folder` it lies in the run's own folder, beside those of the trials: it is no raw file.
Source: fio's HOWTO and stat.c (json+).
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from benchctl.errors import ParseError, SpecError
from benchctl.loaders._fio_report import REPORT, SERIES
from benchctl.loaders._shared import no_null_run, no_prepare, no_samples
from benchctl.loaders.loader import Command
from benchctl.model.measurement import LoaderResult, Quantity
from benchctl.statistics.percentiles import carries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchctl.loaders._fio_report import Side
    from benchctl.loaders.loader import Descriptor, Ints, Target
    from benchctl.model.experiment import Value, Workload
    from benchctl.model.measurement import TaskResult, Window

ENDS_ITSELF = True
DEFAULTS: dict[str, Value] = {
    "rw": "randread",
    "block_size": 4096,
    "size": 256 << 20,
    "engine": "psync",
    "iodepth": 1,
    "jobs": 1,
    "direct": True,
    "read_percent": 50,
    "rate": 0,
    "folder": "",
    "device": "",
}
KINDS = ("read", "write", "randread", "randwrite", "rw", "randrw")
ENGINES = ("psync", "libaio", "io_uring", "mmap")
PERCENTILES = {"latency_p50": 0.5, "latency_p95": 0.95, "latency_p99": 0.99, "latency_p999": 0.999}
_ASYNCHRONOUS = ("libaio", "io_uring")
_DIRECTIONS = ("read", "write")
prepare = no_prepare
null_run = no_null_run
samples = no_samples


class _Options(NamedTuple):
    """The options of the workload with their defaults."""

    rw: str
    block_size: int
    size: int
    engine: str
    iodepth: int
    jobs: int
    direct: bool
    read_percent: int
    rate: int
    folder: str
    device: str


def names(workload: Workload) -> frozenset[str]:
    """Raises SpecError for options that contradict each other."""
    found = _options(workload.options)
    if found.iodepth > 1 and found.engine not in _ASYNCHRONOUS:
        raise SpecError(
            f"workload.iodepth: engine {found.engine} has one request at a time",
            remedy=f"engine: {' or '.join(_ASYNCHRONOUS)}, or more jobs",
        )
    if found.engine == "mmap" and found.direct:
        raise SpecError("workload.direct: engine mmap goes through the page cache", remedy="direct: false")
    if found.device and found.folder:
        raise SpecError("workload.device: found a folder too", remedy="take one of the two")
    directions = {"rw", "randrw"} & {found.rw} and ("read_throughput", "write_throughput")
    return frozenset(
        {
            "throughput",
            "bandwidth",
            "latency_mean",
            "latency_max",
            "errors",
            *PERCENTILES,
            *(directions or ()),
        }
    )


def command(
    workload: Workload,
    descriptor: Descriptor,
    target: Target | None,  # noqa: ARG001 - it drives no DBMS
    seed: int,
) -> Command:
    """One run of one job, with a line for each second's operations."""
    found = _options(workload.options)
    place = (
        [f"--filename={found.device}"]
        if found.device
        else [f"--directory={found.folder or '..'}", f"--filename=benchctl-fio-{seed}", "--unlink=1"]
    )
    argv = [str(descriptor["binaries"]["fio"]), "--name=bench", *place]
    argv += [f"--rw={found.rw}", f"--bs={found.block_size}", f"--size={found.size}"]
    argv += [f"--ioengine={found.engine}", f"--iodepth={found.iodepth}", f"--numjobs={found.jobs}"]
    argv += [f"--direct={int(found.direct)}", f"--rwmixread={found.read_percent}"]
    argv += [f"--rate_iops={found.rate}", "--rate_process=poisson"] if found.rate else []
    argv += ["--time_based", f"--runtime={_milliseconds(workload.duration)}"]
    argv += [f"--ramp_time={_milliseconds(workload.warmup)}", f"--randseed={seed}", "--group_reporting"]
    argv += ["--lat_percentiles=1", "--clat_percentiles=0", f"--write_iops_log={SERIES}"]
    argv += ["--log_avg_msec=1000", "--per_job_logs=0", "--output-format=json+", f"--output={REPORT}"]
    return Command(tuple(argv), {**descriptor.get("env", {}), "LC_ALL": "C.UTF-8"})


def parse(
    raw: Path,
    window: Window,  # noqa: ARG001 - fio has left out the warm-up itself
    workload: Workload,
    task: TaskResult | None = None,  # noqa: ARG001 - nor is the process needed for it
) -> LoaderResult:
    """Reads and writes together; one by one where the load has both. Raises ParseError."""
    from benchctl.loaders._fio_report import quantile, read, seconds, side_of

    report, found = read(raw), _options(workload.options)
    job = report["jobs"][0]
    sides = {name: side_of(raw, job, name) for name in _DIRECTIONS}
    total = sum(side.operations for side in sides.values())
    if not total:
        raise ParseError(f"{raw / REPORT}: no request ended in the window", remedy="a longer duration")
    metrics = {
        "throughput": Quantity(value=sum(side.iops for side in sides.values()), unit="1/s"),
        "bandwidth": Quantity(value=sum(side.bytes for side in sides.values()) / (1 << 20), unit="MiB/s"),
    }
    if found.rw in {"rw", "randrw"}:
        metrics |= {f"{name}_throughput": Quantity(value=sides[name].iops, unit="1/s") for name in sides}
    mean = sum(side.mean * side.operations for side in sides.values()) / total
    metrics |= {"latency_mean": Quantity(value=mean / 1e6, unit="ms")}
    values, counts = _spread(list(sides.values()))
    for name, q in PERCENTILES.items():
        value = quantile(values, counts, q) / 1000 if carries(int(counts.sum()), q) else None
        metrics[name] = Quantity(value=value, unit="ms")
    metrics["latency_max"] = Quantity(value=max(side.longest for side in sides.values()) / 1e6, unit="ms")
    return LoaderResult(
        loader="fio",
        version=str(report["fio version"]).removeprefix("fio-"),
        open_loop=False,  # a late request's latency begins late too
        metrics=metrics | {"errors": Quantity(value=0.0, unit="1")},  # it ends at the first one
        errors=0,
        requests=total,
        series={"throughput": seconds(raw)},
        percentile_source="histogram",
        threads=found.jobs,
    )


def latencies(
    raw: Path,
    window: Window,  # noqa: ARG001 - fio has left out the warm-up itself
) -> dict[str, Ints]:
    """Every request at the middle of its bin, within 1/64 of its latency."""
    import numpy as np

    from benchctl.loaders._fio_report import read, side_of

    job = read(raw)["jobs"][0]
    return {"latency": np.repeat(*_spread([side_of(raw, job, name) for name in _DIRECTIONS]))}


def _spread(sides: Sequence[Side]) -> tuple[Ints, Ints]:
    """Microseconds, ascending, and how many requests took them."""
    import numpy as np

    values = np.fromiter((int(value) for side in sides for value in side.bins), np.int64)
    counts = np.fromiter((count for side in sides for count in side.bins.values()), np.int64)
    order = np.argsort(values, kind="stable")
    return (values[order] + 500) // 1000, counts[order]


def _options(given: Mapping[str, Value]) -> _Options:
    """Raises SpecError for what fio would take as something else."""
    found: dict[str, Any] = {**DEFAULTS, **{key: given[key] for key in DEFAULTS if key in given}}
    folder, device = str(found["folder"]), str(found["device"])
    for name, path in (("folder", folder), ("device", device)):
        if path and (
            not PurePosixPath(path).is_absolute() or ":" in path or ".." in PurePosixPath(path).parts
        ):
            raise SpecError(f"workload.{name}: {path!r} is no absolute path without a colon")
    if folder.startswith("/dev/"):
        raise SpecError(
            f"workload.folder: {folder} is no place for a file",
            remedy="device: /dev/NAME writes over a device, where that is meant",
        )
    if device and not device.startswith("/dev/"):
        raise SpecError(f"workload.device: {device} is no device", remedy="folder: a folder for the file")
    return _Options(**found)


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
