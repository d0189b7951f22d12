"""The form of a file as data, derived from the records: the walker follows it, the JSON Schema shows it.

The only place that knows how the YAML surface differs from the records: units as text, a role's options
inline, factors as a mapping, the provider beside the hosts' keys. Must not read files.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import msgspec
from msgspec import inspect

from benchctl.model.experiment import Experiment, Hosts
from benchctl.model.role import RoleMeta

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from benchctl.model.role import Option

Kind = Literal[
    "string", "version", "integer", "number", "boolean", "duration", "size", "percent", "choice", "file",
    "scalar", "value", "list", "mapping", "record", "factors", "text", "words", "line", "path", "secret",
]  # fmt: skip


class Shape(NamedTuple):
    """What may stand at one place."""

    kind: Kind
    doc: str = ""
    minimum: float | None = None
    maximum: float | None = None
    below: float | None = None
    pattern: str = ""
    words: str = ""  # the pattern for people
    choices: tuple[str, ...] = ()
    item: Shape | None = None
    fields: Mapping[str, Field] = {}
    open: bool = False  # a record whose role could not be read: unknown keys are not this file's fault
    others: Mapping[str, str] = {}  # keys that have their place elsewhere -> where
    variants: Variants | None = None  # a record whose keys depend on the value of one of them


class Variants(NamedTuple):
    """The shapes of a record by the text of one of its keys; the first is the one without that key."""

    key: str
    shapes: Mapping[str, Shape]


class Field(NamedTuple):
    """A key of a record; `inline` ones are a role's options, which the record keeps apart."""

    shape: Shape
    required: bool = False
    inline: bool = False
    default: Any = msgspec.NODEFAULT


SCALAR = Shape("scalar")
VALUE = Shape("value")
_INSTEAD = dict.fromkeys(("dbms", "workload"), "a key beside stages, which are all there is to run")
_WITH_STAGES = {"pipeline": "the order of stages, and no stages"}
_INSTALLS = "an option that installs the load generator, of which a host holds one for all trials"
_TEXTS: dict[str, Kind] = {"text": "text", "path": "path", "file": "file"}  # by the unit of a record's text


def experiment_shape(
    dbms: RoleMeta | None,
    workload: RoleMeta | None,
    *,
    staged: bool | None = None,
    installed: Iterable[RoleMeta] = (),
) -> Shape:
    """Return the shape of an experiment file.

    Args:
        dbms: the role of the system under test; None leaves its options unchecked.
        workload: the load generator's role; None leaves its options unchecked.
        staged: whether the file has stages, in place of dbms and workload; None is the shape of both.
        installed: the roles that stages install; others have unchecked options.
    """
    known = msgspec.structs.fields(Experiment)
    fields = {
        one.name: Field(
            _hosts() if one.name == "hosts" else _of(inspect.type_info(one.type)),
            required=one.required,
            default=one.default,
        )
        for one in known
    }
    base = Shape("record", _first_line(Experiment), fields=fields)
    fields["stages"] = fields["stages"]._replace(shape=_stages(fields["stages"].shape, installed))
    for key, meta in (("dbms", dbms), ("workload", workload)):
        fields[key] = fields[key]._replace(shape=with_options(fields[key].shape, meta))
    fields["factors"] = fields["factors"]._replace(
        shape=Shape(
            "factors", "what the experiment varies: a path with its levels, or a name with labelled levels"
        )
    )
    if staged is None:
        return base._replace(fields=fields)
    needed, others = ("stages", _INSTEAD) if staged else ("workload", _WITH_STAGES)
    fields[needed] = fields[needed]._replace(required=True)
    kept = {name: field for name, field in fields.items() if name not in others}
    return base._replace(fields=kept, others=others)


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
    if option.type == "folder":
        return Shape("string", option.doc, pattern="^/", words="an absolute path on the measured host")
    return Shape(option.type, option.doc, option.minimum, option.maximum, choices=option.choices)


def varied(workload: Field, meta: RoleMeta) -> Field:
    """Return a load generator's section without what installs it, which no factor may set."""
    install = {name for name, option in meta.options.items() if option.scope == "install"}
    kept = {name: field for name, field in workload.shape.fields.items() if name not in install}
    return workload._replace(
        shape=workload.shape._replace(fields=kept, others=dict.fromkeys(install, _INSTALLS))
    )


def with_install_options(record: Shape, meta: RoleMeta) -> Shape:
    """Return the shape of an `install` with the options of a role that shape its installation."""
    options = {name: option for name, option in meta.options.items() if option.scope == "install"}
    return with_options(record, msgspec.structs.replace(meta, options=options))


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


class _Providers(Mapping[str, "Shape"]):
    """A record for each provider, made when it is asked for: all of them cost as much as the rest."""

    def __init__(self) -> None:
        self._records: dict[str, type[Hosts]] = {
            record.__struct_config__.tag: record for record in get_args(Hosts)
        }

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, name: str) -> Shape:
        record = self._records[name]
        shape = _of(inspect.type_info(record))
        groups = shape.fields["groups"]
        item = (groups.shape.item or SCALAR)._replace(others=self._of_others(lambda one: one.group, record))
        provider = Field(
            Shape("choice", "where the hosts come from", choices=tuple(self)), default=next(iter(self))
        )
        fields = {"provider": provider, **shape.fields}
        fields["groups"] = groups._replace(shape=groups.shape._replace(item=item))
        return shape._replace(fields=fields, others=self._of_others(lambda one: one, record))

    def _of_others(
        self, part: Callable[[type[Hosts]], type[msgspec.Struct]], record: type[Hosts]
    ) -> dict[str, str]:
        """Return the keys that only other providers have there, each with a word of whose it is."""
        whose: dict[str, list[str]] = {}
        for name, other in self._records.items():
            for key in set(part(other).__struct_fields__) - set(part(record).__struct_fields__):
                whose.setdefault(key, []).append(name)
        return {key: f"a key of provider: {', '.join(names)}" for key, names in whose.items()}


def _hosts() -> Shape:
    providers = _Providers()
    return providers[next(iter(providers))]._replace(variants=Variants("provider", providers))


def _stages(stages: Shape, installed: Iterable[RoleMeta]) -> Shape:
    """A task's command line is one text when a shell gets it, else words; a role has options of its own."""
    stage = stages.item or SCALAR
    install = stage.fields["install"]
    roles = {meta.name: with_install_options(install.shape, meta) for meta in installed}
    any_role = with_options(install.shape, None)
    install = install._replace(shape=any_role._replace(variants=Variants("role", {"": any_role, **roles})))
    tasks = stage.fields["tasks"]
    task = tasks.shape.item or SCALAR
    run = task.fields["run"]
    line = task._replace(fields={**task.fields, "run": run._replace(shape=run.shape._replace(kind="line"))})
    task = task._replace(variants=Variants("shell", {"false": task, "true": line}))
    tasks = tasks._replace(shape=tasks.shape._replace(item=task))
    return stages._replace(item=stage._replace(fields={**stage.fields, "tasks": tasks, "install": install}))


def _of(kind: inspect.Type, doc: str = "", unit: str = "") -> Shape:
    match kind:
        case inspect.Metadata():
            doc = (kind.extra_json_schema or {}).get("description", doc)
            extra = kind.extra or {}
            shape = _of(kind.type, doc, extra.get("unit", unit))
            shape = shape._replace(words=extra.get("words", shape.words))
            shape = shape._replace(choices=extra.get("choices", shape.choices))
        case _ if unit in {"words", "secret"} and not isinstance(kind, inspect.UnionType):
            shape = Shape("words" if unit == "words" else "secret", doc)
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
    nested = any(
        isinstance(member, inspect.DictType | inspect.VarTupleType | inspect.StructType) for member in members
    )
    return (VALUE if nested else SCALAR)._replace(doc=doc)


def _of_scalar(kind: inspect.Type, doc: str, unit: str) -> Shape:
    match kind:
        case inspect.LiteralType():
            shape = Shape("choice", doc, choices=tuple(str(value) for value in kind.values))
        case inspect.BoolType():
            shape = Shape("boolean", doc)
        case inspect.StrType():
            shape = Shape(_TEXTS.get(unit, "string"), doc, pattern=kind.pattern or "")
        case inspect.IntType():
            size = unit == "size"
            shape = Shape("size", doc) if size else Shape("integer", doc, kind.ge, kind.le, kind.lt)
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
