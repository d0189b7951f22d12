"""`benchctl report`: one run in five forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from benchctl.cli import options
from benchctl.cli.command import Command
from benchctl.cli.terminal import terminal
from benchctl.results.files import write_atomically
from benchctl.results.workspace import find_run
from benchctl.results.workspace import workspace as default_workspace

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.results.store import RunStore

Form = Literal["brief", "terminal", "html", "markdown", "json", "csv"]


@click.command(
    cls=Command,
    examples=(
        "benchctl report latest",
        "benchctl report latest --format markdown > result.md",
        "benchctl report 20261121-1015-quickstart-3f2a --recompute",
    ),
)
@options.run
@options.workspace
@click.option(
    "--format",
    "form",
    type=click.Choice(["terminal", "brief", "html", "markdown", "json", "csv"]),
    default="terminal",
    show_default=True,
    help="Form of the report; html goes to report.html in the run directory.",
)
@click.option("--recompute", is_flag=True, help="Derive all numbers from the raw files again first.")
def report(run: str, workspace: Path | None, form: Form, *, recompute: bool) -> None:
    """Show what a run found.

    RUN is an id, a unique beginning of one, a path, or latest. Files that are not what the trials left are
    named; --recompute refuses them.
    """
    from benchctl.pipeline.summary import summarise
    from benchctl.results.integrity import require_intact

    store = find_run(run, default_workspace(workspace))
    if recompute:
        require_intact(store)
        store.save_summary(summarise(store, recompute=True))
    if form == "html":
        click.echo(str(write_html(store)))
    else:
        text = show(store, form).rstrip("\n")
        warn_of_damage(store)
        click.echo(text)


def warn_of_damage(store: RunStore) -> None:
    """Name on stderr the files that the numbers do not come from any more."""
    from benchctl.results.integrity import changed_files

    for name in changed_files(store):
        click.echo(f"warning: {store.path / name} is not what the trials left", err=True)


def write_html(store: RunStore) -> Path:
    """Write report.html into the run directory and return its path."""
    path = store.path / "report.html"
    write_atomically(path, show(store, "html").encode())
    return path


def show(store: RunStore, form: Form) -> str:
    """Render what is known of a run now."""
    from benchctl.pipeline.summary import load_view
    from benchctl.report import render

    return render(load_view(store, near=form == "html"), form, **terminal())
