"""Profiles as data: which knobs are set to what, and what cannot stand together.

Owns the shipped profiles and the check of any, pure functions on values. Must not know the host.
"""

from typing import Dict, List, Mapping, NamedTuple, Optional

from benchctl.agent.knob import Conflict, refusal
from benchctl.agent.knobs import CONFLICTS, KNOBS

_REPEATABLE = {
    "irqbalance": "masked",
    "other_tuners": "masked",
    "timers": "masked",
    "services": "masked",
    "loggers": "masked",
    "journald": "volatile",
    "audit": "0",
    "epp": "performance",
    "epb": "0",
    "governor": "performance",
    "boost": "off",
    "max_freq": "base",
    "min_freq": "base",
    "uncore_min_freq": "max",
    "wakeup_latency": "1",
    "irq_affinity": "housekeeping",
    "default_irq_affinity": "housekeeping",
    "timer_migration": "0",
    "workqueue_cpus": "housekeeping",
    "writeback_cpus": "housekeeping",
    "autogroup": "0",
    "thp": "madvise",
    "thp_defrag": "madvise",
    "khugepaged_defrag": "0",
    "ksm": "0",
    "numa_balancing": "0",
    "zone_reclaim": "0",
    "swap": "off",
    "swappiness": "1",
    "compaction": "0",
    "aslr": "2",
    "stat_interval": "10",
    "dirty_background_bytes": "268435456",
    "dirty_bytes": "1073741824",
    "dirty_expire": "3000",
    "dirty_writeback": "500",
    "io_scheduler": "device",
    "read_ahead": "128",
    "atime": "noatime",
    "nic_adaptive_rx": "off",
    "nic_adaptive_tx": "off",
    "nic_rx_usecs": "32",
    "nic_tx_usecs": "32",
    "nic_gro": "on",
    "nic_lro": "off",
    "rps_cpus": "none",
    "somaxconn": "4096",
    "syn_backlog": "4096",
    "slow_start_after_idle": "0",
    "no_metrics_save": "1",
    "nmi_watchdog": "0",
    "soft_watchdog": "0",
    "watchdog": "0",
    "hung_task_timeout": "0",
    "perf_sample_rate": "1",
    "mce_interval": "0",
}

PROFILES: Dict[str, Dict[str, str]] = {
    "none": {},
    "repeatable": _REPEATABLE,
    "peak": {
        **{name: value for name, value in _REPEATABLE.items() if name != "min_freq"},
        "boost": "on",
        "max_freq": "max",
    },
}


class Problem(NamedTuple):
    """What is wrong with the value of one knob."""

    knob: str
    text: str
    other: str = ""  # the knob that it cannot stand beside


def compose(base: Mapping[str, str], own: Mapping[str, Optional[str]]) -> Dict[str, str]:
    """Return a profile with changes; None leaves a knob of the base alone."""
    merged: Dict[str, Optional[str]] = {**base, **own}
    return {name: value for name, value in merged.items() if value is not None}


def problems(values: Mapping[str, str]) -> List[Problem]:
    """Return all that is wrong with a profile: unknown knobs, values that cannot be, and conflicts."""
    found = []
    for name, value in values.items():
        knob = KNOBS.get(name)
        if knob is None:
            from difflib import get_close_matches  # it takes long to load, and is rarely needed

            near = get_close_matches(name, KNOBS, n=1)
            found.append(
                Problem(name, "there is no such knob" + (f" (did you mean {near[0]!r}?)" if near else ""))
            )
            continue
        why = refusal(knob, value)
        if why:
            found.append(Problem(name, f"{value!r}: {why}"))
    return found + [
        Problem(one.one, _told(one, values), one.other) for one in CONFLICTS if _holds(one, values)
    ]


def _holds(conflict: Conflict, values: Mapping[str, str]) -> bool:
    return _matches(conflict.one_value, values.get(conflict.one)) and _matches(
        conflict.other_value, values.get(conflict.other)
    )


def _matches(pattern: str, value: Optional[str]) -> bool:
    if value is None or not pattern:
        return value is None and not pattern
    return pattern in {"*", value} or (pattern.startswith("!") and pattern[1:] != value)


def _told(conflict: Conflict, values: Mapping[str, str]) -> str:
    other = repr(values[conflict.other]) if conflict.other in values else "left alone"
    return f"{values[conflict.one]!r} conflicts with {conflict.other} {other}: {conflict.reason}"
