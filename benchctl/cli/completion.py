"""`benchctl completion`: the script that makes a shell complete verbs and options."""

from __future__ import annotations

import click

from benchctl.cli.command import Command

VARIABLE = "_BENCHCTL_COMPLETE"  # the shell sets it when it asks; click answers before any verb runs


@click.command(
    cls=Command,
    examples=(
        'eval "$(benchctl completion bash)"                                      # in ~/.bashrc',
        'eval "$(benchctl completion zsh)"                                       # in ~/.zshrc',
        "benchctl completion fish > ~/.config/fish/completions/benchctl.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for a shell."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"click knows no completion for {shell}")
    script = found(ctx.find_root().command, {}, "benchctl", VARIABLE)
    click.echo(script.source_template % script.source_vars())
