"""`benchctl hosts noise`: what is left of noise on hosts, and what tuning took away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from benchctl.cli import hosts_select, options
from benchctl.cli.command import LastingCommand
from benchctl.cli.hosts_tune import ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Row = Mapping[str, Any]

_SECONDS = 5.0
_MANY = 100_000  # ns: what a gap must be to count as long


class Figure(NamedTuple):
    """One column: its head, and its value from a CPU's row and the seconds that it took."""

    head: str
    of: Callable[[Row, float], float]


FIGURES = (
    Figure("lost %", lambda row, _: 100 * row["lost"]),
    Figure("gaps/s", lambda row, seconds: max(row["edges"].values()) / seconds),
    Figure("long/s", lambda row, seconds: _over(row["edges"], _MANY) / seconds),
    Figure("longest µs", lambda row, _: row["longest"] / 1e3),
    Figure("timers/s", lambda row, seconds: row["timers"] / seconds),
    Figure("interrupts/s", lambda row, seconds: row["interrupts"] / seconds),
    Figure("softirqs/s", lambda row, seconds: row["softirqs"] / seconds),
    Figure("block µs", lambda row, _: row["block"] / 1e3),
    Figure("CV %", lambda row, _: 100 * row["cv"]),
    Figure("max/min", lambda row, _: row["ratio"]),
)


@click.command(
    "noise",
    cls=LastingCommand,
    examples=(
        "benchctl hosts noise --json > before.json",
        "benchctl hosts noise --before before.json",
        "benchctl hosts noise -i inventories/lab db1 --cpus 2-7",
    ),
)
@hosts_select.inventory
@hosts_select.targets
@click.option(
    "--seconds",
    type=click.FloatRange(0, 120, min_open=True),
    default=_SECONDS,
    show_default=True,
    help="How long the clock is read; a fifth more for the work loop.",
)
@click.option("--cpus", help="Only these, such as 2-7,10.")
@click.option(
    "--before",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What --json printed earlier: shown beside, with the ratio.",
)
@options.as_json
def noise(
    inventory: Path | None,
    targets: tuple[str, ...],
    seconds: float,
    cpus: str | None,
    before: Path | None,
    as_json: bool,  # noqa: FBT001 - click's options
) -> None:
    """Measure what disturbs programs on hosts, CPU by CPU.

    On each CPU a program reads the clock over and over: a gap is time that something else took. Beside it
    are the interrupts of that time, and how much blocks of a fixed piece of work differ.

    Without a word: this machine. Nothing is changed, but all CPUs are busy for that time: it takes the lease.
    """
    earlier = _read(before) if before else {}
    args = {"seconds": seconds, **({"cpus": cpus} if cpus else {})}
    found = ask(inventory, targets, "noise", args, leased=True, as_root=False)
    if as_json:
        click.echo(json.dumps({"schema": 1, "hosts": found}, indent=2))
        return
    for host, reply in found.items():
        click.echo(f"# {host}")
        old = earlier.get(host)
        if before and old is None:
            click.echo(f"{before} has no host {host}: nothing to compare with", err=True)
        lines = beside(old, reply) if old else table(reply)
        click.echo("\n".join(aligned(lines)))
        for line in remarks(reply):
            click.echo(line)


def table(reply: Row) -> list[list[str]]:
    """Render what was measured: a line for each CPU."""
    rows = [["cpu", *(figure.head for figure in FIGURES), "busiest"]]
    for row in reply["cpus"]:
        if "error" not in row:
            figures = [_shown(figure.of(row, reply["seconds"])) for figure in FIGURES]
            rows.append(
                [str(row["cpu"]), *figures, ", ".join([*row["busiest"], *row["busiest_softirqs"]]) or "–"]
            )
    return rows


def beside(before: Row, after: Row) -> list[list[str]]:
    """Render two measurements of one host side by side, with the later one through the earlier."""
    old = {row["cpu"]: row for row in before["cpus"] if "error" not in row}
    rows = [["cpu", "what", "before", "after", "ratio"]]
    for row in after["cpus"]:
        if "error" in row or row["cpu"] not in old:
            continue
        for figure in FIGURES:
            was = figure.of(old[row["cpu"]], before["seconds"])
            now = figure.of(row, after["seconds"])
            ratio = f"{now / was:.3g}" if was else "–"
            rows.append([str(row["cpu"]), figure.head, _shown(was), _shown(now), ratio])
    return rows


def remarks(reply: Row) -> Iterator[str]:
    """Yield what must be known to read the figures: the floor, and CPUs that could not be measured."""
    good = [row for row in reply["cpus"] if "error" not in row]
    if good:
        floor = max(row["floor"] for row in good)
        least = max(min(map(int, row["edges"])) for row in good)
        yield (
            f"a gap is {least / 1e3:g} µs and more, a long one {_MANY / 1e3:g};"
            f" two reads of the clock take {floor} ns"
        )
    for row in reply["cpus"]:
        if "error" in row:
            yield f"cpu {row['cpu']}: {row['error']}"


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Render rows as columns: figures to the right, words to the left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    words = {at for at, head in enumerate(rows[0]) if head in {"what", "busiest"}}
    for row in rows:
        cells = [
            f"{cell:<{width}}" if at in words else f"{cell:>{width}}"
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _over(edges: Mapping[str, int], edge: int) -> int:
    """How many gaps were at least as long as the first edge from there on that was counted."""
    counted = [int(one) for one in edges if int(one) >= edge]
    return edges[str(min(counted))] if counted else 0


def _shown(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _read(path: Path) -> dict[str, Any]:
    from benchctl.errors import UsageError

    try:
        found = json.loads(path.read_bytes())
        hosts: dict[str, Any] = found["hosts"]
        for reply in hosts.values():
            table(reply)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path}: not what `hosts noise --json` prints ({type(error).__name__}: {error})",
            remedy="measure again with `benchctl hosts noise --json > FILE`",
        ) from error
    return hosts
