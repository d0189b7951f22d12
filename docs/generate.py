"""Make the generated pages of docs/reference from the code: command, roles, the experiment's schema, knobs.

`python -m docs.generate` writes them; with `--check` it writes nothing and fails when a page is not what the
code says. Must not hold facts of its own.
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchctl.agent.knob import Knob, allowed
from benchctl.agent.knobs import AREAS, CONFLICTS, KNOBS
from benchctl.agent.profiles import PROFILES
from benchctl.cli.main import cli
from benchctl.spec import json_schema
from docs import authors, catalogue, outcomes, roles, tuning_peers
from docs.keys import ABOUT, sections
from docs.table import table

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
MADE = "<!-- Made by `make docs` from the code; do not edit. -->"
_PROFILES = [name for name, values in PROFILES.items() if values]
_TITLES = {"cpu": "CPU"}


def pages() -> dict[Path, str]:
    """Every generated page and what it must contain."""
    return {
        REFERENCE / "cli.md": command_page(),
        **roles.pages(REFERENCE, MADE),
        REFERENCE / "catalogue.md": catalogue_page(),
        REFERENCE / "experiment.md": experiment_page(),
        REFERENCE / "role-description.md": authors.page(MADE),
        REFERENCE / "knobs.md": knobs_page(),
        REFERENCE / "knob-outcomes.md": outcomes_page(),
        REFERENCE / "tuning-peers.md": "\n\n".join([MADE, *tuning_peers.parts()]) + "\n",
        REFERENCE / "experiment.schema.json": json.dumps(json_schema(), indent=2) + "\n",
    }


def command_page() -> str:
    """The command with all its verbs, from the click tree."""
    context = click.Context(cli, info_name="benchctl")
    about = (
        "Data goes to stdout, messages and progress to stderr. [Exit codes](exit-codes.md) and"
        " [what `--json` prints](json.md) have pages of their own."
    )
    parts = [MADE, "# The command", about, *_command(cli, context, level=2)]
    return "\n\n".join(parts) + "\n"


def catalogue_page() -> str:
    """Every pair of DBMS and load generator, with what came out of a short run."""
    made_by = " and ".join(f"`{path}`" for path in catalogue.MADE_BY)
    about = (
        "Every DBMS under every load generator that drives it, each pair run by `benchctl run` on two"
        f" containers of one machine for a few seconds ({made_by}). The figures show that a pair"
        " works and what its steps cost there; they say nothing about how the systems compare. Install has"
        " Ansible's whole converge in it, on hosts where other pairs of the same DBMS may have been before;"
        " prepare is the data image, made once; reset is its clone for a trial."
    )
    parts = [MADE, "# Catalogue", about, table(catalogue.TITLES, catalogue.rows())]
    if left_out := list(catalogue.left_out()):
        parts += ["## Without figures", table(("DBMS", "load generator", "because"), left_out)]
    return "\n\n".join(parts) + "\n"


def experiment_page() -> str:
    """The keys of the experiment file."""
    parts = [MADE, "# The experiment file", ABOUT]
    for title, about, rows in sections():
        parts += [f"## {title}", *([about] if about else [])]
        parts.append(table(("key", "what may stand there", "default", "meaning"), rows))
    return "\n\n".join(parts) + "\n"


def knobs_page() -> str:
    """The knobs by area, the profiles, and what excludes what."""
    about = (
        "The host settings that tuning owns, a row each. Those that are set are also verified and restored;"
        " the others are only recorded. Number is the row of the list of 53 that makes a host fit to measure"
        " on. Effect: L can move results by more than 5 %, M by 1 to 5 %, S by less, T mostly the tail of"
        " latency, V the validity of a result rather than its noise."
    )
    words = (
        "`base` is the frequency that a CPU keeps without boost, `max` its highest, `housekeeping` the CPUs"
        " kept for everything but what is measured, `device` what fits the kind of disk. All need root. The"
        " profile `none` sets nothing."
    )
    parts = [MADE, "# Knobs", about, words]
    for area in AREAS:
        rows = [_knob(knob) for knob in KNOBS.values() if knob.area == area]
        titles = ("knob", "number", "effect", "what it is", "may be set to", *_PROFILES, "costs")
        parts += [f"## {_TITLES.get(area, area.capitalize())}", table(titles, rows)]
    rows = [(f"`{knob.name}`", _places(knob), knob.source) for knob in KNOBS.values()]
    parts += ["## Where they are", table(("knob", "where", "after"), rows)]
    rows = [
        (f"`{one.one}`", _set_to(one.one_value), f"`{one.other}`", _set_to(one.other_value), one.reason)
        for one in CONFLICTS
    ]
    parts += ["## Conflicts", table(("knob", "set to", "excludes", "set to", "because"), rows)]
    return "\n\n".join(parts) + "\n"


def outcomes_page() -> str:
    """What became of each knob on the generated machines and on the virtual one."""
    found = outcomes.outcomes()
    about = (
        f"What became of every knob when each machine was tuned with the profile `{outcomes.PROFILE}`; of"
        " knobs that the profile leaves alone only whether the machine has them. The first machines are"
        " generated after the kernel's documentation (`tests/machines.py`) and take writes by its rules"
        " (`tests/kernel.py`); `vm` is a virtual machine with a kernel of its own, as its test recorded it"
        f" (`{outcomes.MADE_BY}`). Where the places of a knob differ, the worst counts: 32/40 are 32 of 40."
    )
    rows = [
        (f"`{name}`", str(knob.number), *(outcomes_of.get(name, "") for outcomes_of in found.values()))
        for name, knob in KNOBS.items()
    ]
    parts = [MADE, "# Knobs on different machines", about, table(("knob", "number", *found), rows)]
    shown = ", ".join(f"`{name}`" for name in outcomes.only_real(found))
    told = (
        "The virtual machine has none of these, some for want of hardware, some because no package brings"
        " them; that a kernel keeps to their rules only a real machine can show"
    )
    parts += ["## What only a real machine can show", f"{told}: {shown}."]
    return "\n\n".join(parts) + "\n"


def _knob(knob: Knob) -> tuple[str, ...]:
    named = [PROFILES[name].get(knob.name) for name in _PROFILES]
    values = ["" if value is None else f"`{value}`" for value in named]
    may = allowed(knob) + (f": {knob.why}" if knob.why else "")
    return (f"`{knob.name}`", str(knob.number), knob.effect, knob.doc, may, *values, knob.cost)


def _places(knob: Knob) -> str:
    shown = [f"`{place.path}`" for place in knob.places]
    beside = [f"`{path}`" for place in knob.places for path in place.beside]
    return "<br>".join(shown) + (f"<br>restored with it: {', '.join(beside)}" if beside else "")


def _set_to(pattern: str) -> str:
    return {"*": "anything", "": "left alone"}.get(pattern, pattern.replace("!", "anything but "))


def _command(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    yield f"{'#' * level} `{context.command_path}`"
    if command.help:
        yield inspect.cleandoc(command.help)
    yield f"```\n{' '.join([context.command_path, *command.collect_usage_pieces(context)])}\n```"
    rows = [option for parameter in command.params if (option := _option(parameter, context))]
    if rows:
        yield table(("option", "meaning"), rows)
    examples: tuple[str, ...] = getattr(command, "examples", ())
    if examples:
        yield "Examples:\n\n```\n{}\n```".format("\n".join(examples))
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None:
                inner = click.Context(found, info_name=name, parent=context)
                yield from _command(found, inner, min(level + 1, 4))


def _option(parameter: click.Parameter, context: click.Context) -> tuple[str, str] | None:
    record = parameter.get_help_record(context)
    return None if record is None or not record[1] else (f"`{record[0]}`", record[1])


def main(arguments: list[str]) -> int:
    """Write the pages, or with --check name those that differ; return the exit code."""
    made = pages()
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python -m docs.generate [--check]\n")
        return 2
    stale = [path for path, text in made.items() if not path.exists() or path.read_text("utf-8") != text]
    gone = sorted({*ROOT.glob("docs/reference/roles/*.md")} - {*made})
    if arguments:
        for path in (*stale, *gone):
            sys.stderr.write(f"{path.relative_to(ROOT)}: not what the code says; run `make docs`\n")
        return 1 if stale or gone else 0
    for path in gone:
        path.unlink()
        sys.stdout.write(f"removed {path.relative_to(ROOT)}\n")
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text(made[path], encoding="utf-8")
        sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
