"""The table of contents of the command; a verb's module is imported when the verb is used."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, NamedTuple

import click

from benchctl import __version__
from benchctl.cli.command import WithExamples
from benchctl.cli.streams import prepare_streams, to_nowhere
from benchctl.errors import BenchctlError, FileError, InterruptedRunError, UsageError

FILE_REMEDY = "check that it is there, that you may use it, and that its file system has room"


class Verb(NamedTuple):
    module: str
    help: str  # the verb's own first line; a test compares them


VERBS = {
    "run": Verb("run", "Run an experiment: provision, configure, benchmark, collect, destroy."),
    "resume": Verb("resume", "Go on with a run that was interrupted or failed."),
    "init": Verb(
        "init", "Write a commented experiment file to start from, or a package for a role of your own."
    ),
    "plan": Verb("plan", "Show what a run would do and how long it takes."),
    "validate": Verb("validate", "Check an experiment file; every error with its place."),
    "provision": Verb("steps", "Make the run of an experiment and its hosts."),
    "configure": Verb("steps", "Bring the hosts of a run to the wanted state."),
    "benchmark": Verb("steps", "Run the trials of a run that are missing."),
    "collect": Verb("steps", "Fetch host-level files of a run."),
    "destroy": Verb("steps", "Give the hosts of a run back; safe to repeat."),
    "report": Verb("report", "Show what a run found."),
    "compare": Verb("compare", "Compare two sides, inside one run or across runs."),
    "status": Verb("status", "Show how far a run is."),
    "logs": Verb("logs", "Show what happened in a run, line by line."),
    "runs": Verb("runs", "List, show, compare, export and remove runs."),
    "clean": Verb("clean", "Remove what benchctl keeps on this machine for later runs."),
    "hosts": Verb("hosts", "Look at hosts outside of runs, tune them and give them back."),
    "knobs": Verb("knobs", "List, show and explain the host settings that tuning owns."),
    "janitor": Verb("janitor", "List what runs left behind at a provider, and remove it when asked to."),
    "doctor": Verb("doctor", "Check what this machine needs, with a remedy for each finding."),
    "roles": Verb("roles", "List and show the roles that an experiment may name, or a playbook of yours."),
    "loaders": Verb("loaders", "List and show the load generators."),
    "schema": Verb("schema", "Print the JSON Schema of the experiment file."),
    "completion": Verb("completion", "Print the completion script for a shell."),
}


class LazyGroup(WithExamples, click.Group):
    """Knows its verbs without importing them: start-up stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        module = import_module(f"benchctl.cli.{VERBS[cmd_name].module}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # before click turns it into exit code 1
            return _closed_stdout()

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], VERBS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.help) for name, verb in VERBS.items()])


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, message="benchctl %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option("-v", "--verbose", is_flag=True, help="Tell more of what happens.")
@click.pass_context
def cli(ctx: click.Context, *, debug: bool, verbose: bool) -> None:
    """From one experiment file to a number you can defend."""
    ctx.obj = {"debug": debug, "verbose": verbose}


def main() -> None:
    """Run the command and exit with its code; no traceback reaches a user without --debug."""
    prepare_streams()
    sys.exit(_code(debug="--debug" in sys.argv[1:]))


def _code(*, debug: bool) -> int:
    try:
        code = cli.main(standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        with suppress(OSError):  # nobody reads it; the exit code says it too
            error.show()
        return error.exit_code
    except BrokenPipeError:
        return _closed_stdout()
    except Exception as error:
        if debug:
            raise
        return _failed(error)
    return code if isinstance(code, int) else 0


def _failed(error: Exception) -> int:
    """Say what failed; what is neither an error of benchctl's own nor of files is a defect, said as one."""
    if isinstance(error, UnicodeEncodeError):
        error = UsageError(f"{error.object!a}: not text in UTF-8", remedy="rename it, or use a UTF-8 locale")
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        error = FileError(f"{where}{error.strerror or error}", remedy=FILE_REMEDY)
    if isinstance(error, BenchctlError):
        _say(f"benchctl: {error}")
        return _exit_code(error)
    _say(f"benchctl: a defect of benchctl: {type(error).__name__}: {error}")
    _say("To do: run it again with `benchctl --debug …` and report what it prints.")
    return 1


def _say(text: str) -> None:
    with suppress(OSError):  # a stderr that nobody reads does not change the exit code
        click.echo(text, err=True)


def _exit_code(error: BenchctlError) -> int:
    if isinstance(error, InterruptedRunError):
        return 128 + error.signal_number
    return error.exit_code


def _closed_stdout() -> int:
    """Whoever read our output went away; nothing is wrong, and Python must not complain at its end."""
    to_nowhere(sys.stdout.fileno())
    return 0


def settings(ctx: click.Context) -> dict[str, Any]:
    """The group's own options, as every verb sees them."""
    found: dict[str, Any] = ctx.find_root().obj
    return found
