"""Options that several verbs share, each declared once."""

from __future__ import annotations

from pathlib import Path

import click


def complete_run(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the runs of the workspace that begin with what was typed."""
    from benchctl.results.workspace import list_runs
    from benchctl.results.workspace import workspace as default_workspace

    try:
        known = [run.id for run in list_runs(default_workspace(context.params.get("workspace")))]
    except OSError:
        return []
    return [name for name in ["latest", *known] if name.startswith(incomplete)]


workspace = click.option(
    "--workspace",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that holds runs/; else BENCHCTL_WORKSPACE, else the current one.",
)
sets = click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="PATH=VALUE",
    help="Override a value of the experiment, such as design.blocks=4; may be repeated.",
)
roles_path = click.option(
    "--roles-path",
    "roles_paths",
    multiple=True,
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Folder with roles of your own, looked up before the shipped ones; may be repeated.",
)
as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON (versioned, documented) on stdout."
)
keep = click.option("--keep", is_flag=True, help="Do not destroy: leave the hosts as they are at the end.")
force = click.option("--force", is_flag=True, help="Let Ansible converge even when nothing changed.")
wait = click.option(
    "--wait", is_flag=True, help="Wait for a host that another run holds, instead of failing."
)
yes = click.option("--yes", is_flag=True, help="Do not ask; needed where there is no terminal.")
experiment = click.argument("experiment", metavar="EXPERIMENT")
run = click.argument("run", metavar="RUN", shell_complete=complete_run)
