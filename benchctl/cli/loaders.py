"""`benchctl loaders`: the load generators among the roles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchctl.cli import options
from benchctl.cli.command import Command, Group
from benchctl.cli.roles import complete_role, print_list, print_role

if TYPE_CHECKING:
    from pathlib import Path

KIND = "loader"


@click.group(cls=Group, examples=("benchctl loaders list", "benchctl loaders show pgbench"))
def loaders() -> None:
    """List and show the load generators."""


@loaders.command("list", cls=Command, examples=("benchctl loaders list",))
@options.roles_path
@options.as_json
def list_(roles_paths: tuple[Path, ...], *, as_json: bool) -> None:
    """List the load generators."""
    print_list(roles_paths, kind=KIND, as_json=as_json)


@loaders.command(cls=Command, examples=("benchctl loaders show pgbench",))
@click.argument("name", metavar="NAME", shell_complete=complete_role)
@options.roles_path
@options.as_json
def show(name: str, roles_paths: tuple[Path, ...], *, as_json: bool) -> None:
    """Show the options and metrics of a load generator."""
    print_role(name, roles_paths, kind=KIND, as_json=as_json)
