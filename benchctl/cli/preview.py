"""`benchctl provision --preview`: what would be made, and what it would cost."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchctl.provision.prices import Cost


def preview(experiment: str, sets: tuple[str, ...], roles_paths: tuple[Path, ...]) -> None:
    """Ask the engine what it would make, with a state that is thrown away, and add up the prices."""
    from benchctl.model.units import format_duration
    from benchctl.plan import make
    from benchctl.provision import HostMaker, Making, provisioner_for
    from benchctl.provision.prices import estimate, prices_file
    from benchctl.provision.stack import StackProvisioner
    from benchctl.spec import load

    spec = load(experiment, sets=sets, roles_paths=roles_paths)
    plan = make(spec)
    with tempfile.TemporaryDirectory(prefix="benchctl-preview-") as folder:
        run = Path(folder, "runs", f"preview-{spec.experiment.name}")
        run.mkdir(parents=True)
        making = Making(Path(folder), run, lambda text: click.echo(text, err=True), lambda: False)
        maker = provisioner_for(spec.experiment, making=making)
        if not isinstance(maker, HostMaker) or not isinstance(maker, StackProvisioner):
            raise UsageError(
                f"the hosts of {experiment} are there already: nothing would be made",
                remedy="--preview is for the providers lab, aws and azure",
            )
        maker.check()
        changes = maker.preview(time.time() + spec.experiment.limits.run)
    made = ", ".join(f"{count} to {kind}" for kind, count in changes.items())
    click.echo(f"provider {maker.provider}: {made} (resources)")
    costs = estimate(spec.experiment.hosts)
    for cost in costs:
        price = "price not known" if cost.per_hour is None else f"{cost.per_hour:.2f} USD/h"
        click.echo(f"  {cost.group}: {cost.hosts} × {cost.instance_type}, {price}")
    length = format_duration(plan.expected_seconds)
    click.echo(_total(costs, plan.expected_seconds, length, str(prices_file())))


def _total(costs: Sequence[Cost], seconds: float, length: str, where: str) -> str:
    unknown = sorted({cost.instance_type for cost in costs if cost.per_hour is None})
    known = sum(cost.per_hour or 0.0 for cost in costs)
    if unknown:
        return f"total: not known: {where} has no price for {', '.join(unknown)}"
    return f"total: {known:.2f} USD/h; {known * seconds / 3600:.2f} USD for the trials' {length}"
