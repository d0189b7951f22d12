"""The dead man's switch of tuning: gives the host back when its run is gone for longer than its lease.

Owns one process that sleeps as long as the run's supervisor lives. A supervisor that ends restores by itself;
this one is for those that are killed.
"""

import contextlib
import os
import select
import time
from pathlib import Path
from typing import Optional

from benchctl.agent import detached, lease
from benchctl.agent.cgroup import Cgroups
from benchctl.agent.holder import Holder
from benchctl.agent.layout import lease_folder, machine_root, state_folder
from benchctl.agent.machine import Machine
from benchctl.agent.process import birth_of
from benchctl.agent.refusal import RefusalError
from benchctl.agent.restore import restore
from benchctl.agent.tuning_journal import Batch, Journal

_NAME = "guard"


def post(run: str) -> None:
    """Start the guard of a run, unless it has one. Raises OSError when it does not start."""
    folder = state_folder()
    noted = detached.find(folder, _NAME)
    if noted is None or noted.get("run") != run:
        detached.stop(folder, _NAME)
        detached.start(folder, _NAME, ["--run", run])


def dismiss() -> None:
    """End the guard. Safe to repeat."""
    detached.stop(state_folder(), _NAME)


def guard(run: str, ready: Optional[int]) -> int:
    """Be the guard of a run, until it is over. Returns the exit status."""
    folder = state_folder()
    detached.note(folder, _NAME, {"run": run})
    if ready is not None:
        os.write(ready, detached.READY)
        os.close(ready)
    _await_end(lease_folder(), run)
    _give_back(folder, run)
    return 0


def _await_end(folder: Path, run: str) -> None:
    """Sleep until the run has neither a supervisor nor time to come back with another."""
    while True:
        record = lease.holder(folder)
        if record is not None and record.get("run") != run:
            return
        if record is not None:
            _await_process(record["supervisor"]["pid"], record["supervisor"]["birth"])
            continue
        seconds = lease.left(folder, run)
        if not seconds:
            return
        time.sleep(min(seconds, 1.0))  # it may come back, with another supervisor


def _await_process(pid: int, birth: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            if birth_of(pid) == birth:
                poll = select.poll()
                poll.register(handle, select.POLLIN)
                poll.poll()
        finally:
            os.close(handle)


def _give_back(folder: Path, run: str) -> None:
    def chosen(batch: Batch) -> bool:
        return batch.run == run and not batch.head.get("kept")

    Cgroups(run=run).end()  # else what it left there would keep its CPUs
    with contextlib.suppress(RefusalError):  # the journal stays for whoever looks next
        restore(Machine(machine_root(), Holder(folder)), Journal(folder), chosen)
    detached.stop(folder, _NAME)  # its note and its log: it ends by itself
