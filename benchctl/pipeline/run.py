"""A new run: its directory, with what will be done, before anything is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchctl.results.store import RunStore
from benchctl.results.workspace import new_run_path

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.model.plan import Plan


def create_run(plan: Plan, experiment_text: str, root: Path) -> RunStore:
    """Store the experiment and its plan in a fresh run directory below root/runs."""
    return RunStore.create(
        new_run_path(root, plan.experiment.name), experiment_text=experiment_text, plan=plan
    )
