"""Any command as a load generator: what it prints is what was measured.

Options of the workload:
- `run`: the command, as words or as one string that is split like a shell splits words; never a shell.
- `parse`: how its output is read, stdout or the file at `path` below its working folder.
  `{json: true}`: one JSON document, as the whole file or as the last line that is not empty.
  `{csv: true}`: a table with a head and one row; `delimiter`, and `row: COLUMN=TEXT` where there are several.
  `{regex: PATTERN}`: one match with a named group for each metric; `^` and `$` match at lines.
  `{regex: true}`: a pattern for each metric, in `values`.
  Where several rows or matches are no error, `take: last` says that the last one counts.
- `values`: metric name -> JSON path, column, or pattern with one group. Without it the names are those of the
  object's keys and the table's columns.
- `units`: metric name -> unit; without one only what nobody named beforehand may stay.
A metric `seconds`, the life of the process, is always there, unless the command reports one of that name.
A metric `requests` weights the means of several hosts, without it they have no mean together; `errors` is
judged as the errors of every load generator are.
The command learns of the trial from its environment: BENCHCTL_SEED, BENCHCTL_WARMUP, BENCHCTL_DURATION
(seconds) and, with a DBMS, BENCHCTL_SOCKET or BENCHCTL_HOST, BENCHCTL_PORT, BENCHCTL_USER, BENCHCTL_DATABASE.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from benchctl.errors import SpecError
from benchctl.loaders._form import check_units, form, mapping
from benchctl.loaders._output import read
from benchctl.loaders._shared import no_latencies, no_null_run, no_prepare, no_samples
from benchctl.loaders.loader import Command
from benchctl.model.measurement import LoaderResult, Quantity

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.loaders.loader import Descriptor, Target
    from benchctl.model.experiment import Workload
    from benchctl.model.measurement import TaskResult, Window

ENDS_ITSELF = True
prepare = no_prepare
null_run = no_null_run
samples = no_samples
latencies = no_latencies


def names(workload: Workload) -> frozenset[str] | None:
    """What is read, and `seconds`; None where only the output tells. Raises SpecError."""
    found = form(workload)
    read_names = frozenset() if found is None else found.names
    if read_names is None:
        return None
    check_units(read_names, mapping(workload, "units"))
    return read_names | {"seconds"}


def command(workload: Workload, descriptor: Descriptor, target: Target | None, seed: int) -> Command:
    """The words of `run`. Raises SpecError when there are none, or its output cannot be read as told."""
    names(workload)
    run = workload.options.get("run", "")
    try:
        words = tuple(shlex.split(run)) if isinstance(run, str) else tuple(map(str, run))  # type: ignore[arg-type]
    except ValueError as error:
        raise SpecError(f"workload.run: {run!r}: {error}", remedy="close the quotes") from error
    if not words:
        raise SpecError("workload.run: no command", remedy="run: my-load --seconds 10")
    env = {
        **descriptor.get("env", {}),
        "BENCHCTL_SEED": str(seed),
        "BENCHCTL_WARMUP": f"{workload.warmup:g}",
        "BENCHCTL_DURATION": f"{workload.duration:g}",
    }
    reach = {f"BENCHCTL_{name.upper()}": str(value) for name, value in (target or {}).items()}
    return Command(words, env | reach)


def parse(
    raw: Path,
    window: Window,  # noqa: ARG001 - the command measures by itself, nothing can be cut
    workload: Workload,
    task: TaskResult | None = None,
) -> LoaderResult:
    """The metrics that the command reported, as it reported them."""
    found = {} if task is None else {"seconds": task.end - task.start}
    how = form(workload)
    if how is not None:
        found |= read(raw, how)
    units = {"seconds": "s"} | mapping(workload, "units")
    return LoaderResult(
        loader="command",
        version="",
        open_loop=False,
        metrics={name: Quantity(value=value, unit=str(units.get(name, ""))) for name, value in found.items()},
        errors=round(found.get("errors", 0)),
        requests=round(found.get("requests", 0)),
        percentile_source="loader",
    )
