"""stress-ng 0.15 and newer: one kind of stress for a while; its metrics as YAML.

What it counts are bogus operations: they compare one stressor with itself on two hosts or settings, never two
stressors, and never two versions of stress-ng. There is no warm-up and no latency.
Source: stress-ng's manual (--metrics-brief, --yaml).
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from benchctl.errors import ParseError, SpecError
from benchctl.loaders._shared import (
    no_latencies,
    no_null_run,
    no_prepare,
    no_samples,
    refuse_warmup,
    require_whole_seconds,
)
from benchctl.loaders.loader import Command
from benchctl.model.measurement import LoaderResult, Quantity

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.loaders.loader import Descriptor, Target
    from benchctl.model.experiment import Value, Workload
    from benchctl.model.measurement import TaskResult, Window

ENDS_ITSELF = True
DEFAULTS: dict[str, Value] = {"stressor": "cpu", "workers": 0, "method": ""}
REPORT = "stress-ng.yaml"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_SAID = re.compile(r"stress-ng: (?P<kind>\w+): +\[\d+\] .*")
_FINE = {"info", "metrc", "debug"}
_METRICS = {
    "throughput": ("bogo-ops-per-second-real-time", "1/s"),
    "throughput_cpu": ("bogo-ops-per-second-usr-sys-time", "1/s"),
    "seconds": ("wall-clock-time", "s"),
}
_OUTSIDE = re.compile(r"^(?=source-date-epoch: )", re.MULTILINE)  # 0.19 prints it left of its section
_END = "\n...\n"
_REMEDY = (
    "look at the raw files; a form that stress-ng really prints belongs into benchctl/loaders/stress_ng.py"
)
prepare = no_prepare
null_run = no_null_run
samples = no_samples
latencies = no_latencies


def names(workload: Workload) -> frozenset[str]:
    """Raises SpecError for a warm-up, and for what is no name of a stressor."""
    refuse_warmup(workload, "stress-ng counts from its first operation on")
    require_whole_seconds(workload, "stress-ng")
    options = {**DEFAULTS, **workload.options}
    for name in ("stressor", "method"):
        if options[name] != "" and not _NAME.fullmatch(str(options[name])):
            raise SpecError(
                f"workload.{name}: {options[name]!r} is no name", remedy="`stress-ng --stressors` lists them"
            )
    return frozenset({*_METRICS, "errors"})


def command(
    workload: Workload,
    descriptor: Descriptor,
    target: Target | None,  # noqa: ARG001 - it drives no DBMS
    seed: int,
) -> Command:
    """One stressor; files that it needs lie beside the trials' folders, they are no raw files."""
    options = {**DEFAULTS, **workload.options}
    argv = [str(descriptor["binaries"]["stress-ng"]), f"--{options['stressor']}={options['workers']}"]
    argv += [f"--{options['stressor']}-method={options['method']}"] if options["method"] else []
    argv += [f"--timeout={int(workload.duration)}s", f"--seed={seed}", "--temp-path=.."]
    argv += ["--metrics-brief", f"--yaml={REPORT}"]
    return Command(tuple(argv), {**descriptor.get("env", {}), "LC_ALL": "C.UTF-8"})


def parse(
    raw: Path,
    window: Window,  # noqa: ARG001 - the program measures by itself, nothing can be cut
    workload: Workload,
    task: TaskResult | None = None,  # noqa: ARG001 - nor is the process needed for it
) -> LoaderResult:
    """The one stressor's figures. Raises ParseError, too, for what stress-ng complains of."""
    stressor = str({**DEFAULTS, **workload.options}["stressor"])
    _require_peace(raw)
    version, row = _row(raw / REPORT, stressor)
    metrics = {name: _quantity(raw / REPORT, row, key, unit) for name, (key, unit) in _METRICS.items()}
    return LoaderResult(
        loader="stress_ng",
        version=version,
        open_loop=False,
        metrics=metrics | {"errors": Quantity(value=0.0, unit="1")},
        errors=0,
        requests=round(_quantity(raw / REPORT, row, "bogo-ops", "1").value or 0),
    )


def _require_peace(raw: Path) -> None:
    for path in (raw / "stdout", raw / "stderr"):
        if not path.exists():
            raise ParseError(f"{path}: not there", remedy="stress-ng has to write it")
        for number, line in enumerate(path.read_text(errors="backslashreplace").splitlines(), start=1):
            said = _SAID.fullmatch(line)
            if said is None or said["kind"] not in _FINE:
                raise ParseError(f"{path}:{number}: stress-ng says: {line[:200]}", remedy=_REMEDY)


def _row(path: Path, stressor: str) -> tuple[str, dict[str, Any]]:
    """Return the version, and what was counted of one stressor. Raises ParseError."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        text = path.read_text(encoding="utf-8")
        report = YAML(typ="safe", pure=True).load(_OUTSIDE.sub(" " * 6, text))
    except FileNotFoundError as error:
        raise ParseError(f"{path}: not there", remedy="stress-ng has to write it") from error
    except YAMLError as error:
        raise ParseError(f"{path}: not YAML: {str(error)[:200]}", remedy=_REMEDY) from error
    if not text.endswith(_END):
        raise ParseError(f"{path}: the report is cut off", remedy="see the last lines of stderr")
    match report:
        case {"system-info": {"stress-ng-version": version}, "metrics": [{"stressor": name, **row}]}:
            if name == stressor:
                return str(version), {str(key): value for key, value in row.items()}
    raise ParseError(f"{path}: no metrics of {stressor} alone; it did nothing, or the file is cut off")


def _quantity(path: Path, row: dict[str, Any], key: str, unit: str) -> Quantity:
    value = row.get(key)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or value <= 0
    ):
        raise ParseError(f"{path}: {key} is {value!r}, which is no measurement", remedy=_REMEDY)
    return Quantity(value=float(value), unit=unit)
