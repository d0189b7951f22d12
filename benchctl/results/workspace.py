"""Where runs lie and how one is named: an id, a unique prefix of one, a path, or `latest`."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from benchctl.errors import UsageError
from benchctl.results.store import RunStore


def workspace(given: Path | None = None) -> Path:
    """--workspace, else BENCHCTL_WORKSPACE, else the current folder."""
    return given or Path(os.environ.get("BENCHCTL_WORKSPACE") or ".")


def new_run_path(root: Path, name: str, *, now: float | None = None) -> Path:
    """A fresh id, sortable by time: 20261121-1015-<name>-<4 hex digits>."""
    stamp = time.strftime("%Y%m%d-%H%M", time.gmtime(now))
    return root / "runs" / f"{stamp}-{name}-{secrets.token_hex(2)}"


def list_runs(root: Path) -> tuple[RunStore, ...]:
    """Every run of the workspace, oldest first."""
    found = sorted((root / "runs").glob("*/plan.json"), key=lambda p: (p.stat().st_mtime, p))
    return tuple(RunStore(path.parent) for path in found)


def find_run(reference: str, root: Path) -> RunStore:
    """Find a run. Raises UsageError with what there is when the reference names none or several."""
    if not reference:  # an unset variable in a script must not mean the only run there is
        raise UsageError("the name of a run is empty", remedy="`benchctl runs list` shows what is there")
    path = Path(reference)
    with suppress(OSError, ValueError):  # what cannot be a path may still be an id
        if (path / "plan.json").is_file():
            return RunStore(path.resolve())
    runs = list_runs(root)
    if reference == "latest" and runs:
        return runs[-1]
    exact = [run for run in runs if run.id == reference]
    matches = exact or [run for run in runs if run.id.startswith(reference)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UsageError(f"{reference!r} is the beginning of {len(matches)} runs: {_names(matches)}")
    if not runs:
        raise UsageError(
            f"no run {reference!r} in {root / 'runs'}: there is none yet",
            remedy="`benchctl run quickstart` makes the first one; --workspace names another place",
        )
    near = get_close_matches(reference, [run.id for run in runs], n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UsageError(
        f"no run {reference!r} in {root / 'runs'}",
        remedy=f"{hint}`benchctl runs list` shows what is there; --workspace names another place",
    )


def _names(runs: list[RunStore]) -> str:
    shown = ", ".join(run.id for run in runs[:5])
    return shown if len(runs) <= 5 else f"{shown}, …"
