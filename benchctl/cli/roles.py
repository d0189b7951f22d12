"""`benchctl roles`, and what `benchctl loaders` shares with it: the roles as they describe themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchctl.cli import options
from benchctl.cli.command import Command, Group

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchctl.model.role import MetricDoc, Option, RoleMeta


def complete_role(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the roles that begin with what was typed."""
    from benchctl.spec.share import role_folders, roles_in, with_plugins

    known = roles_in(with_plugins(role_folders(Path(), context.params.get("roles_paths") or ())))
    return [name for name in known if name.startswith(incomplete)]


@click.group(cls=Group, examples=("benchctl roles list", "benchctl roles show postgresql"))
def roles() -> None:
    """List and show the roles that an experiment may name, or a playbook of yours."""


@roles.command(
    "list", cls=Command, examples=("benchctl roles list", "benchctl roles list --roles-path ./roles")
)
@options.roles_path
@options.as_json
def list_(roles_paths: tuple[Path, ...], *, as_json: bool) -> None:
    """List all roles: systems under test, load generators, and those that tune hosts."""
    print_list(roles_paths, kind=None, as_json=as_json)


@roles.command(cls=Command, examples=("benchctl roles show postgresql", "benchctl roles show pgbench --json"))
@click.argument("name", metavar="NAME", shell_complete=complete_role)
@options.roles_path
@options.as_json
def show(name: str, roles_paths: tuple[Path, ...], *, as_json: bool) -> None:
    """Show what an experiment may say to a role, and what it reports or sets."""
    print_role(name, roles_paths, kind=None, as_json=as_json)


def print_list(roles_paths: Sequence[Path], *, kind: str | None, as_json: bool) -> None:
    """Print the roles of a kind (None: all); a role that is wrong is told on stderr and left out."""
    import json

    from benchctl.report.text import clean
    from benchctl.spec.share import broken_plugins, find_role, origin, role_folders, with_plugins

    folders = with_plugins(role_folders(Path(), roles_paths))
    found = list(_readable(folders, kind))
    for problem in (
        *broken_plugins(),
        *(_without_module(meta.name) for meta in found if meta.kind == "loader"),
    ):
        if problem:
            click.echo(f"warning: {problem}", err=True)
    origins = {meta.name: origin(found_in) for meta in found if (found_in := find_role(meta.name, folders))}
    if as_json:
        rows = [
            {"name": meta.name, "kind": meta.kind, "doc": meta.doc, "origin": origins[meta.name]}
            for meta in found
        ]
        click.echo(json.dumps({"schema": 1, "roles": rows}, indent=2))
        return
    width = max((len(meta.name) for meta in found), default=0)
    for meta in found:
        words = f"{meta.name:<{width}}  " if kind else f"{meta.name:<{width}}  {meta.kind:<7}  "
        place = "" if origins[meta.name] == "benchctl" else f" [{clean(origins[meta.name])}]"
        click.echo(f"{words}{clean(meta.doc)}{place}")


def print_role(name: str, roles_paths: Sequence[Path], *, kind: str | None, as_json: bool) -> None:
    """Print all of one role. Raises UsageError for an unknown one or another kind, SpecError."""
    import json

    from msgspec import to_builtins

    from benchctl.errors import UsageError
    from benchctl.spec import read_role
    from benchctl.spec.problems import did_you_mean
    from benchctl.spec.share import find_role, origin, role_folders, roles_in, with_plugins

    folders = with_plugins(role_folders(Path(), roles_paths))
    folder = find_role(name, folders)
    if folder is None:
        known = roles_in(folders)
        raise UsageError(
            f"there is no role {name!r}{did_you_mean(name, known)}",
            remedy=f"name one of {', '.join(known)}, or the folder of your own roles by --roles-path",
        )
    meta = read_role(name, folders)
    if kind is not None and meta.kind != kind:
        raise UsageError(
            f"{name} is a role of kind {meta.kind}, not {kind}", remedy=f"see `benchctl roles show {name}`"
        )
    if as_json:
        click.echo(json.dumps({"schema": 1, **to_builtins(meta), "origin": origin(folder)}, indent=2))
    else:
        click.echo("\n".join([*_text(meta), f"\nFrom {origin(folder)}"]))


def _without_module(name: str) -> str:
    """What keeps a load generator's role from being used; empty when nothing does."""
    from benchctl.errors import UnfitError, UsageError
    from benchctl.loaders import get

    try:
        get(name)
    except UsageError:
        return f"the role {name} has no module: a package brings one by the entry point benchctl.loaders"
    except UnfitError as error:
        return error.detail
    return ""


def _readable(folders: Sequence[Path], kind: str | None) -> Iterator[RoleMeta]:
    from benchctl.errors import SpecError
    from benchctl.spec import read_role
    from benchctl.spec.share import roles_in

    for name in roles_in(folders):
        try:
            meta = read_role(name, folders)
        except SpecError as error:
            click.echo(f"warning: {error.detail}", err=True)
            continue
        if kind in {None, meta.kind}:
            yield meta


def _text(meta: RoleMeta) -> Iterator[str]:
    from benchctl.report.text import clean

    part = "workload" if meta.kind == "loader" else meta.kind
    yield f"{meta.name} ({meta.kind})"
    yield clean(meta.doc)
    if meta.drives:
        yield f"Drives: {', '.join(meta.drives)}"
    if meta.options:
        yield f"\nOptions, as {part}.NAME in an experiment or a factor"
        for name, option in meta.options.items():
            yield f"  {name:<12} {_about(option)}"
            yield f"  {'':<12} {clean(option.doc)}"
    if meta.settings:
        yield f"\nSettings: {part}.settings.NAME takes any name; scope {meta.settings}"
    if meta.metrics:
        yield "\nMetrics"
        width = max(len(metric.name) for metric in meta.metrics)
        for metric in meta.metrics:
            yield f"  {metric.name:<{width}}  {_metric(metric)}"
    if meta.area:
        from benchctl.agent.knobs import KNOBS

        names = [knob.name for knob in KNOBS.values() if knob.area == meta.area and knob.acts]
        yield f"\nKnobs, as `benchctl knobs show NAME` tells them\n  {', '.join(names)}"
    if meta.options or meta.settings:
        yield "\nA changed value costs, by scope: install another instance, prepare another data image,"
        yield "start a restart (every trial has one anyway), run nothing."


def _about(option: Option) -> str:
    kind = f"one of {', '.join(option.choices)}" if option.type == "choice" else option.type
    if option.type == "file" and option.choices:
        kind = f"file, or {', '.join(option.choices)}"
    words = [kind, f"scope {option.scope}"]
    if option.required:
        words.append("required")
    words += [f"required with {other} {value}" for other, value in option.needed_with.items()]
    words += [f"only with {other} {value}" for other, value in option.only_with.items()]
    if option.default is not None:
        words.append(f"default {_value(option.default)}")
    words += [
        f"default {_value(default)} with {other} {value}"
        for other, values in option.default_with.items()
        for value, default in values.items()
    ]
    if option.example is not None:
        words.append(f"such as {_value(option.example)}")
    if option.minimum is not None:
        words.append(f"at least {option.minimum:g}")
    if option.maximum is not None:
        words.append(f"at most {option.maximum:g}")
    return "; ".join(words)


def _metric(metric: MetricDoc) -> str:
    from benchctl.report.text import clean

    compared = (
        "" if metric.delta is None else f"; compared by default, equivalent within {100 * metric.delta:g} %"
    )
    doc = f"; {clean(metric.doc)}" if metric.doc else ""
    return f"{metric.unit}, {metric.better} is better{doc}{compared}"


def _value(value: Any) -> str:  # noqa: ANN401 - any value of an option
    import json

    from msgspec import to_builtins

    return json.dumps(to_builtins(value), ensure_ascii=False)
