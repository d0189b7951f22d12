"""What reports show of single trials beyond their records: telemetry, and how latencies are distributed.

Read from a trial's raw files, or from the tables derived from them, which say the same. Must not choose the
trials, nor put a percentile where a sample does not carry it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchctl import loaders
from benchctl.results.raw import host_folders
from benchctl.results.tables import ALL_HOSTS
from benchctl.results.telemetry import channels
from benchctl.statistics.percentiles import carries

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    import numpy.typing as npt

    from benchctl.model.measurement import Trial
    from benchctl.results.store import RunStore
    from benchctl.results.telemetry import Channel

SHARES = (*(n / 100 for n in range(1, 100)), 0.995, 0.998, 0.999, 0.9995, 0.9999)


class Distribution(NamedTuple):
    """How long requests took: `share` of them no longer than `milliseconds`, as far as the sample carries."""

    host: str  # ALL_HOSTS: those of all load generators together
    requests: int
    shares: tuple[float, ...]
    milliseconds: tuple[float, ...]


class TrialDetail(NamedTuple):
    """One trial from near."""

    ordinal: int
    channels: tuple[Channel, ...]
    latencies: tuple[Distribution, ...]


def details(store: RunStore, trials: Iterable[Trial]) -> tuple[TrialDetail, ...]:
    """Read these trials. Raises ParseError for output of a load generator that is not understood."""
    return tuple(
        TrialDetail(
            trial.ordinal,
            tuple(c for host, folder in host_folders(store, trial).items() for c in channels(host, folder)),
            tuple(_distributions(store, trial)),
        )
        for trial in trials
    )


def _distributions(store: RunStore, trial: Trial) -> Iterator[Distribution]:
    import numpy as np

    found = _latencies(store, trial)
    for host, values in found.items():
        yield _distribution(host, values)
    if len(found) > 1 and len(found) == len(trial.loads):
        yield _distribution(ALL_HOSTS, np.concatenate(list(found.values())))


def _latencies(store: RunStore, trial: Trial) -> dict[str, npt.NDArray[np.float64]]:
    """Milliseconds of every request by host; the table where it is there, for it is faster to read."""
    path = store.trial_folder(trial.ordinal) / "samples.parquet"
    if path.exists():
        import pandas as pd

        table = pd.read_parquet(path, columns=["host", "latency_ms"])
        return {
            str(host): group["latency_ms"].to_numpy() for host, group in table.groupby("host", sort=False)
        }
    loader, folders = loaders.get(trial.result.loader), host_folders(store, trial)
    windows = {load.host: load.window for load in trial.loads} or {trial.host: trial.window}
    told = {
        host: loader.latencies(folders[host], window) for host, window in windows.items() if host in folders
    }
    return {host: kinds["latency"] / 1000 for host, kinds in told.items() if "latency" in kinds}


def _distribution(host: str, values: npt.NDArray[np.float64]) -> Distribution:
    import numpy as np

    shares = tuple(share for share in SHARES if carries(len(values), share))
    found = np.quantile(values, shares) if shares else ()
    return Distribution(host, len(values), shares, tuple(float(x) for x in found))
