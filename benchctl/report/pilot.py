"""The section that a pilot's report begins with: how noisy it is, how many blocks, and how long.

A pilot compares nothing, so it has no verdicts. Must not compute but the time of the blocks.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from benchctl.model.units import format_duration
from benchctl.report.document import Code, Section, Table, columns
from benchctl.report.text import NOTHING, about, clean, redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchctl.model.comparison import PilotMetric
    from benchctl.results.view import RunView

_BLOCKS = "design.blocks="


def section(view: RunView) -> Section:
    """Spread at each level, blocks needed with the time that they take, and the commands that come next."""
    metrics = view.summary.pilot
    lead = (
        "The baseline was measured against itself, so there is nothing to compare: this says how much trials"
        " vary, and how many blocks the experiment needs."
    )
    meaning = (
        "CV between the seconds of a trial, between trials of a block, between blocks. Blocks: to find a"
        " difference of δ with that power, p corrected for all comparisons of the experiment. Cautious: the"
        " pilot is short, and one time in five trials vary more than the bound in brackets. A dash: too few"
        " values to tell; a percentile needs more requests than some trials had."
    )
    return Section(
        "pilot",
        "How noisy, and how many blocks",
        (lead,),
        tables=(_spread(metrics), _needed(view)),
        code=tuple(_next(view)),
        notes=(meaning, *_limit(view)),
    )


def _spread(metrics: tuple[PilotMetric, ...]) -> Table:
    titles = ("metric", "trials", "CV second", "CV trial", "CV block")
    rows = tuple(
        (
            clean(m.metric),
            str(m.trials),
            about(m.cv_second),
            about(m.cv_trial) + (f" (to {about(m.cv_trial_high)})" if m.cv_trial_high is not None else ""),
            about(m.cv_block),
        )
        for m in metrics
    )
    return Table("How much trials vary", columns(*titles, numbers=",".join(titles[1:])), rows)


def _needed(view: RunView) -> Table:
    titles = ("metric", "δ", "power", "blocks", "time", "cautious blocks", "cautious time")
    rows = tuple(
        (
            clean(m.metric), about(m.delta), f"{needed.power:.0%}".replace("%", " %"),
            _count(needed.expected), _time(view, needed.expected),
            _count(needed.cautious), _time(view, needed.cautious),
        )
        for m in view.summary.pilot
        for needed in m.blocks
    )  # fmt: skip
    return Table("Blocks that find a difference of δ", columns(*titles, numbers=",".join(titles[1:])), rows)


def _limit(view: RunView) -> Iterator[str]:
    """What to do where the blocks that the primary metric needs take longer than the run may."""
    wanted, limit = _wanted(view), view.plan.experiment.limits.run
    if wanted is not None and _seconds(view, wanted) > limit:
        yield (
            f"{wanted:,} blocks take longer than limits.run, {format_duration(limit)}: a quieter host, longer"
            " trials or a larger delta need fewer."
        )


def _next(view: RunView) -> Iterator[Code]:
    first = next(iter(view.summary.pilot), None)
    if view.plan.pilot is None or first is None or not first.cv_trial:
        return
    sets = [f"--set={option}" for option in view.plan.sets if not option.startswith(_BLOCKS)]
    words = redact(clean(shlex.join([view.plan.pilot.experiment, *sets])))
    yield Code("What the design finds", f"benchctl plan {words} --cv {first.cv_trial * 100:.2g}")
    wanted = _wanted(view)
    if wanted is not None:
        yield Code("Enough for 80 % power", f"benchctl run {words} --set={_BLOCKS}{wanted}")


def _wanted(view: RunView) -> int | None:
    """The blocks that the primary metric needs with the lower power, if the spread is what the pilot says."""
    first = next(iter(view.summary.pilot), None)
    return first.blocks[0].expected if first is not None and first.blocks else None


def _seconds(view: RunView, blocks: int) -> float:
    of = view.plan.pilot
    return 0.0 if of is None else of.expected_seconds / of.blocks * blocks


def _time(view: RunView, blocks: int | None) -> str:
    return NOTHING if blocks is None else format_duration(_seconds(view, blocks))


def _count(blocks: int | None) -> str:
    return NOTHING if blocks is None else f"{blocks:,}"
