"""`benchctl status`: how far a run is, from any terminal, without a lock."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from benchctl.cli import options
from benchctl.cli.command import Command
from benchctl.errors import InterruptedRunError, SpecError, UsageError
from benchctl.results.workspace import find_run
from benchctl.results.workspace import workspace as default_workspace

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.pipeline.state import RunState
    from benchctl.results.store import RunStore

POLL_INTERVAL = 0.25  # seconds between two looks at the journal of a run that goes on


@click.command(
    cls=Command,
    examples=(
        "benchctl status latest",
        "benchctl status latest --follow",
        "benchctl status latest --json",
    ),
)
@options.run
@options.workspace
@click.option("--follow", is_flag=True, help="Go on until the run ends; Ctrl-C ends only this view.")
@options.as_json
def status(run: str, workspace: Path | None, *, follow: bool, as_json: bool) -> None:
    """Show how far a run is."""
    from msgspec import to_builtins

    from benchctl.pipeline.state import read_state

    if follow and as_json:
        raise UsageError("--json prints one document, --follow has no end", remedy="give one of them")
    store = find_run(run, default_workspace(workspace))
    if follow:
        _follow(store)
    state = read_state(store)
    told = {"schema": 1, **to_builtins(state, str_keys=True)}
    click.echo(json.dumps(told, indent=2) if as_json else _text(state))


def _follow(store: RunStore) -> None:
    """One line for each change, until the run has ended."""
    from benchctl.pipeline.state import read_state

    shown = ""
    try:
        while (state := read_state(store)).state == "running":
            line = _line(state)
            if line != shown:
                click.echo(line)
                shown = line
            time.sleep(POLL_INTERVAL)
    except KeyboardInterrupt:
        click.echo("\nOnly this view ends; the run is not touched.", err=True)
        raise click.Abort from None


def _line(state: RunState) -> str:
    failed = f", {len(state.trials_failed)} failed" if state.trials_failed else ""
    now = "; ".join(act for act in state.doing if not act.startswith("step.")) or ", ".join(state.doing)
    return f"{state.trials_done} of {state.trials_planned} trials{failed}  {now}".rstrip()


def _text(state: RunState) -> str:
    from benchctl.pipeline.steps import STEP_NAMES

    gist = _gist(state.reason)
    lines = [f"{state.run}: {state.state}" + (f" ({gist})" if gist else "")]
    steps = {name: state.steps[name] for name in STEP_NAMES if name in state.steps}
    lines += [f"  {name:<10} {step}" for name, step in steps.items()]
    lines.append(f"  trials     {state.trials_done} of {state.trials_planned} done")
    if state.doing:
        lines.append(f"  now        {'; '.join(state.doing)}")
    lines += [f"  tuned      {text}" for text in _tuned(state)]
    lines += [f"  trial {ordinal} failed: {_gist(reason)}" for ordinal, reason in state.trials_failed.items()]
    if state.state == "failed" and state.reason.startswith(SpecError("").headline):
        lines.append(state.reason.splitlines()[-1])  # what to do; the same plan would be refused again
    elif state.state in {"interrupted", "failed"}:
        undo = "" if state.destroyed else f", `benchctl destroy {state.run}` undoes"
        lines.append(f"`benchctl resume {state.run}` goes on{undo}.")
    elif state.state != "running":
        done = {name for name, step in steps.items() if step == "done" and name != "destroy"}
        done |= {"destroy"} if state.destroyed else set()
        left = [name for name in STEP_NAMES if name not in done]
        if left and steps:
            lines.append(f"Not executed yet: {', '.join(left)}; `benchctl {left[0]} {state.run}` is next.")
    return "\n".join(lines)


def _tuned(state: RunState) -> list[str]:
    """The hosts that are tuned and, where nobody works on them any more, what gives them back."""
    until = (
        "" if state.state == "running" else f" until `benchctl destroy {state.run}`, or its lease runs out"
    )
    return [f"{host} ({profile}){until}" for host, profile in state.tuned.items()]


def _gist(reason: str) -> str:
    """The line that says what happened, after the family's headline; nothing where the state says it all."""
    lines = reason.splitlines()
    if not lines or lines == [InterruptedRunError(0).headline]:
        return ""
    return lines[min(1, len(lines) - 1)]
