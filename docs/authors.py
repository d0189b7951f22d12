"""The page for authors of roles and load generators: meta/bench.yml, and the records of a module.

From the records, the shapes that a reader follows, and the shipped roles; must not hold facts of its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, get_args, get_type_hints

import msgspec

from benchctl.errors import SpecError
from benchctl.model.experiment import Workload
from benchctl.model.measurement import LoaderResult, Quantity, Window
from benchctl.model.role import Option, OptionType
from benchctl.spec.roles import read_role
from benchctl.spec.shapes import option_shape, role_shape
from benchctl.spec.share import roles_in
from benchctl.spec.walk import allowed
from docs.keys import rows
from docs.table import table

if TYPE_CHECKING:
    from collections.abc import Iterator

ROLES = Path(__file__).parents[1] / "roles"
_USUAL = 3  # load generators that have a metric, for it to be a usual one
_RECORDS = (Workload, Window, LoaderResult, Quantity)


def page(made: str) -> str:
    """All of it; `made` is the line that says where pages come from."""
    about = (
        "What a role says of itself in `meta/bench.yml`, and what the module of a load generator is given and"
        " returns. [How to add a load generator](../how-to/add-a-load-generator.md) and"
        " [a system under test](../how-to/add-a-role.md) show both at work."
    )
    parts = [
        made,
        "# Roles and modules of your own",
        about,
        "## `meta/bench.yml`",
        "Unknown keys are errors.",
    ]
    parts.append(table(("key", "what may stand there", "default", "meaning"), rows("", role_shape())))
    parts += ["## Types of options", table(("type", "what an experiment may say"), _types())]
    parts += ["## Records of a module", "From `benchctl.model.experiment` and `benchctl.model.measurement`."]
    for record in _RECORDS:
        title = f"### `{record.__name__}`"
        parts += [
            title,
            (record.__doc__ or "").split("\n")[0],
            table(("field", "type", "meaning"), _fields(record)),
        ]
    usual = (
        f"Names and units that {_USUAL} or more shipped load generators have; take them where they fit:"
        " series, gates and what hosts have together go by them."
    )
    parts += ["## Usual metrics", usual, table(("metric", "unit", "better"), _usual_metrics())]
    parts += ["## Refusals", "\n".join(_refusal())]
    return "\n\n".join(parts) + "\n"


def _types() -> Iterator[tuple[str, str]]:
    for name in get_args(OptionType):
        choices = ("a", "b") if name == "choice" else ()
        yield f"`{name}`", allowed(option_shape(Option(type=name, scope="run", doc="", choices=choices)))


def _fields(record: type[msgspec.Struct]) -> Iterator[tuple[str, str, str]]:
    plain = get_type_hints(record)
    for field in msgspec.structs.fields(record):
        schema = msgspec.inspect.type_info(field.type)
        extra = schema.extra_json_schema if isinstance(schema, msgspec.inspect.Metadata) else None
        kind = plain[field.name]
        name = kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)
        name = name.replace("benchctl.model.measurement.", "")
        yield (
            f"`{field.name}`",
            f"`{name}`",
            (extra or {}).get("description", ""),
        )


def _usual_metrics() -> list[tuple[str, str, str]]:
    found: dict[tuple[str, str, str], int] = {}
    for name in roles_in((ROLES,)):
        for metric in read_role(name, (ROLES,)).metrics:
            key = (f"`{metric.name}`", metric.unit, metric.better)
            found[key] = found.get(key, 0) + 1
    return sorted(key for key, count in found.items() if count >= _USUAL)


def _refusal() -> Iterator[str]:
    """A SpecError as a module raises it, and as people read it."""
    error = SpecError(
        "workload.threads: found 8, and only 4 clients", remedy="wrk gives each thread a client"
    )
    yield "`names` and `command` refuse options by SpecError, `parse` an output by ParseError, with its line:"
    yield ""
    yield "```python"
    yield f"raise SpecError({json.dumps(error.detail)}, remedy={json.dumps(error.remedy)})"
    yield "```"
