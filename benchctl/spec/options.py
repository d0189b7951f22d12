"""What a role's options ask of each other: `needed_with`, `only_with`, `known`, `required`. Pure.

Must not know where an option stands in a file, or which level set it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchctl.spec.shapes import option_shape
from benchctl.spec.walk import allowed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchctl.model.experiment import Value
    from benchctl.model.role import RoleMeta


class Flaw(NamedTuple):
    """What does not hold of one option."""

    found: str
    allowed: str
    remedy: str
    by_others: bool = True  # the values of others are part of it
    by_value: bool = False  # its own value is what is wrong


def flaws(name: str, meta: RoleMeta, given: Mapping[str, Value]) -> Iterator[Flaw]:
    """Yield what is wrong with one option of a role, or with its lack, beside all that are given."""
    option = meta.options[name]
    yield from _unknown_version(name, meta, given)
    conditions = option.needed_with.items()
    needed = bool(conditions) and all(given.get(key) == value for key, value in conditions)
    if name in given:
        for other, value in {**option.needed_with, **option.only_with}.items():
            if given[name] != option.default and given.get(other) != value:
                yield Flaw(_beside(other, value, given), "", f"add {other}: {value}")
    elif option.required or needed:
        with_others = f" with {', '.join(f'{key}: {value}' for key, value in conditions)}" if needed else ""
        why = f"{meta.name} needs it{with_others}"
        remedy = f"add it, {why}: {option.doc.rstrip('.')}"
        yield Flaw("missing", allowed(option_shape(option)), remedy, by_others=needed)


def _beside(other: str, value: str, given: Mapping[str, Value]) -> str:
    if other in given:
        return f"found it with {other} {given[other]}, which does not look at it"
    return f"found it without {other}: {value}, which alone looks at it"


def _unknown_version(name: str, meta: RoleMeta, given: Mapping[str, Value]) -> Iterator[Flaw]:
    """Yield a version that its source does not have."""
    wanted = str(given.get(name, ""))
    for other, values in meta.options[name].known.items():
        chosen = str(given.get(other))
        if wanted and chosen in values and not _is_one_of(wanted, values[chosen]):
            having = [value for value, known in values.items() if _is_one_of(wanted, known)]
            yield Flaw(
                f"found {wanted!r}, which {other} {chosen} does not have",
                ", ".join(values[chosen]),
                f"{other} {' or '.join(having)} has it" if having else "",
                by_value=True,
            )


def _is_one_of(version: str, known: Sequence[str]) -> bool:
    """Say whether a version, or the beginning of one, is of a known one, or of the beginning of one."""
    return any(f"{version}.".startswith(f"{one}.") or one.startswith(f"{version}.") for one in known)
