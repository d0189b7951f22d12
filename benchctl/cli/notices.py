"""What an experiment that is valid may not be meant to be, said on stderr. Must not refuse anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from benchctl.model.experiment import Experiment


def notice_single_levels(experiment: Experiment) -> None:
    """Name the factors that vary nothing."""
    for factor in experiment.factors:
        if len(factor.levels) == 1:
            label = factor.levels[0].label
            text = f"warning: {factor.name} has one level, {label}: there is nothing to compare it with"
            click.echo(text, err=True)
