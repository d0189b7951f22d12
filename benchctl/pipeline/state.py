"""What the journal says of a run: how far it came, what is done, whether somebody still works on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import field

from benchctl.journal import is_open, read
from benchctl.model.comparison import State
from benchctl.model.record import Record
from benchctl.pipeline.tuning import still_tuned

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.journal import Entry
    from benchctl.results.store import RunStore

StepState = Literal["done", "failed", "interrupted", "running"]


class RunState(Record, frozen=True, kw_only=True):
    """A view of the journal; state.json holds its latest form."""

    run: str
    state: State
    steps: dict[str, StepState]
    trials_planned: int
    trials_done: int
    trials_failed: dict[int, str]  # ordinal -> reason, of those that are not done
    started: float | None
    ended: float | None
    reason: str = ""
    pid: int | None = None
    destroyed: bool = False  # nothing was done on the hosts after their last destroy
    doing: tuple[str, ...] = ()  # what is under way, the widest first; of a run that goes on
    tuned: dict[str, str] = field(default_factory=dict)  # hosts that were not given back yet -> profile


def read_state(store: RunStore) -> RunState:
    """Fold the journal. A run whose controller is gone without a word counts as interrupted."""
    journal = store.path / "journal.jsonl"
    entries = read(journal)
    done = {trial for trial in range(1, _planned(store) + 1) if store.is_done(trial)}
    state, reason, pid = _standing(entries, journal)
    begun = [e.time for e in entries if e.act == "run.started"]
    ended = [e.time for e in entries if e.act == "run.ended"]
    return RunState(
        run=store.id,
        state=state,
        steps=_steps(entries),
        trials_planned=_planned(store),
        trials_done=len(done),
        trials_failed=_failures(entries, done),
        started=begun[0] if begun else None,
        ended=ended[-1] if ended and state != "running" else None,
        reason=reason,
        pid=pid,
        destroyed=_is_destroyed(entries),
        doing=_under_way(entries) if state == "running" else (),
        tuned=still_tuned(entries),
    )


def _planned(store: RunStore) -> int:
    return len(store.plan().trials)


def _standing(entries: tuple[Entry, ...], journal: Path) -> tuple[State, str, int | None]:
    marks = [e for e in entries if e.act in {"run.started", "run.ended"}]
    if not marks:
        return "planned", "", None
    last = marks[-1]
    if last.act == "run.ended":
        state: State = last.data["state"]
        return state, last.data.get("reason", ""), None
    pid: int = last.data["pid"]
    if is_open(journal):
        return "running", "", pid
    return "interrupted", f"its controller, process {pid}, is gone", None


def _under_way(entries: tuple[Entry, ...]) -> tuple[str, ...]:
    """The acts that were announced and have not ended, in words."""
    begin = max((number for number, e in enumerate(entries) if e.act == "run.started"), default=0)
    ended = {e.of for e in entries[begin:]}
    return tuple(_words(e) for e in entries[begin:] if e.phase == "meant" and e.seq not in ended)


def _words(entry: Entry) -> str:
    data = entry.data
    about = [str(data[name]) for name in ("ordinal", "instance", "stage", "image") if name in data]
    host = [f"on {data['host']}"] if "host" in data else []
    return " ".join([entry.act, *about[:1], *host])


def _steps(entries: tuple[Entry, ...]) -> dict[str, StepState]:
    names: dict[str, StepState] = {}
    for entry in entries:
        if entry.act.startswith("step."):
            names[entry.act.removeprefix("step.")] = _step(entry)
    return names


def _step(entry: Entry) -> StepState:
    if entry.phase == "failed":
        return "interrupted" if entry.data.get("interrupted") else "failed"
    return "running" if entry.phase == "meant" else "done"


def _is_destroyed(entries: tuple[Entry, ...]) -> bool:
    steps = [entry for entry in entries if entry.act.startswith("step.")]
    return bool(steps) and (steps[-1].act, steps[-1].phase) == ("step.destroy", "done")


def _failures(entries: tuple[Entry, ...], done: set[int]) -> dict[int, str]:
    meant = {e.seq: e.data["ordinal"] for e in entries if e.act == "trial" and e.phase == "meant"}
    failed = {
        meant[e.of]: e.data.get("reason", "")
        for e in entries
        if e.act == "trial" and e.phase == "failed" and e.of and not e.data.get("interrupted")
    }
    return {ordinal: reason for ordinal, reason in sorted(failed.items()) if ordinal not in done}
