"""Figures made of characters: intervals on a scale, values as small bars."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from benchctl.report import marks, words
from benchctl.report.findings import series_shown, unit, value
from benchctl.report.scale import of_comparisons, place
from benchctl.report.text import number, percent, probability, suffix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchctl.model.comparison import Comparison
    from benchctl.report.scale import Span
    from benchctl.report.words import Names
    from benchctl.results.view import RunView

_BARS = "▁▂▃▄▅▆▇█"
_COLORS = {"faster": "green", "slower": "red", "equivalent": "cyan", "inconclusive": "yellow"}
_FIGURES = 52  # columns that the figures beside an interval take


def forest(view: RunView, names: Names, width: int) -> RenderableType:
    """Each comparison as an interval on one scale: `│` is no difference, `┊` the limits of equivalence.

    An arrow stands where an interval goes on beyond the scale; its figures stand beside it.
    """
    comparisons = view.summary.comparisons
    span = of_comparisons(comparisons)
    scale = None if span is None else _Scale(span, max(20, min(60, width - _FIGURES)))
    lines: list[RenderableType] = [] if scale is None else [Text(scale.caption(), style="dim")]
    for comparison in comparisons:
        head = Text.assemble((names.metric(comparison.metric), "bold"), ": ", names.sides(comparison))
        drawn = Text() if scale is None else _interval(comparison, scale).append("  ")
        lines += [head, drawn.append(_figures(comparison))]
    return Padding(Group(*lines), (0, 0, 0, 2))


def _figures(comparison: Comparison) -> str:
    p = probability(comparison.p if comparison.p_adjusted is None else comparison.p_adjusted)
    return f"{words.effect(comparison)} [{words.interval(comparison)}]  n {comparison.n}  p {p}"


class _Scale:
    """Positions of ratios in a line of characters."""

    def __init__(self, span: Span, room: int) -> None:
        self.span, self.room = span, room

    def at(self, ratio: float) -> int:
        low, high = self.span
        share = (self.span.cut(place(ratio)) - low) / ((high - low) or 1)
        return round(share * (self.room - 1))

    def holds(self, ratio: float) -> bool:
        return self.span.is_inside(place(ratio))

    def caption(self) -> str:
        left, right = (percent(math.expm1(end), signed=True) for end in self.span)
        return left + right.rjust(max(self.room - len(left), len(right) + 1))


def _interval(comparison: Comparison, scale: _Scale) -> Text:
    cells = [" "] * scale.room
    for end in words.band(comparison):
        cells[scale.at(end)] = "┊"
    cells[scale.at(0)] = "│"
    if comparison.effect is None:
        return Text("".join(cells), style="dim")
    ends = (comparison.effect, comparison.effect)
    if comparison.low is not None and comparison.high is not None:
        ends = (comparison.low, comparison.high)
        cells[scale.at(ends[0]) : scale.at(ends[1]) + 1] = "━" * (scale.at(ends[1]) - scale.at(ends[0]) + 1)
    for end, arrow in zip(ends, "←→", strict=True):
        if not scale.holds(end):
            cells[scale.at(end)] = arrow
    low, high = map(scale.at, ends)
    cells[scale.at(comparison.effect)] = "●"
    drawn = Text("".join(cells), style="dim")
    drawn.stylize(f"not dim {_COLORS[comparison.verdict]}", low, high + 1)
    return drawn


def seconds(view: RunView, names: Names, width: int) -> RenderableType:
    """The one-second values of the first trial of each treatment; `^` where the DBMS began something."""
    name, trials, _step = series_shown(view)
    first = {trial.treatment: trial for trial in reversed(trials)}
    chosen = [first[treatment.id] for treatment in view.plan.treatments if treatment.id in first]
    rows = {names.levels(trial.levels): list(trial.result.series[name or ""]) for trial in chosen}
    events = marks.by_trial(view)
    under = {
        names.levels(trial.levels): marks.underline(
            events.get(trial.ordinal, ()), len(trial.result.series[name or ""])
        )
        for trial in chosen
    }
    return _bars(rows, unit(view, name or ""), width, under)


def blocks(view: RunView, names: Names, width: int, metric: str) -> RenderableType:
    """A metric of each trial by treatment, from the first block to the last; a gap where one is missing."""
    planned = max((trial.block for trial in view.plan.trials), default=0)
    rows: dict[str, list[float | None]] = {}
    for treatment in view.plan.treatments:
        found = {
            trial.block: value(trial, metric) for trial in view.trials if trial.treatment == treatment.id
        }
        rows[names.levels(treatment.levels)] = [found.get(block) for block in range(1, planned + 1)]
    return _bars(rows, unit(view, metric), width)


def _bars(
    rows: Mapping[str, Sequence[float | None]],
    unit_name: str,
    width: int,
    under: Mapping[str, str] | None = None,
) -> RenderableType:
    """Each row on a scale of its own, told beside it: what matters here is its course.

    `under` are marks below the bars of a row, one character for each.
    """
    table = Table.grid(padding=(0, 2))
    table.add_column(max_width=40)
    room = max(10, width - min(40, max(map(len, rows), default=0)) - 34)
    for label, row in rows.items():
        known = [x for x in row if x is not None]
        if known:
            low, high = min(known), max(known)
            drawn = "".join(" " if x is None else _BARS[_step(x, low, high)] for x in row)
            below = (under or {}).get(label, "")
            lines = [text[i : i + room] for i in range(0, len(drawn), room) for text in (drawn, below)]
            folded = "\n".join(line for line in lines if line.strip())
            ends = f"{number(low)} … {number(high)}{suffix(unit_name)}"
            table.add_row(Text(label), Text(folded), Text(ends, style="dim"))
    return Padding(table, (0, 0, 0, 2))


def _step(figure: float, low: float, high: float) -> int:
    return round((figure - low) / ((high - low) or 1) * (len(_BARS) - 1))
