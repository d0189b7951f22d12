"""Tuning as it was meant, as a plan has it, and what became of it on a host."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from benchctl.model.record import Record

NONE = "none"
SHIPPED = (NONE, "repeatable", "peak")  # profiles that are known by their names
Outcome = Literal["applied", "already", "unsupported", "blocked", "failed"]
_IN_FORCE: tuple[Outcome, ...] = ("applied", "already")

_Profile = Annotated[str, Meta(extra={"unit": "file", "choices": SHIPPED})]


class Tuning(Record, frozen=True, kw_only=True):
    """What is set on the hosts for as long as the run lasts."""

    profile: Annotated[_Profile, Meta(description="which knobs are set, and to what")] = NONE
    reboot: Annotated[
        bool, Meta(description="whether a host may be rebooted for what is in force only after that")
    ] = False
    shared: Annotated[
        bool, Meta(description="whether a container may change the kernel that it shares with its machine")
    ] = False


class GroupTuning(Record, frozen=True, kw_only=True):
    """What is set on the hosts of one group; a key that is not given is that of all hosts."""

    profile: Annotated[_Profile | None, Meta(description="which knobs are set, and to what")] = None
    reboot: Annotated[
        bool | None, Meta(description="whether a host may be rebooted for what is in force only after that")
    ] = None
    shared: Annotated[
        bool | None,
        Meta(description="whether a container may change the kernel that it shares with its machine"),
    ] = None

    def over(self, tuning: Tuning) -> Tuning:
        """Return the tuning of all hosts with what this group says of its own."""
        return Tuning(
            profile=tuning.profile if self.profile is None else self.profile,
            reboot=tuning.reboot if self.reboot is None else self.reboot,
            shared=tuning.shared if self.shared is None else self.shared,
        )


class GroupPlan(Record, frozen=True, kw_only=True):
    """The tuning of one group's hosts with the knobs of its profile: nothing else is needed to do it."""

    profile: str
    values: dict[str, str]  # knob -> value; empty: nothing is set
    reboot: bool
    shared: bool


class KnobOutcome(Record, frozen=True, kw_only=True):
    """What became of one knob on one host: the worst of its places."""

    knob: str
    value: str
    outcome: Outcome
    why: str
    counts: dict[str, int]  # outcome -> places that have it; none: the host has no such knob
    was: dict[str, int]  # value before -> places that had it

    @property
    def absent(self) -> bool:
        """Whether the host has nothing of it: what is not there makes no noise."""
        return not self.counts

    @property
    def in_force(self) -> bool:
        """Whether all that the host has of it is as it was wanted."""
        return self.outcome in _IN_FORCE


class HostTuning(Record, frozen=True, kw_only=True):
    """hosts/<host>/knobs.json: what a run set on a host."""

    schema: int = 1
    profile: str
    shared: bool
    undo: str  # what gives the host back by hand, as root
    knobs: tuple[KnobOutcome, ...] = field(default_factory=tuple)

    @property
    def complete(self) -> bool:
        """Whether something was wanted, and all of it that the host has is in force."""
        return bool(self.knobs) and all(knob.in_force or knob.absent for knob in self.knobs)

    @property
    def places(self) -> int:
        """How many places are as they were wanted."""
        return sum(knob.counts.get(one, 0) for knob in self.knobs for one in _IN_FORCE)

    @property
    def blocked(self) -> str:
        """Why not one knob could be set; empty where one was, or where nothing had to be."""
        reasons = [knob.why for knob in self.knobs if knob.outcome == "blocked"]
        return "" if any(knob.outcome == "applied" for knob in self.knobs) else next(iter(reasons), "")

    @property
    def missing(self) -> tuple[KnobOutcome, ...]:
        """The knobs that are not as they were wanted."""
        return tuple(knob for knob in self.knobs if not knob.in_force)
