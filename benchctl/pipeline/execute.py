"""Executes steps in order; whatever happens, what was made is given back and what is known is kept."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from benchctl import __version__
from benchctl.errors import BenchctlError, InterruptedRunError, LeaseError, RunStateError
from benchctl.model.event import Message, StepEnded, StepStarted
from benchctl.pipeline.hosts import keep_hosts, outlived
from benchctl.pipeline.recovery import ever_reached, recover
from benchctl.pipeline.state import read_state
from benchctl.pipeline.steps import STEPS
from benchctl.pipeline.undo import release

if TYPE_CHECKING:
    from benchctl.model.comparison import State, Summary
    from benchctl.pipeline.session import Session
    from benchctl.pipeline.steps import Step


def execute(
    session: Session, *, first: str = "provision", last: str = "destroy", keep: bool = False
) -> Summary | None:
    """Execute the steps from `first` to `last`; return the summary when there are trials.

    On every exit path what runs on the hosts is stopped, and unless `keep` is given or `last` comes before
    destroy, the hosts are given back. The first error goes on after that.
    """
    chosen = _between(first, last)
    unwinding = not keep and chosen[-1].name == "destroy"
    session.journal.note("run.started", pid=os.getpid(), version=__version__, steps=[s.name for s in chosen])
    error: BaseException | None = None
    try:
        if chosen[0].name != "destroy":  # which finds by itself what was left
            recover(session)
        for step in chosen:
            if step.name != "destroy":
                session.cancel.check()
                _run(step, session)
    except BaseException as failure:  # noqa: BLE001 - kept, and raised again after the way back
        error = outlived(session, failure)
    error = _unwind(session, error, destroying=unwinding, keep=keep)
    try:
        summary = _conclude(session, error)
    except (OSError, RunStateError) as failure:
        if error is None:
            raise _unwritable(failure) from failure
        session.listener(Message(level="warning", text=f"how the run ended is not on record: {failure}"))
    if error is not None:
        raise error
    return summary


def _between(first: str, last: str) -> tuple[Step, ...]:
    names = [step.name for step in STEPS]
    return STEPS[names.index(first) : names.index(last) + 1]


def _run(step: Step, session: Session) -> None:
    session.listener(StepStarted(step=step.name))
    begin = session.timer()
    try:
        with session.journal.act(f"step.{step.name}") as act:
            try:
                detail = step.act(session)
            except InterruptedRunError:
                act.learned(interrupted=True)
                raise
        session.store.save_state(read_state(session.store))
    except OSError as error:
        raise _unwritable(error) from error
    session.listener(StepEnded(step=step.name, seconds=session.timer() - begin, detail=detail))


def _unwind(
    session: Session, error: BaseException | None, *, destroying: bool, keep: bool
) -> BaseException | None:
    """Give the hosts back; an error on the way back is told, and kept only when it is the first."""
    try:
        if destroying:
            _run(STEPS[-1], session)
        else:
            release(session)
            if keep:
                keep_hosts(session)
    except BenchctlError as failure:
        if isinstance(failure, RunStateError):
            session.give_back(destroying=destroying)
        remedy = f"`benchctl destroy {session.store.id}` tries again"
        session.listener(Message(level="warning", text=f"the way back failed: {failure}\n{remedy}"))
        return error or failure
    finally:
        session.close()
    return error


def _unwritable(error: Exception) -> RunStateError:
    if isinstance(error, RunStateError):
        return error
    return RunStateError(
        f"a file could not be read or written: {error}",
        remedy="free space, or make the folder writable; then `benchctl resume` the run",
    )


def _state(session: Session, error: BaseException | None) -> State:
    if isinstance(error, LeaseError) and not ever_reached(session.journal.entries()):
        return "planned"  # another run holds the host, and this one has done nothing yet
    if error is None:
        return "finished" if read_state(session.store).steps.get("benchmark") == "done" else "planned"
    return "interrupted" if isinstance(error, InterruptedRunError) else "failed"


def _conclude(session: Session, error: BaseException | None) -> Summary | None:
    """Put on record how the run ended, then what the finished trials say."""
    reason = "" if error is None else str(error)
    session.journal.note("run.ended", state=_state(session, error), reason=reason)
    session.store.save_state(read_state(session.store))
    if not session.store.trials():
        return None
    from benchctl.pipeline.summary import summarise  # late: tables and statistics take as long as connecting
    from benchctl.results.tables import write_tables

    summary = summarise(session.store)
    session.store.save_summary(summary)
    write_tables(session.store)
    return summary
