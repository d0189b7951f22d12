"""The parts of a report on what happened inside trials: the course of their seconds, the DBMS's counters."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from benchctl.report.document import Column, Section, Table, columns
from benchctl.report.text import NOTHING, clean, join_words, number

if TYPE_CHECKING:
    from benchctl.model.comparison import CounterSummary
    from benchctl.report.words import Names
    from benchctl.results.view import RunView

_TELLING = re.compile(r"checkpoint|wal|vacuum|temp|deadlock|rollback|fsync|read|(?<!bg)write|evict")
_MOST_TREATMENTS = 6  # side by side; a wider table is folded away
_QUIET = frozenset({"flat", "too short"})


def course_sentence(view: RunView) -> str:
    """`Trials by their course inside the window: 10 flat and 2 warm-up.`; empty for a run without series."""
    counted = Counter(course.klass for course in view.summary.series)
    if not counted:
        return ""
    if set(counted) == {"too short"}:
        return "The windows are too short to say whether they were flat: that takes at least 10 seconds."
    if set(counted) == {"flat"}:
        return "Inside their windows, all trials are flat."
    parts = [f"{count} {klass}" for klass, count in counted.most_common()]
    return f"Trials by their course inside the window: {join_words(parts)}; all of them count."


def course_table(view: RunView, names: Names) -> Table | None:
    """The trials that are not flat, and what shows it; None when there is none."""
    levels = {treatment.id: treatment.levels for treatment in view.plan.treatments}
    rows = tuple(
        (str(c.ordinal), names.levels(levels[c.treatment]), c.klass, clean(c.detail))
        for c in view.summary.series
        if c.klass not in _QUIET
    )
    titles = columns("trial", "treatment", "course", "what shows it", numbers="trial")
    return Table("Trials that are not flat", titles, rows) if rows else None


def counters(view: RunView, names: Names) -> Section:
    """By how much the DBMS's counters grew in a trial of each treatment; for runs that have any."""
    found = view.summary.counters
    telling = tuple(dict.fromkeys(c.counter for c in found if _TELLING.search(c.counter)))
    tables = [_table("", view, names, telling)] if telling else []
    everything = tuple(dict.fromkeys(c.counter for c in found))
    tables.append(_table("All counters that changed, with their range", view, names, everything, ranges=True))
    lead = "Mean growth in a trial, from before the load (its warm-up included) to after it."
    return Section("counters", "What the DBMS counted", (lead,), tables=tuple(tables))


def _table(
    title: str, view: RunView, names: Names, chosen: tuple[str, ...], *, ranges: bool = False
) -> Table:
    treatments = {c.treatment: names.levels(c.levels) for c in view.summary.counters}
    cells = {(c.counter, c.treatment): _growth(c, ranges=ranges) for c in view.summary.counters}
    rows = tuple(
        (clean(name), *(cells.get((name, treatment), NOTHING) for treatment in treatments)) for name in chosen
    )
    titles = [levels if levels != NOTHING else "growth" for levels in treatments.values()]
    wide = len(treatments) > _MOST_TREATMENTS
    return Table(
        title or ("Checkpoints, log, vacuum and disk" if wide else ""),
        (Column("counter"), *(Column(title, "number") for title in titles)),
        rows,
        ranges or wide,
    )


def _growth(counter: CounterSummary, *, ranges: bool) -> str:
    mean = number(counter.mean)
    if not ranges or counter.least == counter.most:
        return mean
    return f"{mean} ({number(counter.least)} … {number(counter.most)})"
