"""What `compare` found, for a terminal and as JSON; must not compute."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import msgspec

from benchctl.analysis.key import Difference
from benchctl.report.document import Table, columns
from benchctl.report.text import NOTHING, about, clean, probability, setting
from benchctl.report.to_json import SCHEMA, comparison_shape
from benchctl.report.words import Names, effect, interval

if TYPE_CHECKING:
    from benchctl.analysis.across import Outcome
    from benchctl.analysis.sides import Side
    from benchctl.model.comparison import Comparison

_UNITS = {
    "blocks": "paired by block, inside one run",
    "runs": "unpaired (Welch on the runs' geometric means), n counts runs on the smaller side",
    "trials": "unpaired (Welch on trial values, which stand for runs), n counts trials on the smaller side",
}
MOST_DIFFERENCES = 40  # lines; beyond, a whole other system is compared and JSON has them all


def shape(outcome: Outcome, keys: tuple[tuple[str, ...], tuple[str, ...]]) -> dict[str, Any]:
    """Plain values in the documented order; `keys` are the comparability keys of each side's runs."""
    return {
        "schema": SCHEMA,
        "baseline": _side(outcome.baseline, keys[0]),
        "contender": _side(outcome.contender, keys[1]),
        "unit": outcome.unit,
        "primary": outcome.primary,
        "comparable": not outcome.mismatches,
        "mismatches": [_shown(difference)._asdict() for difference in outcome.mismatches],
        "differences": [_shown(difference)._asdict() for difference in outcome.differences],
        "comparisons": [
            comparison_shape(comparison) | {"reasons": comparison.reasons}
            for comparison in outcome.comparisons
        ],
    }


def to_json(outcome: Outcome, keys: tuple[tuple[str, ...], tuple[str, ...]]) -> str:
    return msgspec.json.format(msgspec.json.encode(shape(outcome, keys)), indent=2).decode() + "\n"


def to_terminal(outcome: Outcome, *, width: int | None = None, color: bool = False) -> str:
    """Verdicts first, then what differs."""
    from rich.text import Text

    from benchctl.report.to_terminal import console, grid, tidy

    out = io.StringIO()
    target = console(out, width=width, color=color)
    target.print(Text(f"baseline   {clean(outcome.baseline.label)}"))
    target.print(Text(f"contender  {clean(outcome.contender.label)}"))
    target.print(Text(f"{_UNITS[outcome.unit]}; {outcome.primary} decides", style="dim"))
    target.print()
    for table in _verdicts(outcome):
        target.print(grid(table, target.width))
    for comparison in outcome.comparisons:
        if comparison.reasons:
            told = clean("; ".join(comparison.reasons))
            target.print(Text(f"  {clean(comparison.metric)}: {told}", style="dim"))
    target.print()
    if outcome.mismatches:
        target.print(
            grid(_differences("Not comparable, because these differ", outcome.mismatches), target.width)
        )
    if outcome.differences:
        target.print(grid(_differences("What differs", outcome.differences), target.width))
    else:
        target.print(Text("Nothing that was recorded differs between the sides.", style="dim"))
    return tidy(out.getvalue())


def listed(differences: tuple[Difference, ...]) -> str:
    """One line for each difference, as an error message shows them."""
    return "\n".join(f"  {d.what}: {d.baseline} against {d.contender}" for d in map(_shown, differences))


def _shown(difference: Difference) -> Difference:
    """Harmless text, and no value whose name tells that it is a secret."""
    name = difference.what.rpartition(" ")[2]
    sides = (setting(name, value) for value in (difference.baseline, difference.contender))
    return Difference(clean(difference.what), *sides)


def _side(side: Side, keys: tuple[str, ...]) -> dict[str, Any]:
    return {"runs": [view.summary.run for view in side.runs], "levels": side.fixed, "keys": keys}


def _verdicts(outcome: Outcome) -> list[Table]:
    """A table for each combination of the other factors' levels: as a column they would leave no room."""
    names = Names(outcome.baseline.runs[0])
    places = list(dict.fromkeys(names.levels(c.at) for c in outcome.comparisons))
    return [
        _table(
            "" if place == NOTHING else f"At {place}",
            names,
            [c for c in outcome.comparisons if names.levels(c.at) == place],
        )
        for place in places
    ]


def _table(title: str, names: Names, comparisons: list[Comparison]) -> Table:
    rows = tuple(
        (
            names.metric(c.metric),
            c.verdict,
            effect(c),
            interval(c),
            str(c.n),
            probability(c.p if c.p_adjusted is None else c.p_adjusted),
            f"± {about(c.delta)}",
            about(c.detectable),
            c.validity,
        )
        for c in comparisons
    )
    return Table(
        title,
        columns(
            "metric", "verdict", "effect", "95 % CI", "n", "p", "δ", "detectable", "validity",
            numbers="effect, 95 % CI, n, p, δ, detectable", badges="verdict, validity", minor="δ, detectable",
        ),
        rows,
    )  # fmt: skip


def _differences(title: str, found: tuple[Difference, ...]) -> Table:
    rows = [tuple(_shown(difference)) for difference in found[:MOST_DIFFERENCES]]
    if len(found) > MOST_DIFFERENCES:
        rows.append((f"… and {len(found) - MOST_DIFFERENCES} more (--json has all)", "", ""))
    return Table(title, columns("what", "baseline", "contender"), tuple(rows))
