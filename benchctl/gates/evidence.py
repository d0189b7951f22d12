"""Everything that gates look at, read from a trial's raw folder: above all the sampler's host.samples.

Tuned hosts have a knobs.json: the agent's words on what had drifted right after the window, and how many
places it was `expected` to look at.

Owns the form of host.samples. A file that is missing or not understood is kept as a problem, for a gate to
report; nothing here raises for bad content.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.gates.context import Context
    from benchctl.model.measurement import Capacity, LoaderResult, ServerFacts, TaskResult, Window

SAMPLES = "host.samples"
KNOBS = "knobs.json"
SCHEMAS = (1, 2)
Sample = dict[str, Any]


class Evidence(NamedTuple):
    """One host in one trial as gates see it."""

    window: Window  # in the host's own clock
    load: TaskResult | None  # None: no load generator ran here
    server: ServerFacts | None  # None: no DBMS ran here
    result: LoaderResult | None  # of the load generator here
    context: Context
    samples: tuple[Sample, ...]  # over the window, in order; empty when they cannot be used
    problem: str  # why samples are empty or incomplete; else ""
    self_timed: bool
    """Whether the load generators' own report is all there is, and the window only a frame around it."""
    capacity: Capacity | None  # of the load generator here
    dropped: int  # samples that the host had no room for
    knobs: dict[str, Any] | None  # what was found of them after the window; None: the host was not tuned

    @property
    def first(self) -> Sample:
        return self.samples[0]

    @property
    def last(self) -> Sample:
        return self.samples[-1]

    @property
    def seconds(self) -> float:
        """Between the first and the last sample, by the monotonic clock."""
        return float(self.last["m"] - self.first["m"])


def read(  # noqa: PLR0913 - each is a part of the evidence
    raw: Path,
    *,
    window: Window,
    load: TaskResult | None,
    server: ServerFacts | None,
    result: LoaderResult | None,
    context: Context,
    self_timed: bool | None = None,
    capacity: Capacity | None = None,
) -> Evidence:
    """Read a host's raw folder of a trial; the rest is passed through.

    Where `self_timed` is not said, it follows from the result.
    """
    samples, problem, dropped = _read_samples(raw / SAMPLES)
    if self_timed is None:
        self_timed = result is not None and result.percentile_source == "loader"
    return Evidence(
        window,
        load,
        server,
        result,
        context,
        samples,
        problem,
        self_timed,
        capacity,
        dropped,
        _read_knobs(raw / KNOBS),
    )


def _read_knobs(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        found = None
    return found if isinstance(found, dict) else {}


def _read_samples(path: Path) -> tuple[tuple[Sample, ...], str, int]:
    """The samples in order, "" or what is wrong, with the line's number, and how many were dropped."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return (), f"{path.name}: {error.strerror}", 0
    found, dropped = [], 0
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            known = entry["schema"] in SCHEMAS if number == 1 else _is_sample(entry)
            dropped = int(entry.get("dropped", 0)) if number == 1 else dropped
        except (ValueError, KeyError, TypeError):
            known = False
        if not known:
            return (), f"{path.name}:{number}: not understood: {line[:80]!r}", 0
        if number > 1 and not entry.get("warmup"):
            found.append(entry)
    if len(found) < 2:
        return (), f"{path.name}: {len(found)} samples, two are needed to see a change", dropped
    return tuple(found), "", dropped


def _is_sample(entry: Sample) -> bool:
    """Whether all parts that gates rely on are there, whatever they say."""
    float(entry["t"]) + float(entry["m"])
    return all(isinstance(entry[part], dict) for part in ("files", "task", "service", "agent"))
