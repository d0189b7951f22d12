"""What the data of an image took in earlier runs of a workspace: to make it, and to give it back.

Must not estimate: what no run tells is left out.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from benchctl.errors import BenchctlError
from benchctl.journal import read
from benchctl.model.plan import DataCost
from benchctl.results.workspace import list_runs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from benchctl.model.plan import Image
    from benchctl.results.store import RunStore

LOOKED_AT = 100  # runs, the latest first: each is several files to read


def data_costs(root: Path, images: Iterable[Image]) -> dict[str, DataCost]:
    """Return the costs by image; the name of an image is a hash of all that shapes its data.

    Making it is told by the latest run that made it, giving it back by the latest one with a trial. A run
    that cannot be read tells nothing.
    """
    wanted = {image.id for image in images}
    found: dict[str, DataCost] = {}
    for run in reversed(list_runs(root)[-LOOKED_AT:] if wanted else ()):
        try:
            told = _told(run, wanted)
        except BenchctlError:
            continue
        for name, cost in told.items():
            found[name] = _with(found.get(name, DataCost()), cost)
        if all(name in found and None not in (found[name].prepare, found[name].reset) for name in wanted):
            break
    return found


def _with(later: DataCost, earlier: DataCost) -> DataCost:
    return DataCost(
        prepare=earlier.prepare if later.prepare is None else later.prepare,
        reset=earlier.reset if later.reset is None else later.reset,
        run=later.run or earlier.run,
    )


def _told(run: RunStore, wanted: set[str]) -> dict[str, DataCost]:
    plan = run.plan()
    here = wanted & {image.id for image in plan.images}
    if not here:
        return {}
    made = _made(run)
    images = {treatment.id: treatment.image for treatment in plan.treatments}
    resets: dict[str, list[float]] = {name: [] for name in here}
    for trial in run.trials():
        if "reset" in trial.phases and images.get(trial.treatment) in here:
            resets[str(images[trial.treatment])].append(trial.phases["reset"])
    costs = {
        name: DataCost(prepare=made.get(name), reset=statistics.median(took) if took else None, run=run.id)
        for name, took in resets.items()
    }
    return {name: cost for name, cost in costs.items() if (cost.prepare, cost.reset) != (None, None)}


def _made(run: RunStore) -> dict[str, float]:
    """Seconds of each image that this run made; one that it found is left out."""
    entries = {entry.seq: entry for entry in read(run.path / "journal.jsonl")}
    return {
        str(entries[entry.of].data.get("planned")): float(entry.data["seconds"])
        for entry in entries.values()
        if (entry.act, entry.phase) == ("image", "done") and entry.of in entries and entry.data.get("built")
    }
