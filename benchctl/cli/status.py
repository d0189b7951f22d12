"""`benchctl status`: how far a run is, from any terminal, without a lock."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from benchctl.cli import options
from benchctl.cli.command import Command
from benchctl.errors import InterruptedRunError
from benchctl.results.workspace import find_run
from benchctl.results.workspace import workspace as default_workspace

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.pipeline.state import RunState


@click.command(
    cls=Command,
    examples=(
        "benchctl status latest",
        "benchctl status latest --json",
    ),
)
@options.run
@options.workspace
@options.as_json
def status(run: str, workspace: Path | None, *, as_json: bool) -> None:
    """Show how far a run is."""
    from msgspec import to_builtins

    from benchctl.pipeline.state import read_state

    state = read_state(find_run(run, default_workspace(workspace)))
    told = {"schema": 1, **to_builtins(state, str_keys=True)}
    click.echo(json.dumps(told, indent=2) if as_json else _text(state))


def _text(state: RunState) -> str:
    from benchctl.pipeline.steps import STEP_NAMES

    gist = _gist(state.reason)
    lines = [f"{state.run}: {state.state}" + (f" ({gist})" if gist else "")]
    steps = {name: state.steps[name] for name in STEP_NAMES if name in state.steps}
    lines += [f"  {name:<10} {step}" for name, step in steps.items()]
    lines.append(f"  trials     {state.trials_done} of {state.trials_planned} done")
    lines += [f"  trial {ordinal} failed: {_gist(reason)}" for ordinal, reason in state.trials_failed.items()]
    if state.state in {"interrupted", "failed"}:
        lines.append(f"`benchctl resume {state.run}` goes on, `benchctl destroy {state.run}` undoes.")
    return "\n".join(lines)


def _gist(reason: str) -> str:
    """The line that says what happened, after the family's headline; nothing where the state says it all."""
    lines = reason.splitlines()
    if not lines or lines == [InterruptedRunError(0).headline]:
        return ""
    return lines[min(1, len(lines) - 1)]
