"""Finished run directories as `benchctl run` leaves them, made from numbers: for tests of what reads runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from benchctl.model.host import Host, Inventory
from benchctl.model.measurement import Quantity, ServerFacts
from benchctl.pipeline.summary import load_view, summarise
from benchctl.provision import to_ansible
from benchctl.results.store import RunStore
from tests import builders

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchctl.model.measurement import Trial
    from benchctl.model.plan import Plan
    from benchctl.model.tuning import HostTuning
    from benchctl.results.view import RunView

LABELS = ("on", "off")
FACTS: dict[str, Any] = {
    "host.name": "bench-1",
    "kernel.release": "6.8.0",
    "cpu.model": "Test CPU",
    "memory.total": 2**34,
    "virtual.hypervisor": False,
    "sysctl.vm.swappiness": "60",
}


def record_run(  # noqa: PLR0913 - each test names the few it cares about
    root: Path,
    run: str,
    throughputs: Mapping[str, Sequence[float]],
    *,
    facts: Mapping[str, Any] | None = None,
    version: str = "18.6",
    settings: Mapping[str, str] | None = None,
    plan: Plan | None = None,
    invalid: Sequence[int] = (),
    tuning: HostTuning | None = None,
) -> RunStore:
    """Write a run of builders.plan: throughput by level of its factor, one value for each block."""
    blocks = max(map(len, throughputs.values()))
    store = RunStore.create(
        root / "runs" / run, experiment_text="name: test\n", plan=plan or builders.plan(blocks=blocks)
    )
    local = Host(name="localhost", transport="pipe")
    store.save_inventory(to_ansible(Inventory(groups={"dbms": (local,), "loader": (local,)})))
    store.save_fingerprint("localhost", {**FACTS, **(facts or {})})
    if tuning is not None:
        store.save_tuning("localhost", tuning)
    server = ServerFacts(
        instance="postgresql-1", image="abc", version=version, settings=dict(settings or {}), wanted={}
    )
    for ordinal in range(1, 2 * blocks + 1):
        values = throughputs[LABELS[(ordinal + 1) % 2]]
        if len(values) >= (ordinal + 1) // 2:
            trial = _trial(ordinal, values[(ordinal - 1) // 2], invalid=ordinal in invalid)
            (store.trial_folder(ordinal) / "raw").mkdir(parents=True)
            store.finish(replace(trial, server=server))
    store.save_summary(summarise(store))
    return store


def record_view(root: Path, run: str, throughputs: Mapping[str, Sequence[float]], **more: Any) -> RunView:
    """The same, read back."""
    return load_view(record_run(root, run, throughputs, **more))


def _trial(ordinal: int, throughput: float, *, invalid: bool) -> Trial:
    trial = builders.trial(ordinal, throughput=throughput, validity="invalid" if invalid else "ok")
    metrics = {"throughput": Quantity(value=throughput, unit="1/s")}
    return replace(trial, result=replace(trial.result, metrics=metrics))
