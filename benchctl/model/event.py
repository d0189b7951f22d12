"""What a run tells while it goes on; the command renders these, the pipeline prints nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from benchctl.model.measurement import Trial
from benchctl.model.record import Record


class StepStarted(Record, frozen=True, kw_only=True):
    step: str
    detail: str = ""


class StepEnded(Record, frozen=True, kw_only=True):
    step: str
    seconds: float
    detail: str = ""


class TrialPhase(Record, frozen=True, kw_only=True):
    """A trial entered a phase; `expected` is the phase's length in seconds where it is known."""

    ordinal: int
    phase: str
    expected: float | None = None
    hosts: tuple[str, ...] = ()  # that the phase waits for; none: it goes on here


class TrialEnded(Record, frozen=True, kw_only=True):
    trial: Trial
    seconds: float


class TrialFailed(Record, frozen=True, kw_only=True):
    ordinal: int
    reason: str


class Message(Record, frozen=True, kw_only=True):
    """Something people should know; `detail` is shown with -v only."""

    level: Literal["detail", "info", "warning"]
    text: str


Event = StepStarted | StepEnded | TrialPhase | TrialEnded | TrialFailed | Message
Listener = Callable[[Event], None]
