"""What people read of a run: terminal, HTML with plots, Markdown, JSON, CSV, one module each.

Owns words, layout and figures. Must not compute a result: all that it shows stands in the `RunView`. The same
view gives the same bytes, and what came from outside (names, settings, reasons) is made harmless first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from benchctl.errors import UsageError

if TYPE_CHECKING:
    from benchctl.results.view import RunView

BRIEF = (
    "verdicts",
    "pilot",
    "intervals",
    "distributions",
    "gates",
    "failures",
)  # what the end of a run says; the rest can be asked for
Form = Literal["brief", "terminal", "html", "markdown", "json", "csv"]


def render(view: RunView, form: Form, *, width: int | None = None, color: bool = False) -> str:
    """Return the report of a run; width (columns) and color concern only the terminal. Raises UsageError."""
    if form in {"terminal", "brief"}:
        from benchctl.report import to_terminal

        only = BRIEF if form == "brief" else ()
        return to_terminal.render(view, width=width, color=color, only=only)
    if form == "html":
        from benchctl.report import to_html

        return to_html.render(view)
    if form == "markdown":
        from benchctl.report import to_markdown

        return to_markdown.render(view)
    if form == "json":
        from benchctl.report import to_json

        return to_json.render(view)
    if form == "csv":
        from benchctl.report import to_csv

        return to_csv.render(view)
    raise UsageError(
        f"there is no report in the form {form!r}", remedy=f"use one of {', '.join(get_args(Form))}"
    )


__all__ = ["Form", "render"]
