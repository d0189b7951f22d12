"""samples, series and telemetry of each trial as Parquet, derived from its raw files: they can be made again.

Each table has a column `host`. Must not be part of the measuring loop: tables are written after it. Columns
are made of buffers: pyarrow's own `array` and `scalar` import pandas, which takes as long as many trials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchctl import loaders
from benchctl.results.raw import host_folders
from benchctl.results.telemetry import channels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from benchctl.model.measurement import LoaderResult, Trial
    from benchctl.results.store import RunStore
    from benchctl.results.telemetry import Channel

ALL_HOSTS = ""  # in the column `host`: the view over all load generators, where there are several
_TABLES = ("samples.parquet", "series.parquet", "telemetry.parquet")


def write_tables(store: RunStore, *, again: bool = False) -> None:
    """Write the tables that finished trials do not have yet; `again` replaces those that are there."""
    for trial in store.trials():
        folder = store.trial_folder(trial.ordinal)
        missing = [name for name in _TABLES if again or not (folder / name).exists()]
        if missing == ["samples.parquet"]:
            continue  # the load generator keeps none
        for name in missing:
            _write(_MAKERS[name](store, trial), folder / name)


def samples(store: RunStore, trial: Trial) -> pa.Table | None:
    """Every request in the window of each host, as its load generator tells; None when it keeps none."""
    loader, folders = loaders.get(trial.result.loader), host_folders(store, trial)
    windows = {load.host: load.window for load in trial.loads} or {trial.host: trial.window}
    found = []
    for host, window in windows.items():
        table = loader.samples(folders[host], window) if host in folders else None
        if table is not None:
            found.append(table.add_column(0, "host", _repeated(host, table.num_rows)))
    return pa.concat_tables(found, promote_options="default") if found else None


def series(trial: Trial) -> pa.Table:
    """One row per host and second of the window; a series that ends early is padded with nulls.

    With several load generators there are rows for all of them together too, with the host "".
    """
    results = {load.host: load.result for load in trial.loads} or {trial.host: trial.result}
    if len(results) > 1:
        results = {ALL_HOSTS: trial.result, **results}
    names = list(dict.fromkeys(name for result in results.values() for name in result.series))
    return pa.concat_tables([_series(host, result, names) for host, result in results.items()])


def telemetry(found: Sequence[Channel]) -> pa.Table:
    """Long form: host, t (seconds from the window's start), name, value, unit."""

    def column(texts: Sequence[str]) -> pa.Array:
        repeated = [_repeated(text, len(c.times)) for text, c in zip(texts, found, strict=True)]
        return pa.concat_arrays(repeated or [_repeated("", 0)])

    return pa.table(
        {
            "host": column([channel.host for channel in found]),
            "t": _numbers([t for channel in found for t in channel.times]),
            "name": column([channel.name for channel in found]),
            "value": _numbers([value for channel in found for value in channel.values]),
            "unit": column([channel.unit for channel in found]),
        }
    )


def _telemetry(store: RunStore, trial: Trial) -> pa.Table:
    folders = host_folders(store, trial)
    return telemetry([channel for host, folder in folders.items() for channel in channels(host, folder)])


_MAKERS: Mapping[str, Callable[[RunStore, Trial], pa.Table | None]] = {
    "samples.parquet": samples,
    "series.parquet": lambda _, trial: series(trial),
    "telemetry.parquet": _telemetry,
}


def _series(host: str, result: LoaderResult, names: Sequence[str]) -> pa.Table:
    length = max((len(values) for values in result.series.values()), default=0)
    columns = {"host": _repeated(host, length), "second": _numbers(range(length))}
    for name in names:
        values = result.series.get(name, ())
        columns[name] = _numbers([*values, *[None] * (length - len(values))])
    return pa.table(columns)


def _repeated(text: str, times: int) -> pa.Array:
    data = text.encode()
    ends = np.arange(times + 1, dtype=np.int32) * len(data)
    return pa.StringArray.from_buffers(times, pa.py_buffer(ends), pa.py_buffer(data * times))


def _numbers(values: Sequence[float | None]) -> pa.Array:
    there = np.array([value is not None for value in values], dtype=np.bool_)
    bits = None if there.all() else pa.py_buffer(np.packbits(there, bitorder="little"))
    data = np.array([0.0 if value is None else value for value in values], dtype=np.float64)
    return pa.Array.from_buffers(pa.float64(), len(values), [bits, pa.py_buffer(data)])


def _write(table: pa.Table | None, path: Path) -> None:
    if table is None:
        return
    temporary = path.with_name(f".{path.name}.tmp")
    pq.write_table(table, temporary, compression="zstd")
    temporary.replace(path)
