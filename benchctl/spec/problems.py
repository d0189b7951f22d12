"""Everything that is wrong with a file, gathered so that one look shows it all.

Must not decide what is wrong; the rooms' other modules do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchctl.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_SHOWN = 50  # a reader mends the first few and looks again


class Place(NamedTuple):
    """Where something stands: a file with line and column from 1, or (line 0) an option of the command."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


class Problems:
    """A collection of problems that ends as one SpecError, or as nothing."""

    def __init__(self) -> None:
        """Start with nothing wrong."""
        self._found: list[tuple[Place, str]] = []
        self._unsound: set[str] = set()

    def add(self, place: Place, path: str, found: str, allowed: str = "", remedy: str = "") -> None:
        """Note what was found at a place, what is allowed there, and what to do about it."""
        parts = [found]
        if allowed:
            parts.append(f"allowed: {allowed}")
        if remedy:
            parts.append(remedy)
        self._found.append((place, f"{path}: {'; '.join(parts)}" if path else "; ".join(parts)))
        self._unsound.add(path)

    def doubt(self, path: str) -> None:
        """Note that nothing can be said of a path, because of a problem elsewhere."""
        self._unsound.add(path)

    def touched(self) -> Callable[[str], bool]:
        """Return what tells whether a problem so far is at a path, above it or below it."""
        unsound = frozenset(self._unsound)

        def touches(path: str) -> bool:
            return any(
                path == other or path.startswith(f"{other}.") or other.startswith(f"{path}.")
                for other in unsound
            )

        return touches

    def any(self) -> bool:
        """Say whether anything is wrong so far."""
        return bool(self._found)

    def raise_if_any(self) -> None:
        """Raise one SpecError with a line for each problem, in the order of the file."""
        if self._found:
            raise self._error()

    def _error(self) -> SpecError:
        lines = [f"{place}: {text}" for place, text in sorted(dict.fromkeys(self._found), key=_order)]
        hidden = len(lines) - _SHOWN
        if hidden > 0:
            lines[_SHOWN:] = [f"… and {hidden} more"]
        return SpecError("\n".join(lines))


def refusal(place: Place, found: str, allowed: str = "", remedy: str = "") -> SpecError:
    """Return the error for a file that cannot be read any further."""
    parts = [found, *([f"allowed: {allowed}"] if allowed else []), *([remedy] if remedy else [])]
    return SpecError(f"{place}: {'; '.join(parts)}")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean …)` for the closest known word, or nothing."""
    close = closest(word, known)
    return f" (did you mean {close!r}?)" if close else ""


def closest(word: str, known: Iterable[str]) -> str:
    """Return the known word that is most like this one; empty when none is."""
    import difflib

    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)), "")


def _order(item: tuple[Place, str]) -> tuple[str, int, int]:
    return item[0]
