"""The experiment file's JSON Schema (2020-12), made from the same shapes that the walker follows.

Editors use it through the first line of each example. Must not hold facts of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from benchctl.model import units
from benchctl.spec.roles import read_role
from benchctl.spec.shapes import (
    SCALAR,
    Field,
    Shape,
    Variants,
    experiment_shape,
    with_install_options,
    with_options,
)
from benchctl.spec.share import roles_in, shared

if TYPE_CHECKING:
    from pathlib import Path

PUBLISHED = "docs/reference/experiment.schema.json"
_SCALARS = ["string", "number", "boolean"]
_UNIT_PATTERNS = {
    "duration": rf"^{units.NUMBER}\s*({'|'.join(units.DURATIONS)})$",
    "size": rf"^{units.NUMBER}\s*({'|'.join(units.SIZES)})$",
    "percent": rf"^{units.NUMBER}\s*%$",
}
_SIMPLE: dict[str, dict[str, Any]] = {
    **{unit: {"type": "string", "pattern": pattern} for unit, pattern in _UNIT_PATTERNS.items()},
    "scalar": {"type": _SCALARS},
    "text": {"type": _SCALARS},
    "words": {"type": [*_SCALARS, "array"], "items": {"type": _SCALARS}, "minItems": 1},
    "value": {},
    "factors": {},
    "secret": {
        "type": "object",
        "properties": {"env": {"type": "string"}, "keyring": {"type": "string"}},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    },
}


def json_schema() -> dict[str, Any]:
    """Return the schema of experiment files, with the options of the shipped roles."""
    root = experiment_shape(None, None)
    schema = _record(root)
    schema["properties"]["factors"] = _factors(root.fields["factors"].shape)
    search = (shared("roles"),)
    metas = [read_role(name, search) for name in roles_in(search)]
    for section, kind in (("dbms", "dbms"), ("workload", "loader")):
        part = root.fields[section].shape
        known = {meta.name: _record(with_options(part, meta)) for meta in metas if meta.kind == kind}
        schema["properties"][section] = _by_role(part, known)
    install = (root.fields["stages"].shape.item or SCALAR).fields["install"].shape
    installs = {m.name: _record(with_install_options(install, m)) for m in metas if m.kind != "tuning"}
    schema["properties"]["stages"]["items"]["properties"]["install"] = _by_role(install, installs)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "benchctl experiment",
        **schema,
        "oneOf": [_with("workload", "pipeline"), _with("stages", "dbms")],
    }


def render() -> str:
    """Return the published file's text."""
    return msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode() + "\n"


def publish(root: Path) -> Path:
    """Write the schema below a checkout's root and return its path; the generator of the docs calls this."""
    target = root / PUBLISHED
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(render(), encoding="utf-8")
    return target


def _with(key: str, without: str) -> dict[str, Any]:
    return {"required": [key], "not": {"required": [without]}}


def _by_role(part: Shape, known: dict[str, Any]) -> dict[str, Any]:
    """A shipped role has its own options; a role of the user's may have any."""
    return {
        "description": part.doc,
        "type": "object",
        "required": ["role"],
        "properties": {
            "role": {
                "type": "string",
                "examples": sorted(known),
                "description": part.fields["role"].shape.doc,
            }
        },
        "allOf": [
            {"if": {"properties": {"role": {"const": name}}, "required": ["role"]}, "then": schema}
            for name, schema in known.items()
        ],
    }


def _factors(shape: Shape) -> dict[str, Any]:
    level = {"type": ["object", "null"], "description": "what this level sets: path -> value; empty for A/A"}
    return {
        "description": shape.doc,
        "type": "object",
        "additionalProperties": {
            "oneOf": [
                {
                    "type": "array",
                    "minItems": 1,
                    "description": "levels of a path; the first is the baseline",
                },
                {"type": "object", "minProperties": 1, "additionalProperties": level},
            ]
        },
    }


def _record(shape: Shape) -> dict[str, Any]:
    properties = {name: _field(field) for name, field in shape.fields.items()}
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if shape.doc:
        schema["description"] = shape.doc
    required = [name for name, field in shape.fields.items() if field.required]
    return {**schema, "required": required} if required else schema


def _variants(variants: Variants) -> dict[str, Any]:
    """One schema after the other by the value of a key; the first of the variants is what is left."""
    left, *others = variants.shapes.items()
    schema = _record(left[1])
    for text, shape in others:
        value = {"true": True}.get(text, text)
        condition = {"properties": {variants.key: {"const": value}}, "required": [variants.key]}
        schema = {"if": condition, "then": _record(shape), "else": schema}
    return {"type": "object", **schema}


def _field(field: Field) -> dict[str, Any]:
    schema = _schema(field.shape)
    if (
        field.default is not msgspec.NODEFAULT
        and field.default is not None
        and field.shape.kind not in _UNIT_PATTERNS
    ):
        schema["default"] = msgspec.to_builtins(field.default)
    return schema


def _schema(shape: Shape) -> dict[str, Any]:
    schema = _bare(shape)
    if shape.doc:
        schema["description"] = shape.doc
    return schema


def _bare(shape: Shape) -> dict[str, Any]:
    schema: dict[str, Any]
    match shape.kind:
        case kind if kind in _SIMPLE:
            schema = dict(_SIMPLE[kind])
        case "record":
            schema = _record(shape) if shape.variants is None else _variants(shape.variants)
        case "list":
            schema = {"type": "array", "items": {} if shape.item is None else _schema(shape.item)}
        case "mapping":
            schema = {"type": "object", "additionalProperties": _schema(shape.item) if shape.item else True}
        case "choice":
            schema = {"enum": list(shape.choices)}
        case "integer" | "number" | "boolean":
            schema = {"type": shape.kind, **_limits(shape)}
        case _:
            schema = {"type": "string", **({"pattern": shape.pattern} if shape.pattern else {})}
    return schema


def _limits(shape: Shape) -> dict[str, float]:
    named = {"minimum": shape.minimum, "maximum": shape.maximum, "exclusiveMaximum": shape.below}
    return {name: limit for name, limit in named.items() if limit is not None}
