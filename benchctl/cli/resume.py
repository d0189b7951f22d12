"""`benchctl resume`: what a crash, a signal or a failure cut short."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchctl.cli import options
from benchctl.cli.command import LastingCommand
from benchctl.cli.hosts_select import ask_become_password
from benchctl.cli.run import execute_and_report, show_report
from benchctl.results.workspace import find_run
from benchctl.results.workspace import workspace as default_workspace

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.results.store import RunStore


@click.command(cls=LastingCommand, examples=("benchctl resume latest",))
@options.run
@options.workspace
@options.keep
@options.wait
@ask_become_password
@options.as_json
@click.pass_context
def resume(
    ctx: click.Context,
    run: str,
    workspace: Path | None,
    *,
    keep: bool,
    wait: bool,
    ask_become_password: bool,
    as_json: bool,
) -> None:
    """Go on with a run that was interrupted or failed.

    Finished trials stay as they are; the one that was cut short is repeated from the clone of its data. What
    the earlier execution left running is stopped first.
    """
    store = find_run(run, default_workspace(workspace))
    if _is_complete(store):
        click.echo(f"{store.id} is complete: there is nothing to go on with", err=True)
        show_report(store, as_json=as_json)
        return
    execute_and_report(
        ctx, store, as_json=as_json, first="provision", last="destroy", keep=keep, wait=wait,
        ask_become_password=ask_become_password,
    )  # fmt: skip


def _is_complete(store: RunStore) -> bool:
    from benchctl.pipeline.state import read_state

    state = read_state(store)
    return (
        state.state == "finished"
        and state.trials_done == state.trials_planned
        and state.steps.get("destroy") == "done"
    )
