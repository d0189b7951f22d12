"""A role's meta/bench.yml as a record: what it is, what it offers, and what each of its variables costs.

The scope of a variable says when a changed value takes effect: `install` (configure makes one instance per
distinct set; of a load generator a host holds one, for a whole run), `prepare` (a data image per distinct
set), `start` (the agent applies it before a start) and `run` (the load generator's command line in each
trial).
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

    type: Annotated[OptionType, Meta(description="its type")]
    scope: Annotated[Scope, Meta(description="what a changed value costs")]
    doc: Annotated[str, Meta(description="what it means, for people")]
    default: Annotated[
        Value | None, Meta(description="what it is where an experiment does not say; of the option's type")
    ] = None
    default_with: Annotated[
        dict[str, dict[str, str]],
        Meta(description="another default, by another option and its value; for choices"),
    ] = field(default_factory=dict)
    example: Annotated[
        Value | None, Meta(description="a value that an experiment may have, for an option without default")
    ] = None
    choices: Annotated[
        tuple[str, ...], Meta(description="what a choice may be; for a file, words that are no file")
    ] = ()
    minimum: Annotated[float | None, Meta(description="the least that an integer or number may be")] = None
    maximum: Annotated[float | None, Meta(description="the most that an integer or number may be")] = None
    required: Annotated[bool, Meta(description="an experiment without this key is an error")] = False
    needed_with: Annotated[
        dict[str, str], Meta(description="required when other options of the role have these values")
    ] = field(default_factory=dict)
    only_with: Annotated[
        dict[str, str], Meta(description="without effect unless other options of the role have these values")
    ] = field(default_factory=dict)
    known: Annotated[
        dict[str, dict[str, tuple[str, ...]]],
        Meta(description="what it may be, by another option and its value; version 18.6 is one of 18"),
    ] = field(default_factory=dict)


class MetricDoc(Record, frozen=True, kw_only=True):
    """One metric that a load generator reports."""

    name: Annotated[str, Meta(description="as the parser reports it")]
    unit: Annotated[str, Meta(description="as the parser reports it")]
    better: Annotated[Direction, Meta(description="which direction is better")]
    doc: Annotated[str, Meta(description="what it is, for people")] = ""
    delta: Annotated[
        Ratio | None,
        Meta(description="compared when the experiment names no metrics; within this, equivalent"),
    ] = None


class RoleStage(Record, frozen=True, kw_only=True):
    """A stage that the role brings to an experiment."""

    name: Annotated[str, Meta(description="its name in the plan")]
    kind: Annotated[
        Literal["finish", "service"], Meta(description="finish: it ends by itself; service: it stays up")
    ]
    together: Annotated[bool, Meta(description="all hosts start at one instant")] = False
    measured: Annotated[bool, Meta(description="the window that gates refer to lies in this stage")] = False


class RoleMeta(Record, frozen=True, kw_only=True):
    """All of meta/bench.yml."""

    name: Annotated[str, Meta(description="the role's name, as its folder")]
    kind: Annotated[Kind, Meta(description="what it is")]
    doc: Annotated[str, Meta(description="what it is and which versions it was tried with, for people")]
    nodes: Annotated[
        Literal["one", "many"], Meta(description="whether it may run on several hosts at once")
    ] = "one"
    options: Annotated[dict[str, Option], Meta(description="the keys of an experiment, by name")] = field(
        default_factory=dict
    )
    settings: Annotated[
        Scope | None, Meta(description="the scope of the server's own settings; without it, it takes none")
    ] = None
    reserved: Annotated[
        dict[str, str], Meta(description="settings that the role gives itself, each with the reason")
    ] = field(default_factory=dict)
    stages: Annotated[
        tuple[RoleStage, ...], Meta(description="what it brings to a run; a load generator measures in one")
    ] = ()
    metrics: Annotated[
        tuple[MetricDoc, ...], Meta(description="what a load generator reports; none: any")
    ] = ()
    ports: Annotated[tuple[int, ...], Meta(description="where the first instance listens")] = ()
    changes: Annotated[
        dict[str, str],
        Meta(
            description="what the role changes on the host beside its files in benchctl's cache and its"
            " packages, and how that is undone"
        ),
    ] = field(default_factory=dict)
    area: Annotated[str, Meta(description="the knobs that a tuning role sets; empty for all of them")] = ""
    stands_for: Annotated[
        str, Meta(description="the option that names the DBMS role for which load generators take it")
    ] = ""
    drives: Annotated[
        tuple[str, ...], Meta(description="the DBMS roles a load generator can drive; none: any, or none")
    ] = ()
