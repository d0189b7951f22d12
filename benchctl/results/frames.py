"""A run as pandas frames, for notebooks: `benchctl.load("latest").trials`."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchctl.results.workspace import find_run, workspace

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.model.measurement import Trial
    from benchctl.results.store import RunStore


class RunFrames:
    """Lazy frames over the finished trials of one run."""

    def __init__(self, store: RunStore) -> None:
        self.store = store

    def __repr__(self) -> str:
        """Say which run it is, and what can be asked."""
        return f"<run {self.store.id}: .trials .samples .series .telemetry>"

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row per trial: ordinal, block, position, treatment, validity, one column per factor and metric.

        Latencies are in ms, throughput in 1/s; a value that the sample does not carry is NaN.
        """
        return pd.DataFrame([_row(trial) for trial in self.store.trials()])

    @cached_property
    def samples(self) -> pd.DataFrame:
        """One row per request in the windows: ordinal, treatment, host, seconds from the start, latency."""
        return self._parquet("samples.parquet")

    @cached_property
    def series(self) -> pd.DataFrame:
        """One row per second of each window and host: ordinal, treatment, second, one column per series.

        With several load generators, rows with the host "" are all of them together.
        """
        return self._parquet("series.parquet")

    @cached_property
    def telemetry(self) -> pd.DataFrame:
        """What hosts, DBMS and load generators did: ordinal, treatment, host, t, name, value, unit.

        `t` is in seconds from the window's start, below 0 in the warm-up; rates are over the time since the
        row before.
        """
        return self._parquet("telemetry.parquet")

    def _parquet(self, name: str) -> pd.DataFrame:
        frames = []
        for trial in self.store.trials():
            path = self.store.trial_folder(trial.ordinal) / name
            if path.exists():
                frames.append(pd.read_parquet(path).assign(ordinal=trial.ordinal, treatment=trial.treatment))
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def load(run: str = "latest", workspace_path: Path | None = None) -> RunFrames:
    """Open a run by id, unique prefix, path or `latest`. Raises UsageError when there is no such run."""
    return RunFrames(find_run(run, workspace(workspace_path)))


def _row(trial: Trial) -> dict[str, Any]:
    head = {
        "ordinal": trial.ordinal,
        "block": trial.block,
        "position": trial.position,
        "treatment": trial.treatment,
        "validity": trial.validity,
        "started": trial.started,
    }
    metrics = {
        name: math.nan if quantity.value is None else quantity.value
        for name, quantity in trial.result.metrics.items()
    }
    return head | trial.levels | metrics
