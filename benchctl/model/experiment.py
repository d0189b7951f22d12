"""The experiment as it was meant: the frozen form of the YAML file after all checks.

`spec` is the only room that makes these from text; field docs here become the published JSON Schema.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, field

from benchctl.model.aws import AwsHosts
from benchctl.model.azure import AzureHosts
from benchctl.model.group import Group
from benchctl.model.lab import LabHosts
from benchctl.model.record import Record, Scalar
from benchctl.model.tuning import Tuning

Value = Scalar | tuple[Scalar, ...] | dict[str, Scalar]
Seconds = Annotated[float, Meta(ge=0, extra={"unit": "duration"})]
Ratio = Annotated[float, Meta(ge=0, lt=1, extra={"unit": "percent"})]
Direction = Literal["higher", "lower"]


# `unit` is how a file writes a value: `text` any scalar as written, `words` a command line that is split,
# `path` a path from the experiment's folder, `file` a file there whose content counts, `secret` one's name.
Text = Annotated[str, Meta(extra={"unit": "text"})]
Words = Annotated[tuple[str, ...], Meta(extra={"unit": "words"})]
Path = Annotated[str, Meta(extra={"unit": "path"})]
File = Annotated[str, Meta(extra={"unit": "file"})]
Name = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9-]{0,62}$",
        extra={"words": "lower-case letters, digits and hyphens, such as pg-work-mem"},
    ),
]
User = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][^\s:]{0,255}$")]
Jump = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_\[][^\s]{0,1023}$")]
Port = Annotated[int, Meta(ge=1, le=65_535)]


class Secret(Record, frozen=True, kw_only=True):
    """The name of a secret: exactly one of the two; its value is looked up late and never stored."""

    env: Annotated[str | None, Meta(description="the environment variable of the controller")] = None
    keyring: Annotated[str | None, Meta(description="the entry of the controller's keyring")] = None


class InventoryGroup(Group, frozen=True, kw_only=True):
    """A host group, and which of the inventory's hosts it takes."""

    inventory_group: Annotated[
        str | None,
        Meta(description="the inventory's group that gives the hosts; default: its name"),
    ] = None


class LocalHosts(Record, frozen=True, kw_only=True, tag_field="provider", tag="local"):
    """This machine; every group lies on it."""

    group: ClassVar[type[Group]] = Group
    groups: dict[str, Group] = field(default_factory=dict)


class Ssh(Record, frozen=True, kw_only=True):
    """How hosts are reached; wins over the inventory, which wins over ssh's own configuration."""

    user: Annotated[User | None, Meta(description="the user to log in as")] = None
    port: Annotated[Port | None, Meta(description="the port of sshd")] = None
    key: Annotated[Path | None, Meta(description="the private key's file; else ssh's agent and defaults")] = (
        None
    )
    jump: Annotated[Jump | None, Meta(description="bastions: [user@]host[:port], with commas")] = None
    config: Annotated[Path | None, Meta(description="ssh's configuration, in place of ~/.ssh/config")] = None
    known_hosts: Annotated[
        Path | None, Meta(description="the file of host keys; they are always checked")
    ] = None


class Become(Record, frozen=True, kw_only=True):
    """Rights of another user on the hosts, through sudo."""

    enabled: Annotated[bool, Meta(description="whether sudo is used where rights are needed")] = False
    user: Annotated[User, Meta(description="the user to become")] = "root"
    password: Annotated[
        Secret | None, Meta(description="sudo's password, by the name of a secret", extra={"unit": "secret"})
    ] = None


class InventoryHosts(Record, frozen=True, kw_only=True, tag_field="provider", tag="inventory"):
    """Hosts that are there already, as an Ansible inventory names them."""

    group: ClassVar[type[Group]] = InventoryGroup
    path: Annotated[Path, Meta(description="the inventory: a file, or a folder of them")]
    ssh: Ssh = field(default_factory=Ssh)
    become: Become = field(default_factory=Become)
    groups: dict[str, InventoryGroup] = field(default_factory=dict)


Hosts = LocalHosts | InventoryHosts | LabHosts | AwsHosts | AzureHosts


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


class Ready(Record, frozen=True, kw_only=True):
    """When a service is ready: exactly one of the four kinds, asked again and again."""

    port: Annotated[Port | None, Meta(description="a TCP port of the host that answers")] = None
    http: Annotated[Text | None, Meta(description="a URL that answers with a status below 400")] = None
    command: Annotated[Words | None, Meta(description="a command that ends with exit code 0")] = None
    log: Annotated[
        str | None, Meta(description="a regular expression that a line of the service's output matches")
    ] = None
    timeout: Annotated[Seconds, Meta(description="not ready after this: the stage fails")] = 60.0
    interval: Annotated[Seconds, Meta(description="time between two questions")] = 0.1


class Measure(Record, frozen=True, kw_only=True):
    """The window that metrics, gates and overlap refer to."""

    warmup: Annotated[Seconds, Meta(description="time under load before the measured window")] = 0.0
    duration: Annotated[Seconds, Meta(description="length of the measured window")] = 60.0


class TaskSpec(Record, frozen=True, kw_only=True):
    """One command of a stage, on each host of its group. Each word is a template."""

    run: Annotated[
        Words, Meta(description="the command line: split into words, each rendered; never given to a shell")
    ]
    name: Annotated[Name | None, Meta(description="its name; default: its number in the stage")] = None
    kind: Annotated[
        Literal["finish", "service"], Meta(description="a command that ends, or one that stays up")
    ] = "finish"
    shell: Annotated[
        bool, Meta(description="give `run` to /bin/sh as it is written; templates are refused in it")
    ] = False
    env: Annotated[dict[str, Text], Meta(description="its environment; each value is a template")] = field(
        default_factory=dict
    )
    ready: Annotated[Ready | None, Meta(description="services: when the next task may begin")] = None
    stop: Annotated[
        Words | None, Meta(description="services: the command that stops it; else the signal does")
    ] = None
    stop_signal: Annotated[
        Literal["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL"],
        Meta(description="services: the signal that stops it"),
    ] = "SIGTERM"
    retries: Annotated[int, Meta(ge=0, le=1000, description="how often a failed command is tried again")] = 0
    backoff: Annotated[
        Seconds, Meta(description="time before the first retry; twice as long before each next one")
    ] = 1.0
    timeout: Annotated[Seconds, Meta(description="a command that takes longer is stopped and has failed")] = (
        600.0
    )
    parse: Annotated[
        dict[str, Scalar] | None,
        Meta(
            description="measured stage: how the output is read, as the load generator `command` reads it; or"
            " {role: NAME}, a load generator that a stage installs, with the options that it ran with"
        ),
    ] = None
    values: Annotated[
        dict[str, Text],
        Meta(description="measured stage: where each metric stands: a JSON path, a column or a pattern"),
    ] = field(default_factory=dict)
    units: Annotated[
        dict[str, Text], Meta(description="measured stage: units of the metrics by name: {throughput: 1/s}")
    ] = field(default_factory=dict)


class Install(Record, frozen=True, kw_only=True):
    """A role that configure converges; `options` are its keys of scope install, typed by meta/bench.yml."""

    role: Annotated[str, Meta(description="the role that installs: a DBMS or a load generator")]
    options: dict[str, Value] = field(default_factory=dict)


class StageSpec(Record, frozen=True, kw_only=True):
    """A named group of tasks, run one after the other on each host of a group, on all hosts side by side."""

    name: Annotated[Name, Meta(description="its name in the pipeline")]
    group: Annotated[str, Meta(description="the host group whose hosts run it")]
    tasks: Annotated[tuple[TaskSpec, ...], Meta(description="one or more; all must succeed")] = ()
    install: Annotated[
        Install | None,
        Meta(description="in place of tasks: what the step configure installs; {{ roles.NAME.bin }} has it"),
    ] = None
    start: Annotated[
        Literal["free", "together"],
        Meta(description="together: on all hosts at one instant; free: when each host is there"),
    ] = "free"
    measure: Annotated[Measure | None, Meta(description="exactly one stage has this: it is measured")] = None
    files: Annotated[
        tuple[File, ...], Meta(description="files to copy to its hosts; {{ files }} is their folder there")
    ] = ()
    scope: Annotated[
        Literal["once", "level", "trial"] | None,
        Meta(description="run it more often than it must: when a level changes, or in each trial"),
    ] = None


class Telemetry(Record, frozen=True, kw_only=True):
    hz: Annotated[float, Meta(ge=0.1, le=10, description="samples of each host per second")] = 1.0


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

    name: Annotated[Name, Meta(description="name of the experiment")]
    hosts: Hosts = field(default_factory=LocalHosts)
    tuning: Tuning = field(default_factory=Tuning)
    dbms: Dbms | None = None
    workload: Workload | None = None  # None exactly when there are stages
    stages: Annotated[
        tuple[StageSpec, ...], Meta(description="a workload written out, in place of dbms and workload")
    ] = ()
    pipeline: Annotated[
        tuple[tuple[str, ...], ...],
        Meta(description="the stages in order: rows of names, each row side by side; default: one by one"),
    ] = ()
    factors: tuple[Factor, ...] = ()
    design: Design = field(default_factory=Design)
    metrics: tuple[Metric, ...] = ()
    limits: Limits = field(default_factory=Limits)
    keep: Keep = field(default_factory=Keep)
    telemetry: Telemetry = field(default_factory=Telemetry)
