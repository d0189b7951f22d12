"""The gate of tuned hosts: what an agent found right after the window, and who may have been at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchctl.gates.measures import Measurement, UnjudgedError, foreign

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchctl.gates.evidence import Evidence

_NAMED = 3  # of each kind that a message names


def drift(evidence: Evidence) -> Measurement | None:
    """Places of knobs that showed something else after the window than what was set."""
    found = evidence.knobs
    if found is None:
        return None
    lost = int(found["expected"]) - int(found["places"])
    if lost > 0:
        return Measurement(float(lost), "somebody restored this host meanwhile; its journal has them no more")
    drifts = int(found["drifts"])
    if not drifts:
        return Measurement(0.0)
    return Measurement(float(drifts), "; ".join([places(found["drifted"]), *_around(evidence)]))


def places(rows: Sequence[Mapping[str, Any]]) -> str:
    """Name the first places with what was wanted and what was found."""
    told = [
        f"{row['knob']} ({row['path']}: set to {row['wanted']}, found "
        f"{'nothing' if row['found'] is None else row['found']})"
        for row in rows[:_NAMED]
    ]
    more = [f"{len(rows) - _NAMED} more"] if len(rows) > _NAMED else []
    return ", ".join([*told, *more])


def _around(evidence: Evidence) -> list[str]:
    """Say what began since the trial did, and who was busy in its window."""
    around = (evidence.knobs or {}).get("around") or {}
    begun = [f"{one['name']} ({one['pid']})" for one in around.get("processes", ())[:_NAMED]]
    told = [f"began in this trial: {', '.join(begun)}"] if begun else []
    if around.get("units"):
        told.append(f"units started: {', '.join(around['units'][:_NAMED])}")
    if around.get("logins"):
        told.append(f"logins: {around['logins']}")
    try:
        busy = foreign(evidence).detail
    except (UnjudgedError, ValueError, KeyError, TypeError, ArithmeticError):
        busy = ""
    return [*told, *([f"busiest others, in CPUs: {busy}"] if busy else [])]
