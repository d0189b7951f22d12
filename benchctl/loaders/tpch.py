"""The 22 queries of TPC-H by the role's own program: on DuckDB or SQLite in its process, else through psql.

One query after the other (closed loop), so latency is service time. A query's time ends when all of its rows
have been read. A wrong answer counts as an error. What it measures is derived from TPC-H and no TPC-H result.
Source: roles/tpch/files/tpch.py, a JSON object for each query and one at the end.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from benchctl.errors import ParseError, SpecError
from benchctl.loaders._shared import (
    content,
    no_latencies,
    no_null_run,
    no_samples,
    refuse_warmup,
    require_silence,
)
from benchctl.loaders.loader import Command
from benchctl.model.measurement import LoaderResult, Quantity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchctl.loaders.loader import Descriptor, Target
    from benchctl.model.experiment import Value, Workload
    from benchctl.model.measurement import TaskResult, Window

ENDS_ITSELF = True
DEFAULTS: dict[str, Value] = {"scale": 0.1, "queries": (), "rounds": 1, "shuffle": False, "check": True}
QUERIES = range(1, 23)
ANSWERED = (0.01, 0.1, 1.0)  # the scales that the extension has answers for
_REMEDY = "look at the raw files; what the program prints stands in roles/tpch/files/tpch.py"


_Line = TypeVar("_Line")
null_run = no_null_run
samples = no_samples
latencies = no_latencies


class _Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the output."""

    round: int
    query: int
    seconds: float
    rows: int
    right: bool | None  # None: not compared
    sha256: str


class _End(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last line of the output."""

    done: bool
    engine: str
    scale: float
    checked: bool


class _Options(NamedTuple):
    """The options of the workload with their defaults."""

    scale: float
    queries: tuple[int, ...]
    rounds: int
    shuffle: bool
    check: bool


def names(workload: Workload) -> frozenset[str]:
    """Raises SpecError for a warm-up, and for answers that nobody knows."""
    refuse_warmup(
        workload,
        "tpch runs whole queries and cannot leave out their beginning",
        "take warmup out, and give it more rounds",
    )
    found = _options(workload.options)
    if found.check and found.scale not in ANSWERED:
        raise SpecError(
            f"workload.check: nobody knows the answers at scale {found.scale:g}",
            remedy="check: false, or one of the scales " + ", ".join(f"{scale:g}" for scale in ANSWERED),
        )
    queries = (_name(query) for query in found.queries)
    return frozenset({"throughput", "latency_geomean", "latency_mean", "latency_max", "errors", *queries})


def prepare(
    options: Mapping[str, Value], descriptor: Descriptor, target: Target | None, seed: int
) -> Command:
    """Make the tables and fill them, with keys and indexes on PostgreSQL."""
    return _command("prepare", _options(options), descriptor, target, seed)


def command(workload: Workload, descriptor: Descriptor, target: Target | None, seed: int) -> Command:
    """Run the queries; a line each."""
    return _command("run", _options(workload.options), descriptor, target, seed)


def parse(
    raw: Path,
    window: Window,  # noqa: ARG001 - the program measures by itself, nothing can be cut
    workload: Workload,
    task: TaskResult | None = None,  # noqa: ARG001 - nor is the process needed for it
) -> LoaderResult:
    """All queries that the options ask for, as often as they say. Raises ParseError when one lacks."""
    lines = _lines(raw, _options(workload.options))
    times = [line.seconds * 1000 for line in lines]
    errors = sum(line.right is False for line in lines)
    figures = {
        "throughput": 1000 * len(times) / sum(times),
        "latency_geomean": math.exp(sum(map(math.log, times)) / len(times)),
        "latency_mean": sum(times) / len(times),
        "latency_max": max(times),
    }
    for query in sorted({line.query for line in lines}):
        own = [line.seconds * 1000 for line in lines if line.query == query]
        figures[_name(query)] = sum(own) / len(own)
    units = {"throughput": "1/s"}
    metrics = {name: Quantity(value=value, unit=units.get(name, "ms")) for name, value in figures.items()}
    return LoaderResult(
        loader="tpch",
        version="",  # its output does not tell; the descriptor does
        open_loop=False,
        metrics=metrics | {"errors": Quantity(value=float(errors), unit="1")},
        errors=errors,
        requests=len(lines),
    )


def _name(query: int) -> str:
    return f"q{query:02d}_mean"


def _options(given: Mapping[str, Value]) -> _Options:
    """Raises SpecError for queries that there are not."""
    found: dict[str, Any] = {**DEFAULTS, **{key: given[key] for key in DEFAULTS if key in given}}
    words = tuple(str(word) for word in found.pop("queries")) or tuple(map(str, QUERIES))
    if not all(word.isdecimal() and int(word) in QUERIES for word in words) or len(set(words)) < len(words):
        raise SpecError(
            f"workload.queries: {', '.join(words)} are no numbers of queries", remedy="1 to 22, each once"
        )
    return _Options(queries=tuple(map(int, words)), **(found | {"scale": float(found["scale"])}))


def _command(verb: str, found: _Options, descriptor: Descriptor, target: Target | None, seed: int) -> Command:
    binaries = descriptor["binaries"]
    wanted = {"verb": verb, "packages": binaries["packages"], "seed": seed, **found._asdict()}
    wanted |= _system(binaries, target)
    argv = (str(binaries["python"]), "-ISB", str(binaries["tpch"]), json.dumps(wanted))
    return Command(argv, {**descriptor.get("env", {}), "LC_ALL": "C.UTF-8"})


def _system(binaries: Mapping[str, str], target: Target | None) -> dict[str, Any]:
    """How the program reaches the system. Raises SpecError without one."""
    if target is None:
        raise SpecError(
            "workload.role: tpch drives a DBMS", remedy="add `dbms: {role: duckdb}`, sqlite or postgresql"
        )
    if "engine" in target:
        return dict(target)
    place = target["socket"] if "socket" in target else target["host"]
    psql = [binaries["psql"], f"--host={place}", f"--port={target['port']}", f"--username={target['user']}"]
    return {"engine": "postgresql", "psql": [*psql, str(target["database"])]}


def _lines(raw: Path, found: _Options) -> list[_Query]:
    """Read the whole output; a line that is not known is an error. Raises ParseError."""
    path = raw / "stdout"
    require_silence(raw / "stderr", "tpch", _REMEDY)
    *queries, last = content(path).splitlines() or [""]
    lines = [_decoded(path, number, line, _Query) for number, line in enumerate(queries, start=1)]
    end = _decoded(path, len(queries) + 1, last, _End)
    ran = sorted((line.round, line.query) for line in lines)
    wanted = [(number, query) for number in range(1, found.rounds + 1) for query in sorted(found.queries)]
    if not end.done or ran != wanted:
        raise ParseError(
            f"{path}: {len(ran)} queries, not the {len(wanted)} that were wanted", remedy=_REMEDY
        )
    if any(line.seconds <= 0 or (line.right is None and end.checked) for line in lines) or (
        found.check and not end.checked
    ):
        raise ParseError(f"{path}: a query without a time, or without a known answer", remedy=_REMEDY)
    return lines


def _decoded(path: Path, number: int, text: str, kind: type[_Line]) -> _Line:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        raise ParseError(f"{path}:{number}: unknown line: {text[:200]!r}: {error}", remedy=_REMEDY) from error
