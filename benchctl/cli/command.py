"""click commands that show examples in their help, as data that the reference pages read too."""

from __future__ import annotations

from typing import Any

import click

from benchctl.cli.streams import lasting_streams


class WithExamples(click.Command):
    """`examples` are whole command lines, shown as they are below the options."""

    def __init__(self, *args: Any, examples: tuple[str, ...] = (), **kwargs: Any) -> None:  # noqa: ANN401
        """Take click's own arguments and the examples."""
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{example}\n")


class Command(WithExamples):
    """A verb."""


class LastingCommand(Command):
    """A verb that works on hosts: it goes on, and ends with its own exit code, when nobody reads on."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        with lasting_streams():
            return super().invoke(ctx)


class Group(WithExamples, click.Group):
    """A noun with verbs of its own."""
