"""A report before it has a form: sections of sentences, tables and code, all plain and harmless text.

Terminal, HTML and Markdown render this; what a figure shows also stands in a table here.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["text", "number", "badge", "code"]


class Column(NamedTuple):
    """`minor` columns are left out where there is little room."""

    title: str
    kind: Kind = "text"
    minor: bool = False


class Table(NamedTuple):
    """`detail` tables are folded in HTML and left out on a terminal."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    detail: bool = False


class Claim(NamedTuple):
    """A verdict as a badge, its figure, the sentence beside it, and what to do about it."""

    badge: str
    figure: str
    sentence: str
    advice: str = ""
    marks: tuple[str, ...] = ()


class Code(NamedTuple):
    """Text to be shown as it is, folded away in HTML when it is detail."""

    title: str
    text: str
    detail: bool = False


class Section(NamedTuple):
    """One part of a report; renderers may add a figure by its id."""

    id: str
    title: str
    lead: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    tables: tuple[Table, ...] = ()
    code: tuple[Code, ...] = ()
    notes: tuple[str, ...] = ()  # after claims and tables


class Document(NamedTuple):
    """The whole report: `standing` is its validity, or how far a run is that goes on."""

    title: str
    standing: str
    facts: tuple[tuple[str, str], ...]  # the labelled lines under the title
    sections: tuple[Section, ...]


def columns(
    *titles: str, numbers: str = "", badges: str = "", code: str = "", minor: str = ""
) -> tuple[Column, ...]:
    """Columns by title; the other arguments are comma-separated titles that get a kind, or are minor."""
    kinds: dict[str, Kind] = {
        **dict.fromkeys(_split(numbers), "number"),
        **dict.fromkeys(_split(badges), "badge"),
        **dict.fromkeys(_split(code), "code"),
    }
    less = set(_split(minor))
    return tuple(Column(title, kinds.get(title, "text"), title in less) for title in titles)


def _split(titles: str) -> list[str]:
    return [title.strip() for title in titles.split(",")]
