"""`benchctl run --pilot`: a short run that says how noisy the experiment is and how many blocks it needs."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Unpack

import click

from benchctl.cli.execution import How, execute_run
from benchctl.cli.terminal import terminal
from benchctl.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def run_pilot(
    ctx: click.Context,
    experiment: str,
    sets: tuple[str, ...],
    roles_paths: tuple[Path, ...],
    root: Path,
    *,
    as_json: bool,
    **how: Unpack[How],
) -> None:
    """Run the baseline against itself as a run of its own, then print the spread and the blocks needed."""
    if (how["first"], how["last"]) != ("provision", "destroy"):
        raise UsageError("--pilot goes through all steps", remedy="leave --from and --until out")
    from benchctl.analysis.pilot import evaluate
    from benchctl.cli.report import write_html
    from benchctl.pipeline.run import create_run
    from benchctl.plan import make
    from benchctl.plan.pilot import make_pilot
    from benchctl.report import pilot as report
    from benchctl.spec import load

    spec = load(experiment, sets=sets, roles_paths=roles_paths)
    real = make(spec)
    store = create_run(make_pilot(spec), spec.text, root, beside=spec.path.resolve().parent)
    click.echo(f"run {store.id}", err=True)
    try:
        execute_run(ctx, store, **how)
    finally:
        if store.has_summary():
            click.echo(f"report: {write_html(store)}", err=True)
    found = evaluate(real, store.trials())
    if as_json:
        text = report.to_json(store.id, str(store.path), found)
    else:
        kept = [option for option in sets if not option.startswith("design.blocks=")]
        again = shlex.join([experiment, *(f"--set={option}" for option in kept)])
        text = report.to_terminal(again, found, real, **terminal())
    click.echo(text.rstrip("\n"))
