"""What a pilot taught, for a terminal and as JSON; must not compute."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import msgspec

from benchctl.model.units import format_duration
from benchctl.report.document import Table, columns
from benchctl.report.text import NOTHING, about, clean
from benchctl.report.to_json import SCHEMA

if TYPE_CHECKING:
    from benchctl.model.comparison import PilotMetric
    from benchctl.model.plan import Plan

_MEANING = (
    "CV between the seconds of a trial, between trials of a block, between blocks. Blocks: to find a"
    " difference of δ with that power, p corrected for all comparisons of the experiment. The pilot is short:"
    " one time in five the truth lies beyond the figures in brackets. A dash: too few values to tell."
)


def to_json(run: str, path: str, metrics: tuple[PilotMetric, ...]) -> str:
    shape = {"schema": SCHEMA, "run": run, "path": path, "pilot": msgspec.to_builtins(metrics)}
    return msgspec.json.format(msgspec.json.encode(shape), indent=2).decode() + "\n"


def to_terminal(
    experiment: str,
    metrics: tuple[PilotMetric, ...],
    plan: Plan,
    *,
    width: int | None = None,
    color: bool = False,
) -> str:
    """The spread at each level, the blocks needed, and the commands that come next.

    `experiment` is a command line's words for it, `plan` what it is without any change.
    """
    from rich.text import Text

    from benchctl.report.to_terminal import console, grid, tidy

    out = io.StringIO()
    target = console(out, width=width, color=color)
    target.print(grid(_table(metrics), target.width))
    target.print(Text(_MEANING, style="dim"))
    first = metrics[0] if metrics else None
    if first is not None and first.cv_trial:
        out.write(f"\nwhat the design finds: benchctl plan {experiment} --cv {first.cv_trial * 100:.2g}\n")
        wanted = first.blocks[0].expected
        if wanted is not None:
            out.write(f"enough for 80 % power:  benchctl run {experiment} --set design.blocks={wanted}\n")
            out.write(f"which takes {_length(plan, wanted)}\n")
    return tidy(out.getvalue())


def _length(plan: Plan, blocks: int) -> str:
    seconds = plan.expected_seconds / plan.experiment.design.blocks * blocks
    limit = plan.experiment.limits.run
    beyond = (
        f", more than limits.run, {format_duration(limit)}: a quieter host, longer trials or a larger delta"
        " need fewer blocks"
    )
    return f"about {format_duration(seconds)}{beyond if seconds > limit else ''}"


def _table(metrics: tuple[PilotMetric, ...]) -> Table:
    powers = [f"blocks, {needed.power:.0%}" for needed in metrics[0].blocks] if metrics else []
    titles = ("metric", "trials", "CV second", "CV trial", "CV block", "δ", *powers)
    return Table("", columns(*titles, numbers=",".join(titles[1:])), tuple(_row(m) for m in metrics))


def _row(metric: PilotMetric) -> tuple[str, ...]:
    bound = f" (to {about(metric.cv_trial_high)})" if metric.cv_trial_high is not None else ""
    return (
        clean(metric.metric),
        str(metric.trials),
        about(metric.cv_second),
        about(metric.cv_trial) + bound,
        about(metric.cv_block),
        about(metric.delta),
        *(f"{_count(needed.expected)} (to {_count(needed.cautious)})" for needed in metric.blocks),
    )


def _count(blocks: int | None) -> str:
    return NOTHING if blocks is None else str(blocks)
