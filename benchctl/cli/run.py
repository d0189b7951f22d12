"""`benchctl run`: the main job."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Unpack

import click

from benchctl.cli import options
from benchctl.cli.command import LastingCommand
from benchctl.cli.execution import How, execute_run, new_run
from benchctl.cli.hosts_select import ask_become_password
from benchctl.cli.pilot import new_pilot, require_whole
from benchctl.errors import BenchctlError, LeaseError, SpecError, TooFewBlocksError, UnfitError
from benchctl.results.workspace import find_run
from benchctl.results.workspace import workspace as default_workspace

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.results.store import RunStore

STEPS = click.Choice(["provision", "configure", "benchmark", "collect", "destroy"])


@click.command(
    cls=LastingCommand,
    examples=(
        "benchctl run quickstart",
        "benchctl run my-experiment.yml --set design.blocks=20 --json > result.json",
        "benchctl run my-experiment.yml --pilot",
    ),
)
@options.experiment
@options.sets
@options.roles_path
@options.workspace
@click.option(
    "--from", "first", type=STEPS, default="provision", help="First step; EXPERIMENT is then a RUN."
)
@click.option("--until", "last", type=STEPS, default="destroy", help="Last step to execute.")
@click.option(
    "--pilot",
    is_flag=True,
    help="Run the baseline against itself in 3 blocks: how noisy it is, and how many blocks it needs.",
)
@options.keep
@options.force
@options.wait
@ask_become_password
@options.yes
@options.as_json
@click.pass_context
def run(
    ctx: click.Context,
    experiment: str,
    sets: tuple[str, ...],
    roles_paths: tuple[Path, ...],
    workspace: Path | None,
    first: str,
    last: str,
    *,
    pilot: bool,
    keep: bool,
    force: bool,
    wait: bool,
    ask_become_password: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Run an experiment: provision, configure, benchmark, collect, destroy.

    EXPERIMENT is a path, or the name of a shipped experiment (quickstart, aa, …).
    Exit codes: 0 ok, 1 a step failed, 2 the experiment is not valid, 3 this machine is not fit,
    4 too few valid blocks, 130 interrupted.
    """
    root = default_workspace(workspace)
    again = first != "provision"
    if pilot:
        require_whole(first, last)
        store = new_pilot(experiment, sets, roles_paths, root)
    elif again:
        store = find_run(experiment, root)
    else:
        store = new_run(experiment, sets, roles_paths, root, yes=yes)
    click.echo(f"run {store.id}", err=True)
    try:
        execute_and_report(
            ctx, store, as_json=as_json, first=first, last=last, keep=keep, force=force, wait=wait,
            ask_become_password=ask_become_password,
        )  # fmt: skip
    except (UnfitError, SpecError) as error:
        if not again:
            _remove_if_never_begun(store)
        if isinstance(error, LeaseError):
            raise LeaseError(error.detail, remedy=_way_out(error, root)) from error
        raise


def _way_out(error: LeaseError, root: Path) -> str:
    """What helps against a run that holds a host: waiting, or undoing it where its controller is gone."""
    from benchctl.pipeline.state import read_state
    from benchctl.results.workspace import list_runs

    for store in list_runs(root):
        with suppress(BenchctlError):
            if store.id in error.detail and read_state(store).state != "running":
                return (
                    f"`benchctl resume {store.id}` goes on with it, `benchctl destroy {store.id}` undoes it"
                )
    return "the same command with --wait waits for it"


def _remove_if_never_begun(store: RunStore) -> None:
    """Leave no run behind of which nothing is known but that it was refused."""
    from benchctl.journal import read
    from benchctl.pipeline.hosts import hosts_made
    from benchctl.pipeline.recovery import ever_reached
    from benchctl.results.removal import remove_run

    with suppress(BenchctlError):  # why it was refused matters more
        entries = read(store.path / "journal.jsonl")
        if not ever_reached(entries) and not hosts_made(entries):
            remove_run(store)
            click.echo(f"{store.id} was refused before anything was done: it is not kept", err=True)


def execute_and_report(ctx: click.Context, store: RunStore, *, as_json: bool, **how: Unpack[How]) -> None:
    """Execute, show what there is whatever happened, and say when it is too little."""
    try:
        summary = execute_run(ctx, store, **how)
    except BaseException:
        with suppress(BenchctlError, OSError):  # what went wrong first is what is told
            show_report(store, as_json=as_json)
        raise
    show_report(store, as_json=as_json)
    if summary is not None:
        _check_blocks(store)


def show_report(store: RunStore, *, as_json: bool) -> None:
    """Show what there is, also after a failure: finished trials are never lost."""
    from benchctl.cli.report import show, write_html

    if store.has_summary():
        click.echo(show(store, "json" if as_json else "brief").rstrip("\n"))
        path = write_html(store)
        click.echo(f"\nall of it: {path}, or `benchctl report {store.id}`", err=True)


def _check_blocks(store: RunStore) -> None:
    from benchctl.analysis import too_few

    plan = store.plan()
    short = too_few(plan, store.summary())
    if short:
        wanted = plan.experiment.design.min_blocks or plan.experiment.design.blocks
        names = ", ".join(sorted({f"{c.factor}={c.contender} ({c.n})" for c in short}))
        raise TooFewBlocksError(
            f"valid blocks: {names}; at least {wanted} are wanted (design.min_blocks)",
            remedy="see the gates in the report; more blocks or a quieter machine help",
        )
