"""What the DBMS did while a trial ran, and when: checkpoints and vacuums, from its log, else its counters.

The log says when; where there is none, or it says nothing, the counters say how many. Lines that are not
known are passed over: a server's log is written for people, and no number comes from it. Source:
PostgreSQL's src/backend/access/transam/xlog.c (LogCheckpointStart, LogCheckpointEnd) and
src/backend/access/heap/vacuumlazy.c; log_checkpoints is on from PostgreSQL 15 on.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from benchctl.analysis.courses import checkpoints, growth
from benchctl.analysis.numbers import rounded
from benchctl.model.comparison import TrialEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchctl.model.comparison import EventKind
    from benchctl.model.measurement import Trial
    from benchctl.results.raw import ServerLog

AUTOVACUUMS = "tables.autovacuums"
WAL_BYTES = "wal.wal_bytes"
_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) (?:UTC|GMT) (?:(?!LOG: ).)*LOG:  (.*)")
_STARTING = re.compile(r"(?:checkpoint|restartpoint) starting:(.*)")
_COMPLETE = re.compile(r"(?:checkpoint|restartpoint) complete: wrote (\d+) buffers")
_WORKER = re.compile(r'automatic (?:aggressive )?(vacuum|analyze)[^"]* of table "(.*?)"')
_ELAPSED = re.compile(r"\s.*elapsed: (\d+\.\d+) s")
_REASONS = {"wal": "enough WAL was written", "time": "checkpoint_timeout had passed"}


class Logged(NamedTuple):
    """One thing in a server's log: when it began (seconds since the epoch) and how long it took."""

    at: float
    seconds: float | None  # None: it had not ended when the log did
    kind: EventKind
    text: str


def read_log(lines: Iterable[str]) -> tuple[Logged, ...]:
    """The events of a server's log, in the order of their beginnings.

    Lines count where `log_line_prefix` begins with `%m` and the time zone is UTC: the defaults here.
    """
    found: list[Logged] = []
    begun: tuple[float, str] | None = None
    for line in lines:
        if "elapsed: " in line and line[:1] == "\t" and found and found[-1].kind in {"vacuum", "analyze"}:
            found[-1] = _lasted(found[-1], line)
        elif (match := _LINE.match(line)) is not None:
            at, said = _seconds(match[1]), match[2]
            if starting := _STARTING.match(said):
                begun = at, _reason(starting[1])
            elif complete := _COMPLETE.match(said):
                since, why = begun or (at, "")
                found.append(Logged(since, at - since, "checkpoint", _joined(why, f"{complete[1]} buffers")))
                begun = None
            elif worker := _WORKER.match(said):
                kind: EventKind = "vacuum" if worker[1] == "vacuum" else "analyze"
                found.append(Logged(at, 0.0, kind, worker[2].rpartition(".")[2]))
    if begun is not None:
        found.append(Logged(begun[0], None, "checkpoint", begun[1]))
    return tuple(sorted(found, key=lambda event: event.at))


def trial_events(trial: Trial, logs: Iterable[ServerLog]) -> tuple[TrialEvent, ...]:
    """What happened between the load's start and the window's end.

    What only the counters know has no time; a kind that a log tells of is not taken from the counters.
    """
    placed = tuple(event for log in logs for event in _placed(trial, log))
    known = Counter(event.kind for event in placed)
    counted: tuple[tuple[EventKind, int], ...] = (
        ("checkpoint", checkpoints(trial)),
        ("vacuum", round(growth(trial).get(AUTOVACUUMS, 0.0))),
        ("wal", round(growth(trial).get(WAL_BYTES, 0.0))),
    )
    unplaced = [
        _event(trial, trial.host, kind, at=None, seconds=None, text="", count=count)
        for kind, count in counted
        if count and not known[kind]
    ]
    return (*placed, *unplaced)


def _placed(trial: Trial, log: ServerLog) -> Iterator[TrialEvent]:
    start, warmup = log.window.start, _warmup(trial)
    for found in read_log(log.lines):
        end = log.window.end if found.seconds is None else found.at + found.seconds
        if found.at < log.window.end and end >= start - warmup:
            yield _event(
                trial, log.host, found.kind,
                at=found.at - start, seconds=found.seconds, text=found.text, count=1,
            )  # fmt: skip


def _warmup(trial: Trial) -> float:
    """Seconds from the load's start to the window, both by the clock of one host."""
    window, task = (trial.loads[0].window, trial.loads[0].task) if trial.loads else (trial.window, trial.load)
    return max(0.0, window.start - task.start)


def _event(
    trial: Trial,
    host: str,
    kind: EventKind,
    *,
    at: float | None,
    seconds: float | None,
    text: str,
    count: int,
) -> TrialEvent:
    return TrialEvent(
        ordinal=trial.ordinal,
        treatment=trial.treatment,
        host=host,
        kind=kind,
        at=None if at is None else round(at, 3),
        seconds=None if seconds is None else rounded(round(seconds, 3)),
        count=count,
        text=text,
    )


def _lasted(found: Logged, line: str) -> Logged:
    """A vacuum is logged when it is done, and its time stands in a line below."""
    match = _ELAPSED.match(line)
    if match is None or found.seconds:
        return found
    return found._replace(at=found.at - float(match[1]), seconds=float(match[1]))


def _reason(flags: str) -> str:
    """What `checkpoint starting: wal` says, in words where it is one of the usual two."""
    return _REASONS.get(flags.strip(), flags.strip())


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _seconds(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC).timestamp()
