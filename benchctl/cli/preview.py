"""`benchctl provision --preview`: what would be made, and what it would cost."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchctl.model.experiment import Experiment
    from benchctl.provision.prices import Cost


def preview(experiment: str, sets: tuple[str, ...], roles_paths: tuple[Path, ...], *, as_json: bool) -> None:
    """Ask the engine what it would make, with a state that is thrown away, and add up the prices."""
    from benchctl.plan import make
    from benchctl.provision.prices import estimate
    from benchctl.spec import load

    spec = load(experiment, sets=sets, roles_paths=roles_paths)
    seconds = make(spec).expected_seconds
    provider, changes = _asked(spec.experiment)
    costs = estimate(spec.experiment.hosts)
    if as_json:
        click.echo(json.dumps(_rows(provider, changes, costs, seconds), indent=2))
        return
    made = ", ".join(f"{count} to {kind}" for kind, count in changes.items())
    click.echo(f"provider {provider}: {made} (resources)")
    for cost in costs:
        known = f"{cost.per_hour or 0:.2f} USD/h ({cost.about})"
        price = known if cost.per_hour is not None else f"price not known: {cost.about}"
        click.echo(f"  {cost.group}: {cost.hosts} × {cost.instance_type}, {price}")
    click.echo(_total(costs, seconds))


def _asked(experiment: Experiment) -> tuple[str, dict[str, int]]:
    """Return the provider, and how many resources would be created, updated, …."""
    from benchctl.provision import Making, provisioner_for
    from benchctl.provision.stack import StackProvisioner

    with tempfile.TemporaryDirectory(prefix="benchctl-preview-") as folder:
        run = Path(folder, "runs", f"preview-{experiment.name}")
        run.mkdir(parents=True)
        making = Making(Path(folder), run, lambda text: click.echo(text, err=True), lambda: False)
        maker = provisioner_for(experiment, making=making)
        if not isinstance(maker, StackProvisioner):
            raise UsageError(
                f"the hosts of {experiment.name} are there already: nothing would be made",
                remedy="--preview is for the providers lab, aws and azure",
            )
        maker.check()
        return maker.provider, maker.preview(time.time() + experiment.limits.run)


def _per_hour(costs: Sequence[Cost]) -> float | None:
    """Return USD per hour of all groups; None as soon as one is not known."""
    if any(cost.per_hour is None for cost in costs):
        return None
    return sum(cost.per_hour or 0.0 for cost in costs)


def _total(costs: Sequence[Cost], seconds: float) -> str:
    from benchctl.model.units import format_duration
    from benchctl.provision.prices import prices_file

    total = _per_hour(costs)
    if total is None:
        unknown = sorted({cost.instance_type for cost in costs if cost.per_hour is None})
        return f"total: not known; {prices_file()} may name the price of {', '.join(unknown)}"
    of_trials = f"{total * seconds / 3600:.2f} USD for the trials' {format_duration(seconds)}"
    return f"total: {total:.2f} USD/h; {of_trials}"


def _rows(provider: str, changes: dict[str, int], costs: Sequence[Cost], seconds: float) -> dict[str, object]:
    total = _per_hour(costs)
    return {
        "schema": 1,
        "provider": provider,
        "resources": changes,
        "groups": [cost._asdict() for cost in costs],
        "per_hour": total,
        "seconds": seconds,
        "cost": None if total is None else total * seconds / 3600,
    }
