"""`benchctl run --pilot`: a short run that says how noisy the experiment is and how many blocks it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchctl.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.results.store import RunStore


def new_pilot(experiment: str, sets: tuple[str, ...], roles_paths: tuple[Path, ...], root: Path) -> RunStore:
    """Store the run that measures the baseline against itself; nothing is executed. Raises SpecError."""
    from benchctl.pipeline.run import create_run
    from benchctl.plan.pilot import make_pilot
    from benchctl.spec import load

    spec = load(experiment, sets=sets, roles_paths=roles_paths)
    plan = make_pilot(spec, experiment)
    return create_run(plan, spec.text, root, beside=spec.path.resolve().parent)


def require_whole(first: str, last: str) -> None:
    """Raise UsageError for a pilot that would not go through all steps."""
    if (first, last) != ("provision", "destroy"):
        raise UsageError("--pilot goes through all steps", remedy="leave --from and --until out")
