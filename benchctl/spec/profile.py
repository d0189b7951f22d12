"""A tuning profile: a shipped one by its name, or a YAML file that extends one.

Owns the surface of that file. Must not know the knobs: whoever asks brings shipped profiles and check.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchctl.errors import SpecError
from benchctl.spec.nodes import Entries, Text, compose_mapping, decode, value_of
from benchctl.spec.problems import Place, Problems, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from benchctl.spec.nodes import Node

    Check = Callable[[Mapping[str, str]], Iterable[tuple[str, str, str]]]
    """What is wrong with values, as (knob, words, the knob that it cannot stand beside)."""

_KEYS = ("extends", "knobs")


class Profile(NamedTuple):
    """Knobs and their values under a name."""

    name: str
    values: dict[str, str]


def read_profile(source: str, shipped: Mapping[str, Mapping[str, str]], check: Check) -> Profile:
    """Return a shipped profile by its name, or the one of a file. Raises SpecError with all problems."""
    if source in shipped:
        return Profile(source, dict(shipped[source]))
    path = Path(source)
    if not path.is_file():
        raise SpecError(
            f"{source}: found no such profile{did_you_mean(source, shipped)}",
            remedy=f"name one of {', '.join(shipped)}, or a YAML file of your own",
        )
    return parse_profile(decode(path.read_bytes(), source), source, shipped, check)


def parse_profile(text: str, source: str, shipped: Mapping[str, Mapping[str, str]], check: Check) -> Profile:
    """Return the profile of a file's text. Raises SpecError with all problems, each with its place."""
    problems = Problems()
    values = read_values(text, source, shipped, check, problems)
    problems.raise_if_any()
    return Profile(source, values)


def read_values(
    text: str, source: str, shipped: Mapping[str, Mapping[str, str]], check: Check, problems: Problems
) -> dict[str, str]:
    """Return the knobs and values of a profile's text; what is wrong with them goes to `problems`."""
    node = compose_mapping(text, source, problems)
    parts = {key.text: (key.place, child) for key, child in node.entries}
    for key, (place, _) in parts.items():
        if key not in _KEYS:
            problems.add(place, key, f"found an unknown key{did_you_mean(key, _KEYS)}", ", ".join(_KEYS))
    base = _base(parts.get("extends"), shipped, problems)
    own, places = _own(parts.get("knobs"), problems)
    values = {**base, **own}
    kept = {name: value for name, value in values.items() if value is not None}
    for knob, words, other in check(kept):
        place = places.get(knob) or places.get(other) or node.place
        problems.add(place, f"knobs.{knob}", words)
    return kept


def _base(
    found: tuple[Place, Node] | None, shipped: Mapping[str, Mapping[str, str]], problems: Problems
) -> dict[str, str | None]:
    if found is None:
        return {}
    place, node = found
    name = node.text if isinstance(node, Text) else ""
    if name not in shipped:
        problems.add(place, "extends", f"found {name!r}", ", ".join(shipped))
    return dict(shipped.get(name, {}))


def _own(
    found: tuple[Place, Node] | None, problems: Problems
) -> tuple[dict[str, str | None], dict[str, Place]]:
    """Return each knob's value as it is written; null leaves what is extended alone."""
    if found is None:
        return {}, {}
    place, node = found
    if not isinstance(node, Entries):
        problems.add(place, "knobs", "found no mapping", "knob: value")
        return {}, {}
    values: dict[str, str | None] = {}
    places: dict[str, Place] = {}
    for key, child in node.entries:
        places[key.text] = key.place
        if not isinstance(child, Text):
            problems.add(key.place, f"knobs.{key.text}", "found no single value", "a word or a number")
            continue
        values[key.text] = None if value_of(child) is None else child.text
    return values, places
