"""From a trial's raw files and facts to its numbers and its validity; the same code online and offline.

Owns the pairing of parser and gates. Must not look at anything but the raw folder and the given facts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchctl import gates, loaders
from benchctl.model.measurement import worst

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.model.experiment import Workload
    from benchctl.model.measurement import Finding, LoaderResult, ServerFacts, TaskResult, Validity, Window


class Evaluation(NamedTuple):
    result: LoaderResult
    findings: tuple[Finding, ...]
    validity: Validity


def evaluate(
    raw: Path,
    *,
    workload: Workload,
    window: Window,
    load: TaskResult,
    server: ServerFacts | None,
    context: gates.Context,
) -> Evaluation:
    """Parse the loader's output and judge the trial. Raises ParseError for output that is not understood."""
    result = loaders.get(workload.role).parse(raw, window, workload, load)
    evidence = gates.read(raw, window=window, load=load, server=server, result=result, context=context)
    findings = gates.judge(evidence)
    return Evaluation(result, findings, worst(tuple(f.validity for f in findings)))
