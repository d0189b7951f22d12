"""The form of a file as data, derived from the records: the walker follows it, the JSON Schema shows it.

The only place that knows how the YAML surface differs from the records: units as text, a role's options
inline, factors as a mapping, the provider beside the hosts' keys. Must not read files.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
from msgspec import inspect

from benchctl.model.experiment import Experiment
from benchctl.model.role import RoleMeta

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchctl.model.role import Option

Kind = Literal[
    "string", "version", "integer", "number", "boolean", "duration", "size", "percent", "choice", "file",
    "scalar", "value", "list", "mapping", "record", "factors",
]  # fmt: skip


class Shape(NamedTuple):
    """What may stand at one place."""

    kind: Kind
    doc: str = ""
    minimum: float | None = None
    maximum: float | None = None
    below: float | None = None
    pattern: str = ""
    choices: tuple[str, ...] = ()
    item: Shape | None = None
    fields: Mapping[str, Field] = {}
    open: bool = False  # a record whose role could not be read: unknown keys are not this file's fault


class Field(NamedTuple):
    """A key of a record; `inline` ones are a role's options, which the record keeps apart."""

    shape: Shape
    required: bool = False
    inline: bool = False
    default: Any = msgspec.NODEFAULT


SCALAR = Shape("scalar")
VALUE = Shape("value")


def experiment_shape(dbms: RoleMeta | None, workload: RoleMeta | None) -> Shape:
    """Return the shape of an experiment file for two roles; None leaves that part's options unchecked."""
    base = _of(inspect.type_info(Experiment))
    fields = dict(base.fields)
    fields["hosts"] = fields["hosts"]._replace(shape=_with_provider(fields["hosts"].shape))
    for key, meta in (("dbms", dbms), ("workload", workload)):
        fields[key] = fields[key]._replace(shape=with_options(fields[key].shape, meta))
    fields["factors"] = fields["factors"]._replace(
        shape=Shape(
            "factors", "what the experiment varies: a path with its levels, or a name with labelled levels"
        )
    )
    return base._replace(fields=fields)


@cache
def role_shape() -> Shape:
    """Return the shape of a role's meta/bench.yml."""
    return _of(inspect.type_info(RoleMeta))


def option_shape(option: Option) -> Shape:
    """Return the shape of a role's option."""
    if option.type == "list":
        return Shape("list", option.doc, item=SCALAR)
    if option.type == "mapping":
        return Shape("mapping", option.doc, item=SCALAR)
    return Shape(option.type, option.doc, option.minimum, option.maximum, choices=option.choices)


def with_options(record: Shape, meta: RoleMeta | None) -> Shape:
    """Return a record's shape with a role's options inline in place of `options`."""
    fields = {name: field for name, field in record.fields.items() if name != "options"}
    if meta is None:
        return record._replace(fields=fields, open=True)
    if meta.settings is None:
        fields.pop("settings", None)
    for name, option in meta.options.items():
        default = msgspec.NODEFAULT if option.default is None else option.default
        fields[name] = Field(option_shape(option), inline=True, default=default)
    return record._replace(fields=fields)


def _with_provider(hosts: Shape) -> Shape:
    provider = Shape("choice", "where the hosts come from", choices=("local",))
    return hosts._replace(fields={"provider": Field(provider, default="local"), **hosts.fields})


def _of(kind: inspect.Type, doc: str = "", unit: str = "") -> Shape:
    match kind:
        case inspect.Metadata():
            doc = (kind.extra_json_schema or {}).get("description", doc)
            shape = _of(kind.type, doc, (kind.extra or {}).get("unit", unit))
        case inspect.StructType():
            fields = {field.name: _field(field) for field in kind.fields}
            shape = Shape("record", doc or _first_line(kind.cls), fields=fields)
        case inspect.VarTupleType():
            shape = Shape("list", doc, item=_of(kind.item_type))
        case inspect.DictType():
            shape = Shape("mapping", doc, item=_of(kind.value_type))
        case inspect.UnionType():
            shape = _of_union(kind, doc, unit)
        case _:
            shape = _of_scalar(kind, doc, unit)
    return shape


def _of_union(kind: inspect.UnionType, doc: str, unit: str) -> Shape:
    members = [member for member in kind.types if not isinstance(member, inspect.NoneType)]
    if len(members) == 1:
        return _of(members[0], doc, unit)
    nested = any(isinstance(member, inspect.DictType | inspect.VarTupleType) for member in members)
    return (VALUE if nested else SCALAR)._replace(doc=doc)


def _of_scalar(kind: inspect.Type, doc: str, unit: str) -> Shape:
    match kind:
        case inspect.LiteralType():
            shape = Shape("choice", doc, choices=tuple(str(value) for value in kind.values))
        case inspect.BoolType():
            shape = Shape("boolean", doc)
        case inspect.StrType():
            shape = Shape("string", doc, pattern=kind.pattern or "")
        case inspect.IntType():
            shape = Shape("integer", doc, kind.ge, kind.le, kind.lt)
        case inspect.FloatType():
            word: Kind = "duration" if unit == "duration" else "percent" if unit == "percent" else "number"
            shape = Shape(word, doc, kind.ge, kind.le, kind.lt)
        case _:
            raise NotImplementedError(kind)
    return shape


def _field(field: inspect.Field) -> Field:
    return Field(_of(field.type), required=field.required, default=field.default)


def _first_line(record: type) -> str:
    return (record.__dict__.get("__doc__") or "").strip().partition("\n")[0]
