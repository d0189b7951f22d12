"""The keys of the experiment file as a page, from the shapes that the reader of experiments follows.

Must not hold facts of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from benchctl.spec.shapes import Field, Shape, experiment_shape
from benchctl.spec.walk import allowed

if TYPE_CHECKING:
    from collections.abc import Iterator

ABOUT = """Every key, section by section; [roles](roles.md) add their own to `dbms` and `workload`. Unknown
keys are errors. An editor that knows YAML shows all this from the [schema](experiment.schema.json).

- Durations, sizes and percentages have a unit: `60s`, `2.5ms`, `1GB`, `2%`. A version is a text in quotes.
- Paths start from the experiment's folder, with `--set` from the current one; `~` is the home folder.
  A `prefix` lies on the measured host: its path is absolute.
- A secret is named, never written: `{env: NAME}` or `{keyring: NAME}`.
- A command line is split into words as a shell splits them, or is a list of words; no shell reads it."""


def sections() -> Iterator[tuple[str, str, list[tuple[str, str, str, str]]]]:
    """Yield (title, introduction, rows of key, what may stand there, default, meaning)."""
    root = experiment_shape(None, None)
    plain = {name: field for name, field in root.fields.items() if not _below(field.shape)}
    yield "Top level", root.doc, [_row(name, field) for name, field in plain.items()]
    for name, field in root.fields.items():
        if name not in plain:
            yield from _section(name, field.shape)


def _section(name: str, shape: Shape) -> Iterator[tuple[str, str, list[tuple[str, str, str, str]]]]:
    if shape.variants is not None and shape.variants.key == "provider":
        for choice, variant in shape.variants.shapes.items():
            yield (
                f"`{name}`, provider {choice}",
                variant.doc,
                list(rows("", variant._replace(variants=None))),
            )
        return
    yield (
        f"`{name}`",
        shape.doc,
        list(rows("", shape.item if shape.kind == "list" and shape.item else shape)),
    )


def _below(shape: Shape) -> bool:
    """Whether a shape has keys of its own."""
    return bool(shape.fields) or bool(shape.item and _below(shape.item))


def rows(prefix: str, shape: Shape) -> Iterator[tuple[str, str, str, str]]:
    """Yield key, what may stand there, default and meaning of every key of a record, those inside too."""
    for name, field in shape.fields.items():
        path, inner = f"{prefix}{name}", field.shape
        if inner.kind == "record" and inner.fields:
            yield from rows(f"{path}.", inner)
        elif inner.item is not None and _below(inner.item):
            yield _row(path, field)
            yield from rows(f"{path}.{'NAME' if inner.kind == 'mapping' else '*'}.", inner.item)
        else:
            yield _row(path, field)


def _row(name: str, field: Field) -> tuple[str, str, str, str]:
    default = "required" if field.required else _default(field)
    kind = field.shape.kind
    return f"`{name}`", "a duration" if kind == "duration" else allowed(field.shape), default, field.shape.doc


def _default(field: Field) -> str:
    value: Any = field.default
    if value is msgspec.NODEFAULT or value is None or value in ((), {}):
        return ""
    if field.shape.kind == "duration":
        return f"`{value:g}s`"
    if field.shape.kind == "percent":
        return f"`{100 * value:g}%`"
    shown = str(value).lower() if isinstance(value, bool) else msgspec.to_builtins(value)
    return f"`{shown}`"
