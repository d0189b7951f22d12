"""`benchctl compare`: two sides, inside one run or across runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchctl.cli import options
from benchctl.cli.command import Command
from benchctl.cli.terminal import terminal
from benchctl.errors import IncomparableError, RegressionError, TooFewBlocksError, UsageError
from benchctl.results.workspace import find_run
from benchctl.results.workspace import workspace as default_workspace

if TYPE_CHECKING:
    from benchctl.analysis.across import Outcome
    from benchctl.analysis.sides import Side
    from benchctl.results.view import RunView


@click.command(
    cls=Command,
    examples=(
        "benchctl compare latest:synchronous_commit=on latest:synchronous_commit=off",
        "benchctl compare main-1+main-2+main-3 patch-1+patch-2+patch-3 --json",
        "benchctl compare main-1 patch-1 --single-run",
    ),
)
@click.argument("baseline", metavar="BASELINE")
@click.argument("contender", metavar="CONTENDER")
@options.workspace
@click.option(
    "--single-run",
    is_flag=True,
    help="Let trial values stand for runs where a side has one run; the spread between runs stays unknown.",
)
@click.option(
    "--force", is_flag=True, help="Compare runs whose comparability keys differ; the result is suspect."
)
@options.as_json
def compare(
    baseline: str, contender: str, workspace: Path | None, *, single_run: bool, force: bool, as_json: bool
) -> None:
    """Compare two sides, inside one run or across runs.

    A side is RUN or RUN+RUN+…, with :factor=level,… at its end for a part of it; RUN is an id, the beginning
    of one, a path, or latest. Inside a run, trials are paired by block. Across runs, a side needs two runs
    for a verdict.
    Exit codes: 0 ok, 2 the sides cannot be compared, 4 too few valid blocks or runs for any verdict,
    5 the contender is slower in the primary metric.
    """
    from benchctl.analysis.across import compare_sides
    from benchctl.report import comparing

    root = default_workspace(workspace)
    outcome = compare_sides(_side(baseline, root), _side(contender, root), single_run=single_run)
    _check_comparable(outcome, force=force)
    if as_json:
        text = comparing.to_json(outcome, (_keys(outcome.baseline), _keys(outcome.contender)))
    else:
        text = comparing.to_terminal(outcome, **terminal())
    click.echo(text.rstrip("\n"))
    _judge(outcome)


def _side(text: str, root: Path) -> Side:
    from benchctl.analysis.sides import make_side, parse_side

    path = (Path(text) / "plan.json").is_file()
    parsed = parse_side(text, one_run=path)
    if ":" in text and not path and not parsed.levels:
        raise UsageError(
            f"{text}: what follows the colon is no level",
            remedy="write RUN:factor=level, as latest:build=main",
        )
    return make_side([_view(reference, root) for reference in parsed.runs], parsed.levels)


def _view(reference: str, root: Path) -> RunView:
    """A run that is over."""
    from benchctl.pipeline.state import read_state
    from benchctl.pipeline.summary import load_view

    store = find_run(reference, root)
    if read_state(store).state == "running":
        raise UsageError(
            f"{store.id} is still running", remedy=f"wait for its end: `benchctl status {store.id}`"
        )
    return load_view(store)


def _keys(side: Side) -> tuple[str, ...]:
    from benchctl.analysis.key import key

    return tuple(key(view) for view in side.runs)


def _check_comparable(outcome: Outcome, *, force: bool) -> None:
    from benchctl.report.comparing import listed

    if outcome.mismatches and not force:
        raise IncomparableError(
            f"{outcome.baseline.label} and {outcome.contender.label} differ in what must be equal:\n"
            f"{listed(outcome.mismatches)}",
            remedy="measure both sides alike, or compare with --force: the result is then marked suspect",
        )


def _judge(outcome: Outcome) -> None:
    """Raise for too little data before anything else: a verdict on it is none."""
    from benchctl.analysis.across import FEW_RUNS, slower

    if outcome.few:
        raise TooFewBlocksError(
            FEW_RUNS,
            remedy="measure each side twice or more, as RUN+RUN, or let trials stand for runs: --single-run",
        )
    if outcome.short:
        ended = all(
            v.summary.state == "finished" for s in (outcome.baseline, outcome.contender) for v in s.runs
        )
        raise TooFewBlocksError(
            f"valid blocks: {'; '.join(outcome.short)}",
            remedy="see the gates in the report; more blocks or a quieter machine help"
            if ended
            else "a run did not come to its end: `benchctl status` says why, `benchctl resume` goes on",
        )
    worse = slower(outcome)
    if worse:
        where = "; ".join(", ".join(f"{k}={v}" for k, v in c.at.items()) for c in worse if c.at)
        at = f" at {where}" if where else ""
        raise RegressionError(f"{outcome.primary} is slower{at}: {outcome.contender.label}")
