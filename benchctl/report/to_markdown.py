"""The report as Markdown (CommonMark with tables), for pull requests, tickets and notes.

Text from outside is escaped, so that it stays text and makes no link, image or HTML.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from benchctl.report import content

if TYPE_CHECKING:
    from benchctl.report.document import Claim, Code, Section, Table
    from benchctl.results.view import RunView

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#&!])")
_HEAVY = frozenset({"series", "order"})  # their detail is a line for each trial: JSON and CSV carry that


def render(view: RunView) -> str:
    """The same sections as the other forms; tables with a row for each trial are left to CSV."""
    document = content.build(view)
    facts = [f"- **{_text(document.standing)}**"]
    facts += [f"- {name}: {_text(fact)}" for name, fact in document.facts]
    parts = [f"# {_text(document.title)}", "\n".join(facts), *map(_section, document.sections)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(section: Section) -> str:
    parts = [f"## {section.title}"]
    parts += [_text(" ".join(section.lead))] if section.lead else []
    parts += [_claim(claim) for claim in section.claims]
    parts += [_table(table) for table in section.tables if not (table.detail and section.id in _HEAVY)]
    parts += [_text(note) for note in section.notes]
    parts += [_code(code) for code in section.code]
    return "\n\n".join(parts) if len(parts) > 1 else ""


def _claim(claim: Claim) -> str:
    marks = "".join(f" ({mark})" for mark in claim.marks)
    advice = f"\n  {_text(claim.advice)}" if claim.advice else ""
    return f"- **{claim.badge}**{marks}: {_text(claim.sentence)}{advice}"


def _table(table: Table) -> str:
    title = f"**{_text(table.title)}**\n\n" if table.title else ""
    lines = [
        _row([_text(column.title) for column in table.columns]),
        _row(["--:" if column.kind == "number" else "---" for column in table.columns]),
        *(_row([_text(cell) for cell in row]) for row in table.rows),
    ]
    return title + "\n".join(lines)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace(chr(10), '<br>') for cell in cells)} |"


def _code(code: Code) -> str:
    longest = max((len(run) for run in re.findall(r"`+", code.text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"**{_text(code.title)}**\n\n{fence}\n{code.text.rstrip()}\n{fence}"


def _text(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)
