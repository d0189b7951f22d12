"""What a trial yields: facts from the host, the loader's result, the gates' findings."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from benchctl.model.record import Record, Scalar

Validity = Literal["ok", "suspect", "invalid"]
SATURATED = 0.9  # of a load generator's CPU time
_ORDER: tuple[Validity, ...] = ("ok", "suspect", "invalid")


def worst(found: tuple[Validity, ...]) -> Validity:
    """The gravest of several validities; ok when there is none."""
    return max(found, key=_ORDER.index, default="ok")


class Quantity(Record, frozen=True, kw_only=True):
    """A number with its unit; None where the sample does not carry it (a p99.9 of 200 requests)."""

    value: Annotated[
        float | None,
        Meta(description="None where the sample does not carry it, such as a p99.9 of 200 requests"),
    ]
    unit: Annotated[str, Meta(description="such as 1/s, ms, B/s, or 1 for a count")]


class Finding(Record, frozen=True, kw_only=True):
    """What one gate says of one trial."""

    gate: str
    validity: Validity
    value: float | None
    limit: float | None
    unit: str
    reason: str
    host: str = ""  # named where a trial has several hosts and the finding is about one


class Window(Record, frozen=True, kw_only=True):
    """The measured window in a CLOCK_REALTIME that its owner names, seconds since the epoch."""

    start: Annotated[float, Meta(description="seconds since the epoch")]
    end: Annotated[float, Meta(description="seconds since the epoch")]

    @property
    def seconds(self) -> float:
        return self.end - self.start


class TaskResult(Record, frozen=True, kw_only=True):
    """A finished task as the agent reports it."""

    argv: tuple[str, ...]
    exit: int  # negative: killed by that signal
    start: float  # CLOCK_REALTIME
    end: float
    cpu_user: float  # seconds, children included
    cpu_system: float
    max_rss: int  # bytes
    timed_out: bool = False


class ServerFacts(Record, frozen=True, kw_only=True):
    """What the running server said of itself after its start."""

    instance: str
    image: str
    version: str
    reset: str = ""  # how the data came from the image: the way, and why another one than wanted
    settings: dict[str, str]  # read back; the server's own spelling
    wanted: dict[str, str]  # what the treatment asked for
    differing: dict[str, tuple[str, str]] = field(default_factory=dict)  # name -> (wanted, found)


class LoaderResult(Record, frozen=True, kw_only=True):
    """The common form of every load generator's output, limited to the measured window."""

    loader: Annotated[str, Meta(description="the role's name")]
    version: Annotated[
        str, Meta(description="as its output tells it; empty where it does not, for the descriptor has it")
    ]
    open_loop: Annotated[
        bool,
        Meta(description="requests start at given times; False: latency is service time"),
    ]
    metrics: Annotated[dict[str, Quantity], Meta(description="by name, as meta/bench.yml lists them")]
    errors: Annotated[int, Meta(description="requests that failed")]
    requests: Annotated[
        int, Meta(description="all requests in the window, failed ones too; 0 where it counts none")
    ]
    series: Annotated[
        dict[str, tuple[float | None, ...]],
        Meta(description="by metric, one value for each full second of the window"),
    ] = field(default_factory=dict)
    percentile_source: Annotated[
        str,
        Meta(description="what percentiles are from: log, histogram, loader (its whole life)"),
    ] = ""
    threads: Annotated[
        int | None, Meta(description="of the load generator, that can work at once; None: not known")
    ] = None


class Capacity(Record, frozen=True, kw_only=True):
    """What a load generator reaches on its host against a target that does nothing.

    Its own ceiling is at least that, and no more than that where it was busy all the time.
    """

    throughput: float  # 1/s
    busy: float  # the load generator's CPU time as a share of what its threads can use
    target_busy: float  # the same of the null target
    measured: float  # the host's CLOCK_REALTIME

    @property
    def is_ceiling(self) -> bool:
        """Whether the load generator could not have done much more; else its ceiling may be higher."""
        return self.busy >= SATURATED


class HostLoad(Record, frozen=True, kw_only=True):
    """One host's part of the load: what ran there, when, and what it measured."""

    host: str
    task: TaskResult
    window: Window  # in this host's CLOCK_REALTIME
    began: float  # seconds after T0, on the timeline that all hosts share
    uncertainty: float  # seconds by which this host's place on that timeline may be wrong
    late: bool  # the host learned of T0 after it had passed
    result: LoaderResult
    capacity: Capacity | None = None  # None: it was not run against a null target


class Start(Record, frozen=True, kw_only=True):
    """How well the hosts' loads began together."""

    at: float  # T0 in the controller's CLOCK_REALTIME
    spread: float  # seconds from the first start to the last one
    uncertainty: float  # seconds by which any two starts may be further apart than they seem
    overlap: float  # the share of the window in which every load was past its warm-up and still ran


class Trial(Record, frozen=True, kw_only=True):
    """trial.json: the facts of one finished trial, and what was derived from its raw files at the time.

    `host` is the measured one: the DBMS's, else the first load generator's. `load`, `loader_version` and
    `result` show all load generators as one; `loads` has each of them. With several hosts, `window` is in the
    controller's CLOCK_REALTIME, with one in the host's own.
    """

    schema: int = 2
    ordinal: int
    block: int
    position: int
    treatment: str
    levels: dict[str, str]
    seed: int
    host: str
    attempt: int
    started: float  # controller's CLOCK_REALTIME
    phases: dict[str, float]  # name -> seconds
    window: Window
    load: TaskResult
    loads: tuple[HostLoad, ...]
    start: Start | None  # None: nothing was measured together
    server: ServerFacts | None
    counters_before: dict[str, Scalar]
    counters_after: dict[str, Scalar]
    loader_version: str
    files: dict[str, str]  # raw/<host>/<file> -> sha256
    result: LoaderResult
    findings: tuple[Finding, ...]
    validity: Validity
