"""A new run: its directory, with what will be done, before anything is done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchctl.results.store import RunStore
from benchctl.results.workspace import new_run_path

if TYPE_CHECKING:
    from benchctl.model.plan import Plan


def create_run(plan: Plan, experiment_text: str, root: Path, *, beside: Path) -> RunStore:
    """Store the experiment and its plan in a fresh run directory below root/runs.

    Files that the experiment names and that lie in `beside`, the experiment's folder, are kept in the same
    places, so that the run directory's experiment.yml can be run again.
    """
    store = RunStore.create(
        new_run_path(root, plan.experiment.name), experiment_text=experiment_text, plan=plan
    )
    for name in plan.files:
        source = Path(name)
        if source.is_relative_to(beside):
            store.keep_file(source, source.relative_to(beside))
    return store
