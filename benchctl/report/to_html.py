"""The report as one HTML file that opens anywhere: style, data and plotly's JavaScript inside.

Nothing is fetched: the page's own policy forbids it, and allows only the two scripts written here, by their
hashes. All text is escaped. Without JavaScript the tables say the same as the figures.
"""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from benchctl.report import content, figures, panels
from benchctl.report.words import Names

if TYPE_CHECKING:
    from benchctl.report.document import Claim, Code, Column, Document, Section, Table
    from benchctl.report.figures import Figure
    from benchctl.results.view import RunView

_HERE = Path(__file__).parent
_GAP = re.compile(r"(?<=[\d±]) (?=%|\d|ms\b)|(?<=\b[np]) (?=[=&])|(?<==) (?=\d)|(?<=&lt;) (?=\d)")
_GLYPHS = {
    "faster": "▲",
    "slower": "▼",
    "equivalent": "≈",
    "inconclusive": "?",
    "ok": "✓",
    "suspect": "!",
    "invalid": "✕",
}


def render(view: RunView) -> str:
    """Return the whole page, about 5 MB: nearly all of it is plotly."""
    from plotly.offline import get_plotlyjs

    document = content.build(view)
    drawn = figures.make(view, Names(view)) if view.trials else {}
    scripts = (get_plotlyjs(), (_HERE / "page.js").read_text(encoding="utf-8"))
    near = {"hosts": panels.render(view, Names(view))}
    sections = "\n".join(
        _section(section, drawn.get(section.id, []), near.get(section.id, ""))
        for section in document.sections
    )
    return (
        "<!doctype html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(_page_title(document))}</title>\n"
        f"<style>\n{(_HERE / 'page.css').read_text(encoding='utf-8')}</style>\n"
        f"</head>\n<body>\n<main>\n{_header(document)}\n{sections}\n"
        f"<footer>benchctl {escape(view.benchctl_version)}</footer>\n</main>\n"
        f'<script type="application/json" id="figures">{inline_json(drawn)}</script>\n'
        + "".join(f"<script>{script}</script>\n" for script in scripts)
        + "</body>\n</html>\n"
    )


def _policy(scripts: tuple[str, ...]) -> str:
    """No address may be asked for anything, and no script runs but these."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{known}'" for known in hashes)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"


def inline_json(drawn: dict[str, list[Figure]]) -> str:
    """The figures as JSON that cannot end the script element it stands in."""
    shapes = {f.id: {"data": f.data, "layout": f.layout} for found in drawn.values() for f in found}
    text = msgspec.json.encode(shapes).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _page_title(document: Document) -> str:
    first = next((claim.sentence for section in document.sections for claim in section.claims), "")
    return f"{document.title}: {first}" if first else document.title


def _header(document: Document) -> str:
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{_text(fact)}</dd>" for name, fact in document.facts)
    return (
        f"<header>\n<h1>{escape(document.title)}{_badge(document.standing)}</h1>\n<dl>{facts}</dl>\n</header>"
    )


def _section(section: Section, drawn: list[Figure], near: str) -> str:
    parts = [f'<section id="section-{section.id}">', f"<h2>{escape(section.title)}</h2>"]
    parts += [f'<p class="lead">{_text(" ".join(section.lead))}</p>'] if section.lead else []
    parts += [_claim(claim) for claim in section.claims]
    parts += [_figure(figure) for figure in drawn]
    parts += [_table(table) for table in section.tables if not table.detail]
    parts += [f'<p class="note">{_text(note)}</p>' for note in section.notes]
    parts += [near] if near else []
    parts += [_table(table) for table in section.tables if table.detail]
    parts += [_code(code) for code in section.code]
    return "\n".join([*parts, "</section>"])


def _claim(claim: Claim) -> str:
    marks = "".join(f" {_badge(mark)}" for mark in claim.marks)
    advice = f'<p class="advice">{_text(claim.advice)}</p>' if claim.advice else ""
    return (
        f'<div class="claim {escape(claim.badge)}"><div><span class="figure">{_text(claim.figure)}</span>'
        f"{_badge(claim.badge)}</div><div><p>{_text(claim.sentence)}{marks}</p>{advice}</div></div>"
    )


def _figure(figure: Figure) -> str:
    title = _text(figure.title)
    place = f'<div id="{figure.id}" role="img" aria-label="{title}"></div>'
    return f"<figure hidden><figcaption>{title}</figcaption>\n{place}</figure>"


def _table(table: Table) -> str:
    head = "".join(f"<th{_class(column)}>{_text(column.title)}</th>" for column in table.columns)
    rows = "\n".join(
        f"<tr>{''.join(_cell(*pair) for pair in zip(table.columns, row, strict=True))}</tr>"
        for row in table.rows
    )
    caption = f"<caption>{_text(table.title)}</caption>" if table.title and not table.detail else ""
    filled = f"{caption}<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>"
    body = f'<div class="wide"><table>{filled}</table></div>'
    return _folded(table.title, body) if table.detail else body


def _cell(column: Column, text: str) -> str:
    if column.kind == "badge":
        return f"<td>{_badge(text)}</td>"
    return f"<td{_class(column)}>{_text(text)}</td>"


def _class(column: Column) -> str:
    return f' class="{column.kind}"' if column.kind in {"number", "code"} else ""


def _code(code: Code) -> str:
    body = f"<pre>{escape(code.text)}</pre>"
    return _folded(code.title, body) if code.detail else f"<h3>{_text(code.title)}</h3>\n{body}"


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{_text(title)}</summary>\n{body}</details>"


def _badge(word: str) -> str:
    glyph = f'<span aria-hidden="true">{_GLYPHS[word]}</span> ' if word in _GLYPHS else ""
    kind = f" {word}" if word in _GLYPHS else ""
    return f'<span class="badge{kind}">{glyph}{escape(word)}</span>'


def _text(text: str) -> str:
    """Escaped, with a number and its unit kept on one line."""
    return _GAP.sub("\N{NO-BREAK SPACE}", escape(text))
