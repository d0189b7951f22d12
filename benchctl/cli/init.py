"""`benchctl init`: a first experiment file that validates, commented, or a package of one's own."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchctl.cli import options
from benchctl.cli.command import Command
from benchctl.errors import RunStateError, SpecError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchctl.cli.template import Wish

DEFAULT_NAME = "my-experiment"
DEFAULT_ROLE = "postgresql"
DEFAULT_BLOCKS = 10
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_SUFFIXES = {".yml", ".yaml"}
_FIRST_FACTORS = {
    "postgresql": "dbms.settings.synchronous_commit=on,off"
}  # what shows something at once; other roles begin with an A/A


@click.command(
    cls=Command,
    examples=(
        "benchctl init",
        "benchctl init pg-work-mem --role postgresql --factor dbms.settings.work_mem=4MB,64MB",
        "benchctl init sweep --factor workload.clients=1,4,16 --blocks 6",
        "benchctl init loader my_load",
        "benchctl init role my_db",
    ),
)
@click.argument("words", nargs=-1, metavar="[loader|role] [NAME]")
@click.option("--role", help=f"The system under test, or a load generator alone; default: {DEFAULT_ROLE}.")
@click.option(
    "--factor",
    "factors",
    multiple=True,
    metavar="PATH=VALUE,VALUE…",
    help="What varies, the baseline first; may be repeated.",
)
@click.option(
    "--blocks", type=click.IntRange(1, 10_000), help=f"Passes over all treatments; default: {DEFAULT_BLOCKS}."
)
@options.roles_path
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def init(
    words: tuple[str, ...],
    role: str | None,
    factors: tuple[str, ...],
    blocks: int | None,
    roles_paths: tuple[Path, ...],
    *,
    force: bool,
) -> None:
    """Write a commented experiment file to start from, or a package for a role of your own.

    NAME is the experiment's name; the file is NAME.yml in the current folder, or NAME is a path of its own.
    Without any argument, on a terminal, a few questions are asked. `init loader NAME` and
    `init role NAME` write a package benchctl-NAME in the current folder: role, module, case and tests, which
    pass as they are.
    """
    from benchctl.cli.template import Wish

    if words[:1] in {("loader",), ("role",)}:
        _package(words, plain=not (role or factors or blocks or roles_paths or force))
        return
    if len(words) > 1:
        raise UsageError(f"found {len(words)} names: {' '.join(words)}", remedy="see `benchctl init --help`")
    name = words[0] if words else None
    asked = name is None and role is None and not factors and blocks is None and sys.stdin.isatty()
    if asked:
        wish = _ask()
    else:
        chosen = role or DEFAULT_ROLE
        wish = Wish(_path(name or DEFAULT_NAME), chosen, factors or _first(chosen), blocks or DEFAULT_BLOCKS)
    if wish.path.exists() and not force:
        raise UsageError(
            f"{wish.path} is there already", remedy="choose another name, or replace it with --force"
        )
    _write(wish.path, _checked(wish, roles_paths), force=force)
    click.echo(str(wish.path))
    click.echo(
        f"Next: `benchctl plan {wish.path}` shows what it would do, `benchctl run {wish.path}` does it.",
        err=True,
    )


def _package(words: tuple[str, ...], *, plain: bool) -> None:
    from benchctl.cli.scaffold import scaffold

    kind, *names = words
    if len(names) != 1 or not plain:
        raise UsageError(
            f"init {kind} takes one name and no options",
            remedy=f"`benchctl init {kind} NAME`; an experiment of that name is `benchctl init ./{kind}`",
        )
    folder = scaffold(kind, names[0])
    click.echo(str(folder))
    click.echo(
        f"Next: `pip install -e '{folder}[dev]' && pytest {folder}`; {folder}/README.md says what to change.",
        err=True,
    )


def _ask() -> Wish:
    from benchctl.cli.template import Wish

    path = _path(click.prompt("Name of the experiment", default=DEFAULT_NAME, err=True))
    role = click.prompt("System under test (`benchctl roles list` shows all)", default=DEFAULT_ROLE, err=True)
    first = ",".join(_first(role)) or "none"
    factor = click.prompt("What varies, as path=baseline,other", default=first, err=True)
    blocks = click.prompt(
        "Blocks (passes over all treatments)",
        default=DEFAULT_BLOCKS,
        type=click.IntRange(1, 10_000),
        err=True,
    )
    return Wish(path, role, () if factor == "none" else (factor,), blocks)


def _first(role: str) -> tuple[str, ...]:
    return (_FIRST_FACTORS[role],) if role in _FIRST_FACTORS else ()


def _path(name: str) -> Path:
    """The file for a name or path. Raises UsageError for what cannot be the name of an experiment."""
    given = Path(name)
    path = (
        given if given.suffix in _SUFFIXES else given.with_name(f"{given.name}.yml") if given.name else given
    )
    if not _NAME.fullmatch(path.stem):
        raise UsageError(
            f"{path.stem!r} cannot be the name of an experiment",
            remedy="use lower-case letters, digits and hyphens, such as pg-work-mem",
        )
    return path


def _checked(wish: Wish, roles_paths: Sequence[Path]) -> str:
    """The text of the file, known to be valid. Raises UsageError with what the flags get wrong."""
    from benchctl.cli.template import experiment_lines, parts
    from benchctl.spec.load import parse
    from benchctl.spec.share import role_folders, with_plugins

    folders = with_plugins(role_folders(wish.path.parent, roles_paths))
    text = "\n".join(experiment_lines(wish, folders)) + "\n"
    try:
        parse(text, wish.path, roles_paths=roles_paths)
    except SpecError as error:
        shown = [
            f"`benchctl roles show {meta.name}`" for meta in parts(wish.role, folders) if meta is not None
        ]
        raise UsageError(
            f"what was asked for makes no valid experiment, and nothing is written:\n{error.detail}",
            remedy=f"{' and '.join(shown)} tell what may vary",
        ) from error
    return text


def _write(path: Path, text: str, *, force: bool) -> None:
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise RunStateError(f"{path}: {error.strerror}", remedy="name a file that you can write") from error
