"""The report of a run as a document: which sections there are, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchctl.model.units import format_duration
from benchctl.report import findings, hosts, inside, pilot, surroundings, words
from benchctl.report.document import Document
from benchctl.report.text import clean, moment
from benchctl.report.words import Names

if TYPE_CHECKING:
    from benchctl.report.document import Section
    from benchctl.results.view import RunView


def build(view: RunView) -> Document:
    """Say everything that the run's records say, verdicts first."""
    names = Names(view)
    return Document(
        title=clean(view.summary.name),
        standing=words.standing(view),
        facts=tuple(_facts(view)),
        sections=(
            pilot.section(view) if view.plan.pilot else findings.verdicts(view, names),
            *(_measured(view, names) if view.trials else ()),
            surroundings.environment(view, names),
            surroundings.failures(view, names),
            surroundings.reproduce(view, names),
        ),
    )


def _measured(view: RunView, names: Names) -> tuple[Section, ...]:
    """What finished trials have to show."""
    return (
        *((findings.intervals(view, names),) if not view.plan.pilot else ()),
        findings.distributions(view, names),
        findings.series(view, names),
        *((hosts.section(view, names),) if view.summary.start or view.details else ()),
        findings.order(view, names),
        *((inside.counters(view, names),) if view.summary.counters else ()),
        findings.gates(view),
    )


def _facts(view: RunView) -> list[tuple[str, str]]:
    return [
        ("run", clean(view.summary.run)),
        ("state", ": ".join(filter(None, (view.summary.state, clean(" ".join(view.reason.split())))))),
        ("grade", words.grade(view)),
        *(("tuning", text) for text in words.tunings(view)),
        ("trials", words.counts(view)),
        ("time", _time(view)),
    ]


def _time(view: RunView) -> str:
    if view.ended is None:
        return f"since {moment(view.started)}, not ended"
    return f"{moment(view.started)}, took {format_duration(view.ended - view.started)}"
