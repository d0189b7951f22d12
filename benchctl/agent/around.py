"""Who may have done something on this host since a moment: processes, units and sessions that began then.

Owns what can be told without having looked before. Must not judge who it was.
"""

import contextlib
import os
import time
from typing import List, Set, Union

from benchctl.agent import surroundings, tree
from benchctl.agent.process import birth_of
from benchctl.agent.wire import Json

SHOWN = 10  # of each
_KERNEL = 2  # the parent of all kernel threads


def since(moment: float, ours: Set[int]) -> Json:
    """Return what began after a moment of the time of day: living `processes`, `units`, `logins`.

    `ours` are the roots of process trees that do not count.
    """
    age = max(0.0, time.time() - moment)
    return {
        "processes": _processes(age, ours)[:SHOWN],
        "units": _begun(surroundings.UNITS, moment)[:SHOWN],
        "logins": len(_begun(surroundings.SESSIONS, moment)),
    }


def _processes(age: float, ours: Set[int]) -> List[Json]:
    """Return the living ones that began within the last `age` seconds, the busiest first."""
    seen = tree.walk()
    known = {_KERNEL, *(pid for pid, one in seen.items() if one.parent == _KERNEL)}
    for root in ours:
        known |= tree.below(seen, root)
    latest = (time.clock_gettime(time.CLOCK_BOOTTIME) - age) * tree.TICK
    found = []
    for pid in seen.keys() - known:
        with contextlib.suppress(ProcessLookupError):
            if birth_of(pid) >= latest:
                found.append({"pid": pid, "name": seen[pid].name, "cpu": seen[pid].own / tree.TICK})
    return sorted(found, key=lambda one: (-one["cpu"], one["pid"]))


def _begun(folder: Union[str, "os.PathLike[str]"], moment: float) -> List[str]:
    """Return the names of files that were made or written after a moment; systemd has one for each."""
    found: List[str] = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        found += [entry.name for entry in entries if entry.stat(follow_symlinks=False).st_mtime >= moment]
    return sorted(name.partition(":")[2] or name for name in found if not name.endswith(".ref"))
