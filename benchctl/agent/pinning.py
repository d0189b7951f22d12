"""Which CPUs the plan in force gives to what is started here, and where the threads of it sit.

Owns the reading of the plan that tuning left in its journal. Must not make the plan, nor start anything. It
is loaded with the agent: what it needs of tuning is loaded when there is a journal.
"""

import contextlib
import os
from typing import TYPE_CHECKING, Dict, Iterable, Optional, Tuple

from benchctl.agent import layout
from benchctl.agent.cgroup import MEASURED as PLACE

if TYPE_CHECKING:
    from benchctl.agent.process import Setting

KNOB = "cpu_sets"  # with it the plan comes into force
DBMS, LOADER = "dbms", "loader"
REST = ""  # what a role has that the plan does not name: all CPUs but those of housekeeping

_State = Tuple[int, int]
_last: Tuple[Optional[_State], Dict[str, str]] = (None, {})  # the journal's state, and the plan in it


def placed(setting: "Setting", role: str) -> "Setting":
    """Return how something of a role starts: on its own CPUs where it names them, else on the plan's."""
    return setting if setting.cpus else setting._replace(cpus=in_force(role))


def in_force(role: str) -> Optional[str]:
    """Return the CPUs that a role has on this host by the plan; None where none is in force."""
    global _last  # noqa: PLW0603 - one host, one journal, read when it has changed: each start asks
    try:
        found = os.stat(layout.tuning_journal())  # noqa: PTH116 - loads nothing
    except OSError:
        return None
    state = (found.st_mtime_ns, found.st_size)
    if _last[0] != state:
        _last = (state, _planned())
    plan = _last[1]
    return plan.get(role, plan.get(REST))


def sitting(pids: Iterable[int]) -> Dict[str, int]:
    """Return on which CPUs the threads of processes may run, with how many may run there."""
    found: Dict[str, int] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - in a measured window
                with contextlib.suppress(OSError):
                    cpus = _listed(os.sched_getaffinity(int(thread)))
                    found[cpus] = found.get(cpus, 0) + 1
    return found


def _listed(numbers: Iterable[int]) -> str:
    from benchctl.agent.forms import cpu_list

    return cpu_list(numbers)


def _planned() -> Dict[str, str]:
    """Return the last plan of the journal that came into force."""
    from benchctl.agent.tuning_journal import Journal

    for batch in reversed(Journal(layout.state_folder()).read()[0]):
        if batch.here and batch.head.get("cpus") and any(one.path == str(PLACE) for one in batch.wanted):
            return dict(batch.head["cpus"])
    return {}
