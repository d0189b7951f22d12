"""The plan: every trial of a run in its order, and what must exist on the hosts before the first."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from benchctl.model.experiment import Dbms, Experiment, StageSpec, Value, Workload
from benchctl.model.record import Record
from benchctl.model.role import Scope
from benchctl.model.tuning import GroupPlan

StageScope = Literal["once", "level", "trial"]


class FactorPlan(Record, frozen=True, kw_only=True):
    """A factor with the scope of the costliest thing that its levels change."""

    name: str
    labels: tuple[str, ...]
    scope: Scope | None  # None: its levels set nothing (A/A)


class Instance(Record, frozen=True, kw_only=True):
    """One installed server: a distinct set of install-scope values, with its own descriptor and data."""

    id: str  # <role>-<hash of the install options>
    role: str
    group: str
    options: dict[str, Value]


class Image(Record, frozen=True, kw_only=True):
    """A data image that trials clone: an instance and what the loader's prepare command is told."""

    id: str
    instance: str
    loader: str
    prepare: dict[str, Value]
    seed: int


class DataCost(Record, frozen=True, kw_only=True):
    """What an earlier run took for the data of an image, in seconds; None: no run of this workspace tells."""

    prepare: float | None = None  # once on a host
    reset: float | None = None  # before each trial, the median
    run: str = ""  # the latest that tells


class Treatment(Record, frozen=True, kw_only=True):
    """One combination of levels, with the experiment's parts as they stand under it."""

    id: str  # t01, t02, …; t01 holds the baseline levels
    levels: dict[str, str]
    dbms: Dbms | None
    workload: Workload  # with stages: the measured one as the load generator `command`
    instance: str | None
    image: str | None


class PlannedTrial(Record, frozen=True, kw_only=True):
    ordinal: int  # from 1
    block: int  # from 1
    position: int  # inside the block, from 1
    treatment: str
    seed: int


class Stage(Record, frozen=True, kw_only=True):
    """A stage as the plan prints it: where it runs, and how often."""

    name: str
    group: str
    kind: Literal["finish", "service"]
    scope: StageScope
    depends: tuple[str, ...] = ()  # the factors whose levels make it run again
    together: bool = False
    measured: bool = False
    row: int = 0  # from 0; stages of one row run side by side
    spec: StageSpec | None = None  # None: a role brings it


class PilotOf(Record, frozen=True, kw_only=True):
    """The experiment that a pilot is run for, as it would be run."""

    experiment: str  # a command line's word for it
    comparisons: int  # of each metric
    blocks: int
    expected_seconds: float


class Detectable(Record, frozen=True, kw_only=True):
    """The smallest true effect found with 80 % power, for a coefficient of variation between trials."""

    cv: float
    effect: float


class Plan(Record, frozen=True, kw_only=True):
    """Everything that `execute` does, worked out before anything happens."""

    schema: int = 2
    experiment: Experiment
    origins: dict[str, str]  # dotted path -> "file:line:column", "--set" or "default"
    factors: tuple[FactorPlan, ...]
    instances: tuple[Instance, ...]
    images: tuple[Image, ...]
    treatments: tuple[Treatment, ...]
    stages: tuple[Stage, ...]
    trials: tuple[PlannedTrial, ...]
    expected_seconds: float
    detectable: tuple[Detectable, ...] = field(default_factory=tuple)
    design_hash: str = ""
    sets: tuple[str, ...] = ()  # what --set was given, as written, in order
    files: dict[str, str] = field(default_factory=dict)  # files that options name: absolute path -> SHA-256

    role_folders: tuple[str, ...] = ()  # of the user's own roles: absolute, in the order of the look-up
    pilot: PilotOf | None = None
    tuning: dict[str, GroupPlan] = field(default_factory=dict)  # by group; none is there: nothing is set
    loaders: dict[str, dict[str, Value]] = field(
        default_factory=dict
    )  # role -> what its installation is told
    units: dict[str, str] = field(default_factory=dict)  # of each metric of the load generator; none: any
    data_costs: dict[str, DataCost] = field(default_factory=dict)  # by image, where earlier runs tell

    def treatment(self, treatment_id: str) -> Treatment:
        return next(t for t in self.treatments if t.id == treatment_id)
