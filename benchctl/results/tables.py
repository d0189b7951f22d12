"""samples.parquet and series.parquet of each trial, derived from its raw files: they can be made again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from benchctl import loaders

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.model.measurement import Trial
    from benchctl.results.store import RunStore


def write_tables(store: RunStore, *, again: bool = False) -> None:
    """Write the tables of every finished trial that has none; `again` replaces those that are there."""
    for trial in store.trials():
        folder = store.trial_folder(trial.ordinal)
        if again or not (folder / "series.parquet").exists():
            loader = loaders.get(trial.result.loader)
            _write(loader.samples(folder / "raw" / trial.host, trial.window), folder / "samples.parquet")
            _write(_series(trial), folder / "series.parquet")


def _series(trial: Trial) -> pa.Table:
    """One row per second of the window; a series that ends early is padded with nulls."""
    length = max((len(values) for values in trial.result.series.values()), default=0)
    columns: dict[str, list[float | None]] = {"second": [float(second) for second in range(length)]}
    for name, values in trial.result.series.items():
        columns[name] = [*values, *[None] * (length - len(values))]
    return pa.table(columns)


def _write(table: pa.Table | None, path: Path) -> None:
    if table is None:
        return
    temporary = path.with_name(f".{path.name}.tmp")
    pq.write_table(table, temporary, compression="zstd")
    temporary.replace(path)
