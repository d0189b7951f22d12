"""What is left of noise on this host: each CPU's own view of it, and the interrupts of that time.

Owns the start of one program for each CPU at one instant, and the reading of what the kernel counts. Changes
nothing; disturbs everything else while it lasts.
"""

import json
import sys
import threading
import time
from typing import Callable, Dict, FrozenSet, List, Mapping, Optional

from benchctl.agent import forms, process, service
from benchctl.agent.context import Context
from benchctl.agent.refusal import RefusalError
from benchctl.agent.wire import Json

MOST = 128  # CPUs at once: a reply has its limit
_LONGEST = 120.0  # seconds
_LEAD = 0.5  # seconds until all programs wait for their start, and half as much for each ten CPUs
_LIMIT = 60.0  # seconds after its time for one to end
_TIMERS = ("LOC", "arch_timer")  # x86; ARM
_TABLES = ("/proc/interrupts", "/proc/softirqs")
_TABLES = ("/proc/interrupts", "/proc/softirqs")
_Results = Callable[[], Dict[int, Json]]
_Counts = Dict[str, List[int]]  # name -> by CPU


def noise(context: Context, seconds: float, cpus: Optional[str] = None) -> Json:
    """Measure all CPUs of this host at once, or some; return one row for each.

    Raises RefusalError for CPUs that this host does not have, and for a time that is none.
    """
    if not 0 < seconds <= _LONGEST:
        raise RefusalError(f"noise: seconds is {seconds:g}; allowed: up to {_LONGEST:g}")
    chosen = check_cpus(cpus)
    begin = time.monotonic() + _LEAD * (1 + len(chosen) / 20)
    results = _loops(context, chosen, begin, seconds)
    time.sleep(max(0.0, begin - time.monotonic()))
    before = [counts(_text(path)) for path in _TABLES]
    time.sleep(seconds)
    changed = [difference(old, counts(_text(path))) for old, path in zip(before, _TABLES)]  # noqa: B905 - pairs
    told = results()
    return {"seconds": seconds, "cpus": [_row(cpu, told[cpu], *changed) for cpu in sorted(chosen)]}


def counts(text: str) -> _Counts:
    """Read a table of the kernel with a column for each CPU that is online; a row's name has its device.

    The columns keep the numbers of their CPUs: those that are offline count 0.
    """
    head, *lines = text.splitlines() or [""]
    numbers = [int(word[3:]) for word in head.split() if word.startswith("CPU")]
    found: _Counts = {}
    for line in lines:
        name, _, rest = line.strip().partition(":")
        words = rest.split()
        figures = [int(word) for word in words[: len(numbers)] if word.isdigit()]
        if len(figures) < len(numbers):  # ERR and MIS are of no CPU
            continue
        by_cpu = [0] * (max(numbers) + 1)
        for number, figure in zip(numbers, figures):  # noqa: B905 - pairs
            by_cpu[number] = figure
        device = words[-1] if name.isdigit() and len(words) > len(numbers) else ""
        found[f"{name} {device}".strip()] = by_cpu
    return found


def difference(before: _Counts, after: _Counts) -> _Counts:
    """Return how often each happened between two tables."""
    found = {}
    for name, now in after.items():
        old = before.get(name, [])
        found[name] = [count - (old[cpu] if cpu < len(old) else 0) for cpu, count in enumerate(now)]
    return found


def on_cpu(changed: _Counts, cpu: int) -> Dict[str, int]:
    """Return what happened on one CPU, the most frequent first."""
    found = {name: by_cpu[cpu] for name, by_cpu in changed.items() if cpu < len(by_cpu) and by_cpu[cpu] > 0}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _row(cpu: int, told: Json, interrupts: _Counts, softirqs: _Counts) -> Json:
    hard, soft = on_cpu(interrupts, cpu), on_cpu(softirqs, cpu)
    timers = sum(count for name, count in hard.items() if name.split()[-1] in _TIMERS)
    row = {"cpu": cpu, **told, "timers": timers, "interrupts": sum(hard.values()) - timers}
    return {**row, "softirqs": sum(soft.values()), "busiest": _first(hard), "busiest_softirqs": _first(soft)}


def _first(found: Mapping[str, int]) -> Dict[str, int]:
    return dict([(name, count) for name, count in found.items() if name.split()[-1] not in _TIMERS][:2])


def check_cpus(cpus: Optional[str]) -> FrozenSet[int]:
    """Return the CPUs that a list names, all that are online without one. Raises RefusalError."""
    online = forms.cpus(_text("/sys/devices/system/cpu/online"))
    try:
        chosen = forms.cpus(cpus) if cpus else online
    except ValueError:
        raise RefusalError(f"noise: {cpus!r} is no list of CPUs such as 0-3,8") from None
    if not chosen or chosen - online:
        raise RefusalError(f"noise: this host has the CPUs {forms.cpu_list(online)}, not {cpus}")
    if len(chosen) > MOST:
        raise RefusalError(f"noise: {len(chosen)} CPUs; at most {MOST} at once: name some with --cpus")
    return chosen


def _loops(context: Context, cpus: FrozenSet[int], begin: float, seconds: float) -> _Results:
    """Start a program on each CPU; return what waits for all of them and returns what they printed."""
    told: Dict[int, Json] = {}
    limit = begin - time.monotonic() + seconds + _LIMIT

    argv = [sys.executable, "-ISB", sys.argv[0], "jitter", repr(begin), repr(seconds)]

    def measure(cpu: int) -> None:
        owner = (
            f"noise-{cpu}"  # each is placed by itself: the plan may give its CPU to what is measured alone
        )
        try:
            setting = process.Setting({}, "/", cpus=str(cpu))
            told[cpu] = json.loads(service.execute(context, argv, owner, setting, limit).stdout)
        except RefusalError as error:
            told[cpu] = {"error": str(error)}
        except ValueError:
            told[cpu] = {"error": "its loop ended without a word"}
        finally:
            context.reaper.cgroups.remove(owner)
            context.reaper.placed.pop(owner, None)

    threads = [threading.Thread(target=measure, args=(cpu,), name=f"noise-{cpu}") for cpu in sorted(cpus)]
    for thread in threads:
        thread.start()

    def results() -> Dict[int, Json]:
        for thread in threads:
            thread.join()
        return told

    return results


def _text(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as file:  # noqa: PTH123 - loads nothing
        return file.read()
