"""A table in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Render a table; a bar inside a cell is escaped."""
    lines: list[tuple[str, ...]] = [titles, tuple("---" for _ in titles), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
