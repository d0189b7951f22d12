"""What a knob is, and to what it can be set.

Owns the shape of a row and the check of values. Must not know any row, and must not read or write a host.
"""

import re
from typing import List, NamedTuple, Optional, Tuple

from benchctl.agent.forms import cpus

_VARIABLE = re.compile(r"\{\w+\}")


class Place(NamedTuple):
    """Where a knob lies: a path with {cpu}, {policy}, {disk}, {nic} or {irq}, or the name of a unit."""

    path: str
    words: Tuple[Tuple[str, str], ...] = ()  # our word -> the kernel's, where they differ
    beside: Tuple[str, ...] = ()  # paths that the kernel changes along with it: saved and restored too


class Spot(NamedTuple):
    """One place of a knob on a host."""

    path: str  # or the unit's name, or what its kind names it by
    name: str  # of the policy, disk, …; "" where there is only one
    place: Place

    @property
    def beside(self) -> List[str]:
        """The paths that change along with it."""
        return [_VARIABLE.sub(lambda _: self.name, pattern) for pattern in self.place.beside]


class UnknownError(ValueError):
    """This host does not tell what a word means; the message says which."""


class Knob(NamedTuple):
    """One setting of a host.

    `kind` says how it is reached, `form` how its text is compared. It takes one of `choices`, or a number
    from `low` to `high`. Lower `order` is set earlier and restored later. Setting any needs root.
    """

    name: str
    number: int  # the row of the table of 53 that it belongs to
    area: str
    doc: str
    effect: str  # L more than 5 %, M 1-5 %, S less, T the tail, V validity
    source: str
    places: Tuple[Place, ...] = ()
    kind: str = "file"
    form: str = "number"  # number, word, bracket, cpus, mask, words, unit
    choices: Tuple[str, ...] = ()
    low: Optional[int] = None
    high: Optional[int] = None
    order: int = 50
    first: bool = False  # only the first place that is there counts: the others are older spellings of it
    own: bool = False  # a container has one of its own; the others are the machine's
    reboot: bool = False
    cost: str = ""
    why: str = ""  # it is only recorded

    @property
    def acts(self) -> bool:
        """Whether it is set, verified and restored, rather than only recorded."""
        return self.kind != "recorded"


class Conflict(NamedTuple):
    """Two settings that cannot stand together. A value `*` is any, `!x` any but x, "" none: left alone."""

    one: str
    one_value: str
    other: str
    other_value: str
    reason: str


def refusal(knob: Knob, value: str) -> str:
    """Say why a knob cannot be set to a value, or "" when it can as far as the row tells."""
    if not knob.acts:
        return "it is only recorded"
    return "" if value in knob.choices or _fits(knob, value) else f"allowed: {allowed(knob)}"


def allowed(knob: Knob) -> str:
    """Say in words what a knob may be set to."""
    if not knob.acts:
        return "only recorded"
    parts = list(knob.choices)
    if knob.low is not None and knob.low == knob.high:
        parts.append(str(knob.low))
    elif knob.low is not None:
        parts.append(
            f"{knob.low} to {knob.high}" if knob.high is not None else f"a number from {knob.low} on"
        )
    if knob.form in {"cpus", "mask"}:
        parts.append("CPUs such as 0-3,8")
    if knob.form == "words":
        parts.append("numbers with spaces between")
    return ", ".join(parts) or "a word that the host offers"


def _fits(knob: Knob, value: str) -> bool:
    try:
        if knob.low is not None:
            return knob.low <= int(value) and (knob.high is None or int(value) <= knob.high)
        if knob.form in {"cpus", "mask"}:
            return bool(cpus(value))
    except ValueError:
        return False
    if knob.form == "words":
        return bool(value.split()) and all(word.isdigit() for word in value.split())
    return not knob.choices and value.replace("-", "").replace("_", "").isalnum()
