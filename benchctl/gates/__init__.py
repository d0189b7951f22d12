"""The validity of a trial, worked out from its raw files and facts: ok, suspect or invalid, with reasons.

Owns which figures are judged, their limits and their severity. Pure functions, so that verdicts can be worked
out again offline. Must not touch hosts, and must not read anything but the raw folder and what it is given.
"""

from benchctl.gates.context import Context, context
from benchctl.gates.evidence import Evidence, read
from benchctl.gates.knobs import places
from benchctl.gates.table import GATES, Gate, judge, judge_together
from benchctl.gates.together import Together

__all__ = [
    "GATES",
    "Context",
    "Evidence",
    "Gate",
    "Together",
    "context",
    "judge",
    "judge_together",
    "places",
    "read",
]
