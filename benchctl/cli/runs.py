"""`benchctl runs`: what the workspace holds, handed on, compared and removed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchctl.cli import options
from benchctl.cli.command import Command, Group
from benchctl.cli.confirm import byte_size, confirm
from benchctl.errors import RunStateError, UsageError
from benchctl.results.workspace import find_run, list_runs
from benchctl.results.workspace import workspace as default_workspace

if TYPE_CHECKING:
    from benchctl.results.difference import Difference
    from benchctl.results.store import RunStore

WIDE = 100  # columns; a longer difference takes a line for each side


@click.group(cls=Group, examples=("benchctl runs list", "benchctl runs diff 20261121-1015 latest"))
def runs() -> None:
    """List, show, compare, export and remove runs."""


@runs.command("list", cls=Command, examples=("benchctl runs list", "benchctl runs list --json"))
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
    from benchctl.cli.report import warn_of_damage

    store = find_run(run, default_workspace(workspace))
    text = render(store, "json" if as_json else "terminal").rstrip("\n")
    warn_of_damage(store)
    click.echo(text)


@runs.command(
    cls=Command, examples=("benchctl runs rm 20261121-1015-quickstart-3f2a", "benchctl runs rm latest --yes")
)
@click.argument("references", metavar="RUN...", nargs=-1, required=True, shell_complete=options.complete_run)
@options.workspace
@options.yes
@click.option("--force", is_flag=True, help="Remove also a run whose hosts were not given back.")
@options.as_json
def rm(references: tuple[str, ...], workspace: Path | None, *, yes: bool, force: bool, as_json: bool) -> None:
    """Remove runs with all their results.

    Nothing is removed when one of them is running, or (without --force) when what it made may still be on its
    hosts. What hosts keep for later runs goes with `benchctl clean`.
    """
    import json

    from benchctl.results.removal import remove_run, size_of

    root = default_workspace(workspace)
    stores = {store.path: store for store in (find_run(reference, root) for reference in references)}
    for store in stores.values():
        _require_ended(store, force=force)
    for store in stores.values():
        click.echo(f"{store.id}  {byte_size(size_of(store.path))}", err=True)
    confirm("Remove with all results?", yes=yes)
    for store in stores.values():
        remove_run(store)
        click.echo(f"removed {store.path}", err=True)
    if as_json:
        removed = [store.id for store in stores.values()]
        click.echo(json.dumps({"schema": 1, "removed": removed}, indent=2))


@runs.command(
    cls=Command,
    examples=("benchctl runs export latest", "benchctl runs export latest --output result.tar.gz"),
)
@options.run
@options.workspace
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The archive; default: RUN-ID.tar.gz in the current folder.",
)
@click.option("--force", is_flag=True, help="Replace an archive that is there.")
@options.as_json
def export(run: str, workspace: Path | None, output: Path | None, *, force: bool, as_json: bool) -> None:
    """Pack a run into one archive to hand on.

    The same run directory gives the same bytes. Only files that benchctl itself wrote go in.
    """
    import json

    from benchctl.report.text import clean
    from benchctl.results.export import export_run

    store = find_run(run, default_workspace(workspace))
    target = output or Path(f"{store.id}.tar.gz")
    if target.name == "-":
        raise UsageError("the archive is written to a file only", remedy="name one by --output")
    if target.exists() and not force:
        raise UsageError(f"{target} is there already", remedy="name another file by --output, or add --force")
    done = export_run(store, target)
    for name in done.damaged:
        click.echo(f"warning: {clean(name)} is not what MANIFEST.sha256 says", err=True)
    click.echo(f"{done.files} files, {byte_size(done.bytes)}, sha256 {done.sha256}", err=True)
    if done.left_out:
        places = ", ".join(sorted({clean(name.partition("/")[0]) for name in done.left_out}))
        click.echo(f"{len(done.left_out)} other files stay behind, of {places}; --json names them", err=True)
    if as_json:
        made = done._asdict() | {"path": str(done.path)}
        click.echo(json.dumps({"schema": 1, "run": store.id, **made}, indent=2))
    else:
        click.echo(str(done.path))


@runs.command(
    cls=Command, examples=("benchctl runs diff 20261120-0900 latest", "benchctl runs diff one two --json")
)
@click.argument("a", metavar="A", shell_complete=options.complete_run)
@click.argument("b", metavar="B", shell_complete=options.complete_run)
@options.workspace
@options.as_json
def diff(a: str, b: str, workspace: Path | None, *, as_json: bool) -> None:
    """Show what differs between two runs besides their numbers.

    The experiment with all values resolved, versions, the servers' settings as read back, and facts of the
    hosts, those first that forbid to compare numbers. A and B are runs, as RUN elsewhere.
    """
    import json

    from benchctl.analysis.key import HOST_FACTS, LISTED_FACTS, LISTED_PREFIXES
    from benchctl.results.difference import compare_runs

    root = default_workspace(workspace)
    one, two = find_run(a, root), find_run(b, root)
    key, knobs = (*HOST_FACTS, "memory.total"), (*LISTED_FACTS, *LISTED_PREFIXES)
    groups = compare_runs(one, two, key=key, knobs=knobs)
    if as_json:
        rows = [
            {
                "name": g.name,
                "matters": g.matters,
                "differences": [_hidden(d)._asdict() for d in g.differences],
            }
            for g in groups
        ]
        click.echo(json.dumps({"schema": 1, "a": one.id, "b": two.id, "groups": rows}, indent=2))
        return
    click.echo(f"A  {one.id}\nB  {two.id}")
    *told, passing = groups
    for group in told:
        if group.differences:
            click.echo(f"\n{group.name}")
        for found in group.differences:
            click.echo(_line(_hidden(found)))
    if not any(group.differences for group in told):
        click.echo("\nNothing differs.")
    if passing.differences:
        count = len(passing.differences)
        click.echo(f"\n{count} facts that differ at any two times are left out; --json has them.", err=True)


def _hidden(found: Difference) -> Difference:
    """The difference without what its name tells to be a secret."""
    from benchctl.report.text import setting

    if "***" in {setting(found.path, found.a), setting(found.path, found.b)}:
        return found._replace(a="***", b="***")
    return found


def _line(found: Difference) -> str:
    from benchctl.report.text import clean, redact

    sides = found.a, found.b
    if isinstance(found.a, list) and isinstance(found.b, list) and found.a and isinstance(found.a[0], dict):
        sides = _only(found.a, found.b), _only(found.b, found.a)
    name, a, b = clean(found.path), *(redact(clean(_value(side))) for side in sides)
    short = f"  {name:<40} {a}  ->  {b}"
    return short if len(short) <= WIDE else f"  {name}\n      A  {a}\n      B  {b}"


def _only(side: list[Any], other: list[Any]) -> list[Any] | str:
    """What the other list of parts, such as network cards, does not have."""
    return [part for part in side if part not in other] or "(nothing that the other has not)"


def _value(side: Any) -> str:  # noqa: ANN401 - any JSON value
    import json

    if side is None:
        return "(not set)"
    return side if isinstance(side, str) else json.dumps(side, ensure_ascii=False)


def _require_ended(store: RunStore, *, force: bool) -> None:
    """Raise RunStateError for a run that is going on, or whose hosts may still hold what it made."""
    from benchctl.journal import is_open, read
    from benchctl.pipeline.hosts import hosts_made
    from benchctl.pipeline.recovery import left_open

    journal = store.path / "journal.jsonl"
    if is_open(journal):
        raise RunStateError(
            f"{store.id} is running",
            remedy="wait for its end (`benchctl logs RUN --follow` shows it), or interrupt it",
        )
    if force:
        return
    try:
        entries = read(journal)
        left = left_open(entries) or hosts_made(entries)
    except RunStateError as error:
        raise RunStateError(error.detail, remedy="what it left is not known; --force removes it") from error
    if left:
        raise RunStateError(
            f"{store.id} did not end well: what it made may still be on its hosts",
            remedy=f"`benchctl destroy {store.id}` first, or remove it with --force",
        )


def _row(store: RunStore) -> dict[str, Any]:
    from benchctl.pipeline.state import read_state

    try:
        state = read_state(store)
    except RunStateError as error:
        click.echo(f"warning: {error.detail}", err=True)
        unknown = {"trials_done": 0, "trials_planned": 0, "started": None}
        return {"run": store.id, "state": "unreadable", **unknown, "path": str(store.path)}
    return {
        "run": state.run,
        "state": state.state,
        "trials_done": state.trials_done,
        "trials_planned": state.trials_planned,
        "started": state.started,
        "path": str(store.path),
    }
