"""What the DBMS did under load, in words and as marks on a plot of a trial's seconds.

Must not work anything out: kinds, times and counts stand in the summary's events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from benchctl.report.document import Table, columns
from benchctl.report.text import NOTHING, clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchctl.model.comparison import EventKind, TrialEvent
    from benchctl.model.measurement import Trial
    from benchctl.report.words import Names
    from benchctl.results.view import RunView

MOST_ROWS = 20  # a longer table is folded away
MOST_SAID = 3  # events of one kind that are told one by one
MOST_BANDS = 60  # more of them would make a plot grey all over
SINGULAR: dict[EventKind, str] = {
    "checkpoint": "checkpoint",
    "vacuum": "autovacuum",
    "analyze": "autoanalyze",
    "wal": "WAL",
}
_PLURAL = {"checkpoint": "checkpoints", "vacuum": "autovacuums"}
_SYMBOLS: dict[EventKind, str] = {
    "checkpoint": "triangle-down",
    "vacuum": "diamond",
    "analyze": "diamond-tall",
}
_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


class Place(NamedTuple):
    """Where on a plot: seconds from the window's start, and the value of the line there."""

    x: float
    y: float


def size(count: float) -> str:
    """Bytes with a decimal unit: `23.4 MB`."""
    for factor, unit in _UNITS:
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count:.0f} B"


def words(event: TrialEvent) -> str:
    """`checkpoint at 3.2 s, 1.1 s long (enough WAL was written, 812 buffers)`."""
    name = SINGULAR[event.kind]
    if event.kind == "wal":
        return f"{size(event.count)} of WAL"
    if event.at is None:
        many = _PLURAL.get(event.kind, name) if event.count > 1 else name
        return f"{event.count} {many}, counted; when is not known"
    where = f"at {event.at:.1f} s" if event.at >= 0 else f"{-event.at:.1f} s before the window"
    long = ", to the end or longer" if event.seconds is None else f", {_long(event.seconds)} long"
    about = f" ({clean(event.text)})" if event.text else ""
    return f"{name} {where}{long if event.seconds != 0 else ''}{about}"


def told(events: Iterable[TrialEvent]) -> list[str]:
    """Each event in words; many of a kind as `11 checkpoints from 0.1 s to 14.2 s, 9.6 s in all`."""
    kinds: dict[EventKind, list[TrialEvent]] = {}
    for event in events:
        kinds.setdefault(event.kind, []).append(event)
    found = []
    for kind, these in kinds.items():
        if len(these) <= MOST_SAID:
            found += [words(event) for event in these]
        else:
            starts = [event.at or 0.0 for event in these]
            lasted = sum(event.seconds or 0.0 for event in these)
            name = _PLURAL.get(kind, f"{SINGULAR[kind]}s")
            span = f"from {max(min(starts), 0.0):.1f} s to {max(starts):.1f} s"
            found.append(f"{len(these)} {name} {span}, {_long(lasted)} in all")
    return found


def by_trial(view: RunView) -> dict[int, list[TrialEvent]]:
    """The events of each trial that has any, in the order of time."""
    found: dict[int, list[TrialEvent]] = {}
    for event in sorted(view.summary.events, key=_moment):
        found.setdefault(event.ordinal, []).append(event)
    return found


def table(view: RunView, names: Names) -> Table | None:
    """The trials in which the DBMS did more than to write its log; None when there is none."""
    trials = {trial.ordinal: trial for trial in view.trials}
    rows = tuple(
        (
            str(ordinal),
            names.levels(trials[ordinal].levels),
            "; ".join(told(event for event in events if event.kind != "wal")),
            next((size(event.count) for event in events if event.kind == "wal"), NOTHING),
        )
        for ordinal, events in sorted(by_trial(view).items())
        if ordinal in trials and any(event.kind != "wal" for event in events)
    )
    titles = columns("trial", "treatment", "what and when", "WAL", numbers="trial, WAL")
    return Table("What the DBMS did under load", titles, rows, len(rows) > MOST_ROWS) if rows else None


def bands(view: RunView, trials: Sequence[Trial], seconds: int) -> list[dict[str, Any]]:
    """A band behind the lines for as long as each event took, at least as wide as can be seen."""
    shown = {trial.ordinal for trial in trials}
    found = [e for e in view.summary.events if e.ordinal in shown and _inside(e, seconds)]
    if len(found) > MOST_BANDS:
        return []
    fill = f"rgba(230,159,0,{0.25 / min(max(len(trials), 1), 5):.2f})"  # bands of several trials lie on top
    return [_band(event, seconds, fill) for event in found]


def points(
    view: RunView, trials: Sequence[Trial], series: str, colors: dict[str, str]
) -> list[dict[str, Any]]:
    """One trace for each kind of event: a mark on the line of its trial, open where the time is not known."""
    events = by_trial(view)
    traces = []
    for kind, symbol in _SYMBOLS.items():
        for known in (True, False):
            found = [
                (event, place, trial)
                for trial in trials
                for event in events.get(trial.ordinal, ())
                if event.kind == kind and (event.at is not None) is known
                for place in _places(event, trial.result.series[series])
            ]
            if found:
                name = SINGULAR[kind] if known else f"{SINGULAR[kind]}, time unknown"
                traces.append(_trace(name, symbol if known else f"{symbol}-open", found, colors))
    return traces


def logged(view: RunView, treatment: str) -> str:
    """`, 23.4 MB of WAL a trial` of a treatment whose trials wrote any; else nothing."""
    found = [e.count for e in view.summary.events if e.kind == "wal" and e.treatment == treatment]
    return f", {size(sum(found) / len(found))} of WAL a trial" if found else ""


def underline(events: Iterable[TrialEvent], seconds: int) -> str:
    """A `^` under each second in which something began, as many characters as there are seconds."""
    marks = [" "] * seconds
    for event in events:
        if event.at is not None and 0 <= event.at < seconds:
            marks[int(event.at)] = "^"
    return "".join(marks)


def _trace(
    name: str, symbol: str, found: list[tuple[TrialEvent, Place, Trial]], colors: dict[str, str]
) -> dict[str, Any]:
    shades = [colors[trial.treatment] for _, _, trial in found]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [place.x for _, place, _ in found],
        "y": [place.y for _, place, _ in found],
        "marker": {"size": 12, "symbol": symbol, "color": shades, "line": {"width": 1.5, "color": shades}},
        "text": [f"trial {event.ordinal}: {words(event)}" for event, _, _ in found],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _places(event: TrialEvent, values: Sequence[float | None]) -> list[Place]:
    """On the line at the event's beginning; at the line's end without a time; outside of it, nowhere."""
    if event.at is None:
        last = next((x for x in reversed(values) if x is not None), None)
        return [] if last is None else [Place(len(values), last)]
    if not _inside(event, len(values)):
        return []
    at = max(event.at, 0.0)
    low = min(max(int(at), 1), len(values))  # the value of a second stands at its end
    left, right = values[low - 1], values[min(low, len(values) - 1)]
    if left is None or right is None:
        known = left if right is None else right
        return [] if known is None else [Place(round(at, 3), known)]
    share = min(max(at - low, 0.0), 1.0)
    return [Place(round(at, 3), float(f"{left + (right - left) * share:.6g}"))]


def _inside(event: TrialEvent, seconds: int) -> bool:
    return event.at is not None and event.at < seconds and event.at + (event.seconds or 0.0) >= 0


def _band(event: TrialEvent, seconds: int, fill: str) -> dict[str, Any]:
    start = max(event.at or 0.0, 0.0)
    end = seconds if event.seconds is None else (event.at or 0.0) + event.seconds
    return {
        "type": "rect", "x0": round(start, 3), "x1": round(min(max(end, start + seconds / 250), seconds), 3),
        "y0": 0, "y1": 1, "yref": "paper", "fillcolor": fill, "line": {"width": 0}, "layer": "below",
    }  # fmt: skip


def _long(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 0.1 else f"{seconds * 1000:.3g} ms"


def _moment(event: TrialEvent) -> tuple[int, bool, float, str]:
    return (event.ordinal, event.at is None, event.at or 0.0, event.kind)
