"""What was measured of this host and holds for later runs, as long as the host stays what it is.

Owns the file in the cache and what makes it void: another boot, other CPUs or clocks, another agent.
"""

import json
import os
import sys
from pathlib import Path
from typing import Dict

from benchctl.agent.context import Context
from benchctl.agent.process import boot_id
from benchctl.agent.wire import Json

FILE = "measured.json"
KEPT = 64  # values; beyond these the oldest go
_CLOCKS = (
    "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
    "/sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq",
    "/sys/devices/system/cpu/intel_pstate/no_turbo",
    "/sys/devices/system/cpu/cpufreq/boost",
    "/sys/devices/system/cpu/smt/control",
)


def recall(context: Context, name: str) -> Json:
    """Return what was remembered under a name on this host as it is now; None when there is nothing."""
    return {"value": _values(context).get(name)}


def remember(context: Context, name: str, value: Json) -> Json:
    """Keep a value for later runs."""
    values = _values(context)
    values.pop(name, None)
    kept = dict([*values.items(), (name, value)][-KEPT:])
    path = context.cache / FILE
    part = path.with_name(f".{FILE}.{os.getpid()}")
    part.write_text(json.dumps({"host": _host(), "values": kept}))
    part.replace(path)
    return {}


def _values(context: Context) -> Dict[str, Json]:
    try:
        found = json.loads((context.cache / FILE).read_bytes())
        values: Dict[str, Json] = found["values"] if found["host"] == _host() else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return values


def _host() -> Json:
    clocks = [_content(Path(path)) for path in _CLOCKS]
    return {
        "boot_id": boot_id(),
        "cpus": sorted(os.sched_getaffinity(0)),
        "clocks": clocks,
        "agent": Path(sys.argv[0]).stem,
    }


def _content(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
