"""What load generators' modules share: a raw file's text, and the answers of those that keep nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchctl.errors import ParseError

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.loaders.loader import Descriptor, Ints, Target
    from benchctl.model.experiment import Workload
    from benchctl.model.measurement import Window


def content(path: Path) -> str:
    """A file's text; bytes that are no UTF-8 are shown escaped. Raises ParseError where there is no file."""
    try:
        return path.read_text(encoding="utf-8", errors="backslashreplace")
    except FileNotFoundError as error:
        raise ParseError(f"{path}: not there", remedy="the load generator has to write it") from error


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
