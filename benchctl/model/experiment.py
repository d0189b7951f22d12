"""The experiment as it was meant: the frozen form of the YAML file after all checks.

`spec` is the only room that makes these from text; field docs here become the published JSON Schema.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from benchctl.model.record import Record, Scalar

Value = Scalar | tuple[Scalar, ...] | dict[str, Scalar]
Seconds = Annotated[float, Meta(ge=0, extra={"unit": "duration"})]
Ratio = Annotated[float, Meta(ge=0, lt=1, extra={"unit": "percent"})]
Direction = Literal["higher", "lower"]


class Group(Record, frozen=True, kw_only=True):
    """A host group: how many hosts it has."""

    count: Annotated[int, Meta(ge=1, description="how many hosts this group has")] = 1


class LocalHosts(Record, frozen=True, kw_only=True, tag_field="provider", tag="local"):
    """This machine; every group lies on it."""

    groups: dict[str, Group] = field(default_factory=dict)


class Tuning(Record, frozen=True, kw_only=True):
    profile: Annotated[Literal["none"], Meta(description="which knobs are set before the run")] = "none"


class Dbms(Record, frozen=True, kw_only=True):
    """The system under test. `options` are the role's own keys as its meta/bench.yml types them."""

    role: Annotated[str, Meta(description="the role that installs and describes the system")]
    options: dict[str, Value] = field(default_factory=dict)
    settings: Annotated[
        dict[str, Scalar], Meta(description="the server's own settings, passed to it as written")
    ] = field(default_factory=dict)


class Workload(Record, frozen=True, kw_only=True):
    """What drives the system: a load generator and its window. `options` are typed by its meta/bench.yml."""

    role: Annotated[str, Meta(description="the load generator's role")]
    warmup: Annotated[Seconds, Meta(description="time under load before the measured window")] = 0.0
    duration: Annotated[Seconds, Meta(description="length of the measured window")] = 60.0
    options: dict[str, Value] = field(default_factory=dict)


class Level(Record, frozen=True, kw_only=True):
    """One value of a factor: its label and what it sets, as dotted paths into the experiment."""

    label: str
    sets: dict[str, Value]


class Factor(Record, frozen=True, kw_only=True):
    """A setting that the experiment varies; the first level is the baseline."""

    name: str
    levels: tuple[Level, ...]


class Design(Record, frozen=True, kw_only=True):
    blocks: Annotated[int, Meta(ge=1, le=10_000, description="passes over all treatments")] = 10
    order: Annotated[
        Literal["randomised", "fixed"], Meta(description="order of the treatments inside a block")
    ] = "randomised"
    seed: Annotated[
        int, Meta(ge=0, lt=2**32, description="seed of the order and of the trials' own seeds")
    ] = 42
    min_blocks: Annotated[
        int | None,
        Meta(description="fewer valid blocks than this in a comparison: exit code 4; default: blocks"),
    ] = None
    on_failure: Annotated[
        Literal["continue", "stop"], Meta(description="what a failed trial does to the run")
    ] = "continue"


class Metric(Record, frozen=True, kw_only=True):
    """What is compared. The first metric of the list is the primary one and decides."""

    name: Annotated[str, Meta(description="as the load generator reports it")]
    better: Annotated[Direction, Meta(description="which way is an improvement")]
    delta: Annotated[Ratio, Meta(description="differences within this are equivalent")] = 0.02


class Limits(Record, frozen=True, kw_only=True):
    trial: Annotated[Seconds, Meta(description="a trial that takes longer fails")] = 600.0
    run: Annotated[Seconds, Meta(description="no trial starts after this; the host's lease ends with it")] = (
        28_800.0
    )


class Keep(Record, frozen=True, kw_only=True):
    raw: Annotated[Literal["all"], Meta(description="which raw outputs stay in the run directory")] = "all"


class Experiment(Record, frozen=True, kw_only=True):
    """One experiment file, complete: defaults filled in, units resolved, roles' options typed."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="name of the experiment")]
    workload: Workload
    hosts: LocalHosts = field(default_factory=LocalHosts)
    tuning: Tuning = field(default_factory=Tuning)
    dbms: Dbms | None = None
    factors: tuple[Factor, ...] = ()
    design: Design = field(default_factory=Design)
    metrics: tuple[Metric, ...] = ()
    limits: Limits = field(default_factory=Limits)
    keep: Keep = field(default_factory=Keep)
