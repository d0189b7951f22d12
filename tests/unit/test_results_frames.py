"""A run's frames as a notebook sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from benchctl.model.measurement import Quantity
from benchctl.results.frames import RunFrames
from benchctl.results.store import RunStore
from tests.builders import plan, trial

if TYPE_CHECKING:
    from pathlib import Path


def test_a_value_that_is_missing_in_every_trial_is_a_number_to_pandas(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path / "one", experiment_text="name: test\n", plan=plan())
    for ordinal in (1, 2):
        (store.raw_folder(ordinal) / "stdout").write_text("")
        done = trial(ordinal)
        metrics = {**done.result.metrics, "latency_p999": Quantity(value=None, unit="ms")}
        result = msgspec.structs.replace(done.result, metrics=metrics)
        store.finish(msgspec.structs.replace(done, result=result))
    frames = RunFrames(store)
    assert str(frames.trials["latency_p999"].dtype) == "float64"
    assert frames.trials["throughput"].mean() == 100
    assert repr(frames) == "<run one: .trials .samples .series .telemetry>"
