"""A role's meta/bench.yml as a record: what it is, what it offers, and what each of its variables costs.

The scope of a variable says when a changed value takes effect: `install` (configure makes one instance per
distinct set), `prepare` (a data image per distinct set), `start` (the agent applies it before a start) and
`run` (the load generator's command line in each trial).
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from benchctl.model.experiment import Direction, Ratio, Value
from benchctl.model.record import Record

Scope = Literal["install", "prepare", "start", "run"]
Kind = Literal["dbms", "loader", "tuning"]
OptionType = Literal[
    "string",
    "version",
    "integer",
    "number",
    "boolean",
    "duration",
    "size",
    "choice",
    "file",
    "folder",
    "list",
    "mapping",
]


class Option(Record, frozen=True, kw_only=True):
    """One key that the experiment may give to this role.

    A `file` is a path from the experiment's folder, absolute once read; its choices are words for no file. A
    `folder` is an absolute path on the measured host, where the experiment's folder need not be.
    """

    type: OptionType
    scope: Scope
    doc: str
    default: Value | None = None
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    required: Annotated[bool, Meta(description="an experiment without this key is an error")] = False
    needed_with: Annotated[
        dict[str, str], Meta(description="required when other options of the role have these values")
    ] = field(default_factory=dict)
    only_with: Annotated[
        dict[str, str], Meta(description="without effect unless other options of the role have these values")
    ] = field(default_factory=dict)
    known: Annotated[
        dict[str, dict[str, tuple[str, ...]]],
        Meta(description="versions that there are, by another option and its value; 18.6 is one of 18"),
    ] = field(default_factory=dict)


class MetricDoc(Record, frozen=True, kw_only=True):
    """One metric that a load generator reports."""

    name: str
    unit: str
    better: Direction
    doc: str = ""
    delta: Annotated[
        Ratio | None,
        Meta(description="compared when the experiment names no metrics; within this, equivalent"),
    ] = None


class RoleStage(Record, frozen=True, kw_only=True):
    """A stage that the role brings to an experiment."""

    name: str
    kind: Literal["finish", "service"]
    together: Annotated[bool, Meta(description="all hosts start at one instant")] = False
    measured: Annotated[bool, Meta(description="the window that gates refer to lies in this stage")] = False


class RoleMeta(Record, frozen=True, kw_only=True):
    """All of meta/bench.yml."""

    name: str
    kind: Kind
    doc: str
    nodes: Literal["one", "many"] = "one"
    options: dict[str, Option] = field(default_factory=dict)
    settings: Scope | None = None
    reserved: Annotated[
        dict[str, str], Meta(description="settings that the role gives itself, each with the reason")
    ] = field(default_factory=dict)
    stages: tuple[RoleStage, ...] = ()
    metrics: tuple[MetricDoc, ...] = ()
    ports: tuple[int, ...] = ()
    changes: Annotated[
        dict[str, str],
        Meta(
            description="what the role changes on the host beside its files in benchctl's cache and its"
            " packages, and how that is undone"
        ),
    ] = field(default_factory=dict)
    area: Annotated[str, Meta(description="the knobs that a tuning role sets; empty for all of them")] = ""
    drives: Annotated[tuple[str, ...], Meta(description="the DBMS roles a load generator can drive")] = ()
