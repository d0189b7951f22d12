"""The plots of the HTML report as plain plotly data, without plotly.

Colours tell treatments and verdicts apart for colour-blind readers too, and symbols do so without colour.
What each figure shows stands in a table beside it. Must not know HTML; text is escaped for plotly's markup.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any, NamedTuple

from benchctl.report import marks, scale, words
from benchctl.report.findings import axis, compared, primary, series_shown, unit, value
from benchctl.report.text import about, clean, number, shorten

if TYPE_CHECKING:
    from benchctl.model.comparison import Comparison, MetricSummary
    from benchctl.model.measurement import Trial
    from benchctl.report.scale import Span
    from benchctl.report.words import Names
    from benchctl.results.view import RunView

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c8c8c")  # Okabe and Ito's
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon")
VERDICTS = {
    "faster": ("#0072b2", "triangle-up"),
    "slower": ("#d55e00", "triangle-down"),
    "equivalent": ("#009e73", "square"),
    "inconclusive": ("#8c8c8c", "circle-open"),
}
_BAND = "rgba(128,128,128,0.16)"
_MARKS = {"suspect": ("circle-open", "#e69f00"), "invalid": ("x-thin-open", "#d55e00")}
_FEW = 4


class Figure(NamedTuple):
    """A plot, the sentence above it and its height in pixels."""

    id: str
    title: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]


def make(view: RunView, names: Names) -> dict[str, list[Figure]]:
    """All figures by the section that they stand in; a section without anything to plot has none."""
    metrics = compared(view) if view.trials else ()
    return {
        "intervals": _forest(view, names),
        "distributions": [_strip(view, names, metric, index) for index, metric in enumerate(metrics)],
        "series": [_series(view, names)] if series_shown(view)[0] else [],
        "order": [_order(view, names, metrics[0])] if metrics else [],
    }


def _forest(view: RunView, names: Names) -> list[Figure]:
    """The intervals on a scale of ratios; none where no comparison has an effect."""
    span = scale.of_comparisons(view.summary.comparisons)
    if span is None:
        return []
    comparisons = [c for c in view.summary.comparisons if c.effect is not None]
    rows = dict(enumerate(comparisons))
    data = [
        _intervals_of({y: c for y, c in rows.items() if c.verdict == verdict}, verdict, names, span)
        for verdict in VERDICTS
        if any(c.verdict == verdict for c in comparisons)
    ]
    data += [arrow for y, c in rows.items() for arrow in _arrows(y, c, span)]
    bands = {y: map(scale.place, words.band(c)) for y, c in rows.items()}
    shapes = [_box(low, high, y - 0.3, y + 0.3) for y, (low, high) in bands.items()]
    layout = {
        "height": 110 + 58 * len(rows),
        "margin": {"l": 12, "r": 16, "t": 8, "b": 56},
        "xaxis": {
            "title": {"text": "change against the baseline; grey band: equivalent"},
            "tickvals": [_round(scale.place(tick)) for tick in scale.ticks(span)],
            "ticktext": [_change(tick) for tick in scale.ticks(span)],
            "zeroline": True,
        },
        "yaxis": {"visible": False, "range": [len(rows) - 0.4, -0.8], "fixedrange": True},
        "shapes": shapes,
        "annotations": [_row_label(y, c, names) for y, c in rows.items()],
        "legend": {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0},
    }
    cut = "" if all(_is_whole(c, span) for c in comparisons) else " (an arrow: the interval goes on)"
    return [Figure("forest", _forest_title(view, names) + cut, data, layout)]


def _change(ratio: float) -> str:
    """A tick's change in percent, with its sign."""
    sign = "+" if ratio > 0 else "\N{MINUS SIGN}" if ratio < 0 else ""
    return sign + about(abs(ratio))


def _is_whole(comparison: Comparison, span: Span) -> bool:
    return all(span.is_inside(scale.place(x)) for x in (comparison.low, comparison.high) if x is not None)


def _arrows(y: int, comparison: Comparison, span: Span) -> list[dict[str, Any]]:
    """Where an interval leaves the scale; how far it goes stands above it, and in the table."""
    color, _ = VERDICTS[comparison.verdict]
    ends = {"triangle-left": comparison.low, "triangle-right": comparison.high}
    return [
        _arrow(span.cut(scale.place(end)), y, symbol, color)
        for symbol, end in ends.items()
        if end is not None and not span.is_inside(scale.place(end))
    ]


def _arrow(x: float, y: float, symbol: str, color: str, text: str = "") -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers+text", "x": [_round(x)], "y": [y],
        "marker": {"symbol": symbol, "size": 11, "color": color}, "showlegend": False, "hoverinfo": "skip",
        "text": [_escape(text)],
        "textposition": "bottom left" if symbol == "triangle-right" else "bottom right",
    }  # fmt: skip


def _forest_title(view: RunView, names: Names) -> str:
    metric = primary(view)
    verdicts = [c.verdict for c in view.summary.comparisons if c.metric == metric]
    if metric is None or not verdicts:
        return "Intervals of all comparisons"
    counted = [f"{verdicts.count(v)} {v}" for v in VERDICTS if v in verdicts]
    said = ", ".join(counted) if len(verdicts) > 1 else verdicts[0]
    return f"{names.metric(metric).capitalize()}: {said}"


def _intervals_of(rows: dict[int, Comparison], verdict: str, names: Names, span: Span) -> dict[str, Any]:
    color, symbol = VERDICTS[verdict]
    found = [(y, c, scale.place(c.effect or 0.0)) for y, c in rows.items()]

    def end(ratio: float | None, effect: float) -> float:
        return effect if ratio is None else span.cut(scale.place(ratio))

    return {
        "type": "scatter",
        "mode": "markers",
        "name": verdict,
        "x": [_round(effect) for _, _, effect in found],
        "y": [y for y, _, _ in found],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [_round(end(c.high, e) - e) for _, c, e in found],
            "arrayminus": [_round(e - end(c.low, e)) for _, c, e in found],
            "thickness": 2.5,
            "width": 6,
            "color": color,
        },
        "marker": {"size": 12, "symbol": symbol, "color": color},
        "text": [_escape(words.verdict(c, names)) for _, c, _ in found],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _row_label(y: int, comparison: Comparison, names: Names) -> dict[str, Any]:
    text = f"<b>{_escape(names.metric(comparison.metric))}</b> {_escape(names.sides(comparison))}"
    figures = f"{words.effect(comparison)} [{words.interval(comparison)}]"
    return {
        "x": 0, "xref": "paper", "xanchor": "left", "y": y - 0.42, "yanchor": "middle", "align": "left",
        "text": f"{text}  {figures}", "showarrow": False, "font": {"size": 12},
    }  # fmt: skip


def _strip(view: RunView, names: Names, metric: str, index: int) -> Figure:
    treatments = view.plan.treatments
    summaries = {m.treatment: m for m in view.summary.metrics if m.metric == metric}
    values = [x for trial in view.trials if (x := value(trial, metric)) is not None]
    span = scale.of_values(values or [0.0])
    data = []
    for row, treatment in enumerate(treatments):
        trials = [t for t in view.trials if t.treatment == treatment.id]
        data.append(_points(trials, metric, row))
        if treatment.id in summaries and summaries[treatment.id].mean is not None:
            data += _mean(summaries[treatment.id], row, span)
    label = names.metric(metric)
    layout = {
        "height": 96 + 54 * len(treatments),
        "showlegend": False,
        "xaxis": {
            "title": {"text": _axis(label, unit(view, metric))},
            "rangemode": "normal" if span.low < 0 else "nonnegative",
        },
        "yaxis": {
            "tickvals": list(range(len(treatments))),
            "ticktext": [_tick(t.levels, names) for t in treatments],
            "range": [len(treatments) - 0.4, -0.6],
            "automargin": True,
            "fixedrange": True,
            "showgrid": False,
        },
        "margin": {"l": 12, "r": 16, "t": 8, "b": 52},
    }
    return Figure(f"strip-{index + 1}", _strip_title(view, names, metric), data, layout)


def _strip_title(view: RunView, names: Names, metric: str) -> str:
    found = [m for m in view.summary.metrics if m.metric == metric and m.mean is not None]
    label = names.metric(metric).capitalize()
    marks = " (open marks: suspect or invalid)" if any(t.validity != "ok" for t in view.trials) else ""
    if not 0 < len(found) <= _FEW or len(view.plan.factors) > 1:
        return f"{label} of each trial, by treatment{marks}"
    parts = [f"{', '.join(map(clean, m.levels.values()))} {number(m.mean, m.unit)}".strip() for m in found]
    return f"{label}: {'; '.join(parts)}{marks}"


def _points(trials: list[Trial], metric: str, row: int) -> dict[str, Any]:
    shown = [t for t in trials if value(t, metric) is not None]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [_round(value(t, metric)) for t in shown],
        "y": [row + 0.05 * (t.block % 5 - 2) for t in shown],  # apart, so that equal values stay visible
        "marker": {
            "size": 9,
            "opacity": 0.75,
            "color": _color(row),
            "symbol": [SYMBOLS[row % len(SYMBOLS)] + ("" if t.validity == "ok" else "-open") for t in shown],
        },
        "text": [f"trial {t.ordinal}, {t.validity}" for t in shown],
        "hovertemplate": "%{x}<br>%{text}<extra></extra>",
    }


def _mean(summary: MetricSummary, row: int, span: Span) -> list[dict[str, Any]]:
    """The mean with its interval; an arrow and the figure where the interval goes far beyond the trials."""
    mean = summary.mean or 0.0
    ends = [mean if end is None else end for end in (summary.low, summary.high)]
    low, high = map(span.cut, ends)
    arrows = [
        _arrow(span.cut(end), row + 0.28, symbol, _color(row), number(end, summary.unit))
        for end, symbol in zip(ends, ("triangle-left", "triangle-right"), strict=True)
        if not span.is_inside(end)
    ]
    interval = {
        "type": "scatter",
        "mode": "markers",
        "x": [_round(mean)],
        "y": [row + 0.28],
        "error_x": {
            "type": "data", "symmetric": False,
            "array": [_round(high - mean)], "arrayminus": [_round(mean - low)],
            "color": _color(row), "thickness": 2, "width": 5,
        },
        "marker": {"symbol": "line-ns-open", "size": 12, "color": _color(row)},
        "hovertemplate": "mean %{x}, 95 % interval<extra></extra>",
    }  # fmt: skip
    return [interval, *arrows]


def _series(view: RunView, names: Names) -> Figure:
    name, trials, _ = series_shown(view)
    name = name or ""
    rows = {treatment.id: row for row, treatment in enumerate(view.plan.treatments)}
    first = {trial.treatment: trial.ordinal for trial in reversed(trials)}
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": _name(trial.levels, names) + marks.logged(view, trial.treatment),
            "legendgroup": trial.treatment,
            "showlegend": first[trial.treatment] == trial.ordinal,
            "x": list(range(1, len(trial.result.series[name]) + 1)),
            "y": [_round(x) for x in trial.result.series[name]],
            "line": {
                "width": 1.5,
                "color": _color(rows[trial.treatment]),
                "dash": _dash(rows[trial.treatment]),
            },
            "opacity": 0.6,
            "hovertemplate": f"trial {trial.ordinal}, second %{{x}}: %{{y}}<extra></extra>",
        }
        for trial in trials
    ]
    colors = {treatment: _color(row) for treatment, row in rows.items()}
    data += marks.points(view, trials, name, colors)
    label = names.metric(name)
    seconds = max(len(trial.result.series[name]) for trial in trials)
    layout = {
        **_wide(),
        "xaxis": {"title": {"text": "seconds since the start of the window"}, **_whole(seconds)},
        "yaxis": {"title": {"text": _axis(label, unit(view, name))}, "rangemode": "tozero"},
        "shapes": marks.bands(view, trials, seconds),
    }
    title = f"{label.capitalize()} in each second, one line for each trial"
    return Figure("series", title, data, layout)


def _order(view: RunView, names: Names, metric: str) -> Figure:
    data = []
    for row, treatment in enumerate(view.plan.treatments):
        trials = [t for t in view.trials if t.treatment == treatment.id and value(t, metric) is not None]
        data.append({
            "type": "scatter",
            "mode": "lines+markers",
            "name": _name(treatment.levels, names),
            "x": [t.ordinal for t in trials],
            "y": [_round(value(t, metric)) for t in trials],
            "line": {"width": 1, "color": _color(row), "dash": _dash(row)},
            "marker": {"size": 8, "color": _color(row), "symbol": SYMBOLS[row % len(SYMBOLS)]},
            "hovertemplate": "trial %{x}: %{y}<extra></extra>",
        })  # fmt: skip
    data += [
        _marked(view, metric, validity)
        for validity in _MARKS
        if any(t.validity == validity for t in view.trials)
    ]
    label = names.metric(metric)
    layout = {
        **_wide(),
        "xaxis": {"title": {"text": "trial, in the order of execution; bands are blocks"}, "showgrid": False},
        "yaxis": {"title": {"text": _axis(label, unit(view, metric))}},
        "shapes": _bands(view),
        "annotations": [_failed(failure.ordinal) for failure in view.failures],
    }
    failed = " (†: failed)" if view.failures else ""
    title = f"{label.capitalize()} in the order of execution: a slope would be drift{failed}"
    return Figure("order", title, data, layout)


def _failed(ordinal: int) -> dict[str, Any]:
    """A dagger at the place of a trial that has no value."""
    return {
        "x": ordinal, "xref": "x", "y": 0, "yref": "paper", "yanchor": "bottom", "text": "†",
        "showarrow": False, "hovertext": f"trial {ordinal} failed",
    }  # fmt: skip


def _marked(view: RunView, metric: str, validity: str) -> dict[str, Any]:
    """Rings around suspect trials and crosses over invalid ones."""
    symbol, color = _MARKS[validity]
    trials = [t for t in view.trials if t.validity == validity and value(t, metric) is not None]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": validity,
        "x": [t.ordinal for t in trials],
        "y": [_round(value(t, metric)) for t in trials],
        "marker": {"size": 15, "symbol": symbol, "color": color, "line": {"width": 2, "color": color}},
        "hoverinfo": "skip",
    }


def _bands(view: RunView) -> list[dict[str, Any]]:
    """A grey band behind every second block, a make-up block too."""
    ends: dict[int, list[int]] = {}
    planned = [(trial.block, trial.ordinal) for trial in view.plan.trials]
    for block, ordinal in planned + [(trial.block, trial.ordinal) for trial in view.trials]:
        ends.setdefault(block, []).append(ordinal)
    return [
        {**_box(min(o) - 0.5, max(o) + 0.5, 0, 1), "yref": "paper"}
        for block, o in ends.items()
        if block % 2 == 0
    ]


def _box(x0: float, x1: float, y0: float, y1: float) -> dict[str, Any]:
    return {
        "type": "rect", "x0": _round(x0), "x1": _round(x1), "y0": y0, "y1": y1,
        "fillcolor": _BAND, "line": {"width": 0}, "layer": "below",
    }  # fmt: skip


def _whole(most: int) -> dict[str, Any]:
    """An axis of counts has no ticks between them."""
    return {"dtick": 1} if most <= 15 else {}


def _wide() -> dict[str, Any]:
    return {
        "height": 340,
        "margin": {"l": 64, "r": 16, "t": 8, "b": 52},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "showlegend": True,
    }


def _axis(label: str, unit_name: str) -> str:
    return _escape(axis(label, unit_name))


def _name(levels: dict[str, str], names: Names) -> str:
    """A treatment in a legend: cut where it is too long; the tables have it whole."""
    return _escape(shorten(names.levels(levels), 60))


def _tick(levels: dict[str, str], names: Names) -> str:
    """A treatment at an axis: a line for each factor."""
    lines = [names.levels({name: label}) for name, label in levels.items()] or [names.levels({})]
    return "<br>".join(_escape(shorten(line, 26)) for line in lines)


def _color(row: int) -> str:
    return PALETTE[row % len(PALETTE)]


def _dash(row: int) -> str:
    return ("solid", "dash", "dot")[row // len(PALETTE) % 3]


def _round(figure: float | None) -> float | None:
    """Six digits: more cannot be seen, and they would make the page heavier."""
    return None if figure is None else float(f"{figure:.6g}")


def _escape(text: str) -> str:
    return html.escape(text, quote=False)
