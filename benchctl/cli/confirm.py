"""Asking before something large or final: on a terminal a question, elsewhere --yes."""

from __future__ import annotations

import sys

import click

from benchctl.errors import UsageError

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def confirm(question: str, *, yes: bool) -> None:
    """Return when the answer is yes; a no is exit code 1. Raises UsageError where nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} There is no terminal to ask on.", remedy="add --yes")
    if not click.confirm(question, err=True):
        click.echo("Nothing is done.", err=True)
        raise click.exceptions.Exit(1)


def byte_size(size: float) -> str:
    """Render bytes for people: `512 B`, `69.4 MiB`."""
    power = 0
    while size >= 1024 and power < len(_UNITS) - 1:
        size, power = size / 1024, power + 1
    return f"{size:.0f} B" if power == 0 else f"{size:.1f} {_UNITS[power]}"
