"""The steps of a run one at a time: the same functions that `run` goes through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchctl.cli import options
from benchctl.cli.command import LastingCommand
from benchctl.cli.execution import execute_run, new_run
from benchctl.cli.hosts_select import ask_become_password
from benchctl.errors import UsageError
from benchctl.results.workspace import find_run
from benchctl.results.workspace import workspace as default_workspace

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    cls=LastingCommand,
    examples=("benchctl provision quickstart && benchctl configure latest && benchctl benchmark latest",),
)
@options.experiment
@options.sets
@options.roles_path
@options.workspace
@click.option(
    "--preview", is_flag=True, help="Only show what would be made, and what it would cost; make nothing."
)
@options.yes
@options.as_json
@click.pass_context
def provision(
    ctx: click.Context,
    experiment: str,
    sets: tuple[str, ...],
    roles_paths: tuple[Path, ...],
    workspace: Path | None,
    *,
    preview: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Make the run of an experiment and its hosts.

    EXPERIMENT may also be the RUN of a run whose hosts are gone.
    The run's id is printed: the other steps take it. --json is for --preview.
    """
    if as_json and not preview:
        raise UsageError("--json is for --preview", remedy="without it, the run's id is all that is printed")
    root = default_workspace(workspace)
    if preview:
        from benchctl.cli.preview import preview as show_preview

        show_preview(experiment, sets, roles_paths, as_json=as_json)
        return
    try:
        store = find_run(experiment, root)
    except UsageError:
        store = new_run(experiment, sets, roles_paths, root, yes=yes)
    execute_run(ctx, store, first="provision", last="provision")
    click.echo(store.id)


@click.command(cls=LastingCommand, examples=("benchctl configure latest --force",))
@options.run
@options.workspace
@options.force
@ask_become_password
@click.pass_context
def configure(
    ctx: click.Context, run: str, workspace: Path | None, *, force: bool, ask_become_password: bool
) -> None:
    """Bring the hosts of a run to the wanted state.

    Ansible is started only when something changed since it ran last; --force starts it anyway.
    """
    store = find_run(run, default_workspace(workspace))
    execute_run(
        ctx, store, first="configure", last="configure", force=force, ask_become_password=ask_become_password
    )


@click.command(cls=LastingCommand, examples=("benchctl benchmark latest",))
@options.run
@options.workspace
@click.pass_context
def benchmark(ctx: click.Context, run: str, workspace: Path | None) -> None:
    """Run the trials of a run that are missing."""
    execute_run(ctx, find_run(run, default_workspace(workspace)), first="benchmark", last="benchmark")


@click.command(cls=LastingCommand, examples=("benchctl collect latest",))
@options.run
@options.workspace
@click.pass_context
def collect(ctx: click.Context, run: str, workspace: Path | None) -> None:
    """Fetch host-level files of a run."""
    execute_run(ctx, find_run(run, default_workspace(workspace)), first="collect", last="collect")


@click.command(cls=LastingCommand, examples=("benchctl destroy latest",))
@options.run
@options.workspace
@click.option("--unlock", is_flag=True, help="Remove the lock that a dead Pulumi engine left, first.")
@click.pass_context
def destroy(ctx: click.Context, run: str, workspace: Path | None, *, unlock: bool) -> None:
    """Give the hosts of a run back; safe to repeat."""
    store = find_run(run, default_workspace(workspace))
    execute_run(ctx, store, first="destroy", last="destroy", unlock=unlock)
