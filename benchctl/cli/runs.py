"""`benchctl runs`: what the workspace holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from benchctl.cli import options
from benchctl.cli.command import Command, Group
from benchctl.results.workspace import find_run, list_runs
from benchctl.results.workspace import workspace as default_workspace

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.results.store import RunStore


@click.group(cls=Group, examples=("benchctl runs list --json",))
def runs() -> None:
    """List and show runs."""


@runs.command("list")
@options.workspace
@options.as_json
def list_(workspace: Path | None, *, as_json: bool) -> None:
    """List the runs of the workspace, oldest first."""
    import json

    rows = [_row(store) for store in list_runs(default_workspace(workspace))]
    if as_json:
        click.echo(json.dumps({"schema": 1, "runs": rows}, indent=2))
        return
    if not rows:
        click.echo("No runs here yet: `benchctl run quickstart` makes the first one.", err=True)
    for row in rows:
        click.echo(f"{row['run']:<44} {row['state']:<12} {row['trials_done']}/{row['trials_planned']} trials")


@runs.command(cls=Command, examples=("benchctl runs show latest --json",))
@options.run
@options.workspace
@options.as_json
def show(run: str, workspace: Path | None, *, as_json: bool) -> None:
    """Show one run: its report, or what `--json` of `run` printed."""
    from benchctl.cli.report import show as render

    click.echo(
        render(find_run(run, default_workspace(workspace)), "json" if as_json else "terminal").rstrip("\n")
    )


def _row(store: RunStore) -> dict[str, Any]:
    from benchctl.pipeline.state import read_state

    state = read_state(store)
    return {
        "run": state.run,
        "state": state.state,
        "trials_done": state.trials_done,
        "trials_planned": state.trials_planned,
        "started": state.started,
        "path": str(store.path),
    }
