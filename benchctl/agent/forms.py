"""The forms in which the kernel shows and takes a setting: when two texts mean the same, and what to write.

Owns these forms as pure functions on text. Must not read or write any file.
"""

import re
from typing import FrozenSet, Hashable, Iterable, List, Set

_CHOSEN = re.compile(r"\[([^\]]*)\]")
_CHUNK = 32  # bits of a mask between two commas


def meaning(form: str, text: str) -> Hashable:
    """Return what a text stands for: texts of one form with equal meanings are one setting."""
    plain = text.strip()
    if form == "bracket":
        found = _CHOSEN.search(plain)
        return found.group(1) if found else plain
    if form == "words":
        return tuple(plain.split())
    try:
        if form == "number":
            return int(plain)
        if form == "cpus":
            return cpus(plain)
        if form == "mask":
            return int(plain.replace(",", ""), 16)
    except ValueError:
        pass  # the kernel says something else: <unsupported>
    return plain


def same(form: str, one: str, other: str) -> bool:
    """Say whether two texts mean the same setting."""
    return meaning(form, one) == meaning(form, other)


def offered(form: str, text: str) -> FrozenSet[str]:
    """Return the words that a file with brackets offers; nothing for other forms."""
    return frozenset(text.replace("[", " ").replace("]", " ").split()) if form == "bracket" else frozenset()


def to_write(form: str, text: str) -> str:
    """Return what to write so that a file shows this text again."""
    return str(meaning(form, text)) if form == "bracket" else text.strip()


def cpus(text: str) -> FrozenSet[int]:
    """Return the numbers of a list such as 0-3,8. Raises ValueError for anything else."""
    found: Set[int] = set()
    for part in text.strip().split(",") if text.strip() else ():
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def cpu_list(numbers: Iterable[int]) -> str:
    """Return numbers as the kernel lists them: 0-3,8."""
    parts, ordered = [], sorted(numbers)
    while ordered:
        length = next((n for n in range(1, len(ordered)) if ordered[n] != ordered[0] + n), len(ordered))
        parts.append(f"{ordered[0]}-{ordered[length - 1]}" if length > 1 else str(ordered[0]))
        ordered = ordered[length:]
    return ",".join(parts)


def cpu_mask(numbers: Iterable[int]) -> str:
    """Return numbers as the kernel writes a mask: hexadecimal, 32 bits between two commas."""
    value = sum(1 << number for number in numbers)
    chunks: List[int] = []
    while value or not chunks:
        chunks.append(value & ((1 << _CHUNK) - 1))
        value >>= _CHUNK
    head, *rest = reversed(chunks)
    return ",".join([f"{head:x}", *(f"{chunk:08x}" for chunk in rest)])
