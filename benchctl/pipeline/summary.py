"""From a run directory to its summary and to the view of reports; offline, any time, the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from benchctl import __version__, analysis, gates
from benchctl.benchmark.evaluation import evaluate, measured
from benchctl.benchmark.knobs import DRIFT
from benchctl.journal import read
from benchctl.pipeline.recovery import reboots
from benchctl.pipeline.state import read_state
from benchctl.results.detail import details
from benchctl.results.raw import server_logs
from benchctl.results.view import Failure, RunView

if TYPE_CHECKING:
    from benchctl.model.comparison import Summary
    from benchctl.model.measurement import Trial
    from benchctl.model.plan import Plan
    from benchctl.pipeline.state import RunState
    from benchctl.results.store import RunStore


def summarise(store: RunStore, *, recompute: bool = False) -> Summary:
    """Analyse the finished trials; with `recompute` their numbers come from the raw files again."""
    trials = store.trials()
    if recompute:
        plan = store.plan()
        trials = tuple(_derive_again(store, plan, trial) for trial in trials)
    state, context = read_state(store), _context(store)
    summary = analysis.summarise(
        store.plan(),
        trials,
        run=store.id,
        state=state.state,
        failed=len(state.trials_failed),
        planned=state.trials_planned,
        grade=context.grade,
        tuning=[
            analysis.tuned_host(host, tuning, context.on(host).grade)
            for host, tuning in store.tunings().items()
        ],
        events=[e for trial in trials for e in analysis.trial_events(trial, server_logs(store, trial))],
    )
    return msgspec.structs.replace(summary, notes=(*summary.notes, *_notes(store)))


def load_view(store: RunStore, summary: Summary | None = None, *, near: bool = False) -> RunView:
    """Read back all that a report shows; without a summary given, the stored one if it is still true.

    `near`: one trial of each treatment with its telemetry and latencies, which takes longer. Writes nothing.
    """
    state, plan, trials = read_state(store), store.plan(), store.trials()
    return RunView(
        path=store.path,
        summary=summary or _stored(store, state, len(trials)) or summarise(store),
        plan=plan,
        experiment_text=store.experiment_text(),
        trials=trials,
        failures=tuple(Failure(ordinal, reason) for ordinal, reason in state.trials_failed.items()),
        fingerprints=store.fingerprints(),
        started=state.started or 0.0,
        ended=state.ended,
        benchctl_version=_version(store),
        reason=state.reason,
        groups=_groups(store),
        details=details(store, analysis.typical(plan, trials)) if near else (),
        tunings=store.tunings(),
    )


def _stored(store: RunStore, state: RunState, trials: int) -> Summary | None:
    """The stored summary, unless something has happened since it was made."""
    if state.state == "running" or not store.has_summary():
        return None
    summary = store.summary()
    counts = summary.trials
    known = (summary.state, counts.ok + counts.suspect + counts.invalid)
    return summary if known == (state.state, trials) else None


def _derive_again(store: RunStore, plan: Plan, trial: Trial) -> Trial:
    evaluation = evaluate(
        store.trial_folder(trial.ordinal) / "raw",
        measured(trial),
        workload=plan.treatment(trial.treatment).workload,
        units=plan.units,
        context=_context(store),
    )
    return msgspec.structs.replace(trial, **evaluation._asdict())


def _notes(store: RunStore) -> list[str]:
    """What the journal knows and no trial shows."""
    entries = read(store.path / "journal.jsonl")
    several = len(store.inventory().hosts) > 1
    return [
        f"{', '.join(hosts) if several else 'the host'} was rebooted before trial {ordinal}"
        for ordinal, hosts in reboots(entries)
    ] + [
        f"{entry.data['host']}: changed before trial {entry.data['ordinal']}, and set again:"
        f" {gates.places(entry.data['drifted'])}"
        for entry in entries
        if entry.act == DRIFT
    ]


def _context(store: RunStore) -> gates.Context:
    return gates.context(store.inventory(), store.fingerprints(), store.plan(), store.tunings())


def _groups(store: RunStore) -> tuple[tuple[str, tuple[str, ...]], ...]:
    groups = store.inventory().groups
    return tuple((name, tuple(host.name for host in hosts)) for name, hosts in groups.items())


def _version(store: RunStore) -> str:
    """The version that ran the trials, from the journal."""
    versions = [e.data["version"] for e in read(store.path / "journal.jsonl") if e.act == "run.started"]
    return str(versions[0]) if versions else __version__
