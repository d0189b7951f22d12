"""The report as text for a terminal: the document with intervals and orders drawn in characters.

Must not print: it returns a string, coloured or not.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from benchctl.report import content, inside, marks, strokes
from benchctl.report.findings import primary
from benchctl.report.words import Names

if TYPE_CHECKING:
    from rich.console import RenderableType

    from benchctl.report.document import Claim, Document, Section, Table
    from benchctl.results.view import RunView

WIDTH = 100  # where none is told, as in a pipe
_ROOMY = 110
_STYLES = {
    "ok": "green",
    "suspect": "yellow",
    "invalid": "bold red",
    "faster": "bold green",
    "slower": "bold red",
    "equivalent": "bold cyan",
    "inconclusive": "bold yellow",
}


def console(out: io.StringIO, *, width: int | None, color: bool) -> Console:
    """A console that asks nothing of its surroundings: the same input gives the same text everywhere."""
    return Console(
        file=out,
        width=width or WIDTH,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
        _environ={},
    )


def render(
    view: RunView, *, width: int | None = None, color: bool = False, only: tuple[str, ...] = ()
) -> str:
    """The report, or `only` these sections of it.

    No line is wider than `width` columns, but for commands, which can be copied.
    """
    out = io.StringIO()
    target = console(out, width=width, color=color)
    document = content.build(view)
    target.print(_title(document))
    for section in document.sections:
        if only and section.id not in only:
            continue
        target.print()
        if section is not document.sections[0]:
            target.print(Text(section.title, style="bold underline"))
        target.print(_body(section, view, target.width))
        for code in (code for code in section.code if not code.detail):
            out.write(f"\n  {code.title}: {code.text}\n")  # not wrapped: it is there to be copied
    return tidy(out.getvalue())


def tidy(text: str) -> str:
    """No spaces at the ends of lines, and never two empty lines in a row."""
    lines = [line.rstrip() for line in text.splitlines()]
    kept = [line for line, before in zip(lines, ["", *lines], strict=False) if line or before]
    return "\n".join(kept) + "\n"


def _title(document: Document) -> RenderableType:
    head = Text.assemble((document.title, "bold"), "  ", _badge(document.standing))
    facts = Grid.grid(padding=(0, 2))
    for name, fact in document.facts:
        facts.add_row(Text(name, style="dim"), Text(fact))
    return Group(head, facts)


def _body(section: Section, view: RunView, width: int) -> RenderableType:
    names = Names(view)
    if section.id == "intervals" and section.tables:
        return strokes.forest(view, names, width)
    if section.id == "series" and section.tables:
        lead = _lead(
            tuple(filter(None, ("The first trial of each treatment.", inside.course_sentence(view))))
        )
        tables = (inside.course_table(view, names), marks.table(view, names))
        told = [grid(table, width - 2) for table in tables if table and not table.detail]
        drawn = [lead, strokes.seconds(view, names, width)]
        return Group(*drawn, *(Padding(table, (1, 0, 0, 2)) for table in told))
    if section.id == "order" and section.tables:
        metric = primary(view) or ""
        lead = _lead((f"{names.metric(metric).capitalize()}, one mark for each block.", *section.lead))
        return Group(lead, strokes.blocks(view, names, width, metric))
    parts: list[RenderableType] = [_lead(section.lead)] if section.lead else []
    parts += [_claim(claim) for claim in section.claims]
    for table in section.tables:
        if not table.detail:
            parts.append(Padding(grid(table, width - 2), (bool(parts), 0, 0, 2)))
    parts += [Padding(_lead(section.notes), (1, 0, 0, 0))] if section.notes else []
    return Group(*parts)


def _lead(sentences: tuple[str, ...]) -> RenderableType:
    return Padding(Text(" ".join(sentences), style="dim"), (0, 0, 0, 2))


def _claim(claim: Claim) -> RenderableType:
    line = Grid.grid(padding=(0, 1), expand=True)
    line.add_column(width=14)
    line.add_column(ratio=1, overflow="fold")
    said = Text(claim.sentence)
    for mark in claim.marks:
        said.append_text(Text.assemble(" (", _badge(mark), ")"))
    line.add_row(_badge(claim.badge.upper()), said)
    if claim.advice:
        line.add_row("", Text(claim.advice, style="dim"))
    return line


def grid(table: Table, width: int) -> RenderableType:
    """A table of the document; minor columns only where there is room for them."""
    made = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    shown = [index for index, column in enumerate(table.columns) if width >= _ROOMY or not column.minor]
    for index in shown:
        column = table.columns[index]
        number = column.kind == "number"
        made.add_column(
            Text(column.title), justify="right" if number else "left", no_wrap=number, overflow="fold"
        )
    for row in table.rows:
        made.add_row(
            *(
                _badge(row[index]) if table.columns[index].kind == "badge" else Text(row[index])
                for index in shown
            )
        )
    return Group(Text(table.title, style="italic"), Text(), made) if table.title else Group(Text(), made)


def _badge(word: str) -> Text:
    return Text(word, style=_STYLES.get(word.lower(), ""))
