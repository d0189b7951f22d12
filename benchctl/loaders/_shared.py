"""What load generators' modules share: raw files, refusals, and the answers of those that keep nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchctl.errors import ParseError, SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchctl.loaders.loader import Descriptor, Ints, Target
    from benchctl.model.experiment import Value, Workload
    from benchctl.model.measurement import Window


def content(path: Path) -> str:
    """A file's text; bytes that are no UTF-8 are shown escaped. Raises ParseError where there is no file."""
    try:
        return path.read_text(encoding="utf-8", errors="backslashreplace")
    except FileNotFoundError as error:
        raise ParseError(f"{path}: not there", remedy="the load generator has to write it") from error


def require_silence(path: Path, program: str, remedy: str) -> None:
    """Raise ParseError, with its first line, unless the file is empty."""
    if said := content(path).strip():
        raise ParseError(f"{path}:1: {program} says: {said.splitlines()[0][:200]}", remedy=remedy)


def refuse_warmup(workload: Workload, why: str, remedy: str = "take warmup out") -> None:
    """Raise SpecError for a warm-up."""
    if workload.warmup:
        raise SpecError(f"workload.warmup: {why}", remedy=remedy)


def require_whole_seconds(workload: Workload, program: str) -> None:
    """Raise SpecError for a duration with a fraction."""
    if workload.duration != int(workload.duration):
        raise SpecError(f"workload.duration: {program} takes whole seconds", remedy="write 10s, for example")


def no_prepare(
    options: Mapping[str, Value],
    descriptor: Descriptor,
    target: Target | None,
    seed: int,
) -> None:
    """There is no data image to fill."""


def no_null_run(
    workload: Workload,
    descriptor: Descriptor,
    target: Target,
    runtime: str,
) -> None:
    """No null target can answer in the target's place."""


def no_samples(raw: Path, window: Window) -> None:
    """It keeps no samples."""


def no_latencies(raw: Path, window: Window) -> dict[str, Ints]:  # noqa: ARG001 - the boundary's signature
    """It keeps no latencies."""
    return {}
