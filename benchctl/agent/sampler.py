"""The host's counters over a measured window, raw: one JSON line per sample.

Owns host.samples (schema 2). Files stay open and are read as they are; nothing is interpreted here, so that
verdicts can be worked out again later. Its own cost is part of each sample.
"""

import json
import os
import time
from pathlib import Path
from typing import Callable, Dict, Iterable, List, Optional, Set

from benchctl.agent import pinning, surroundings
from benchctl.agent.ring import Ring
from benchctl.agent.sources import Sources, open_cgroup, read_file
from benchctl.agent.tree import TICK, Seen, Tree, below, walk
from benchctl.agent.wire import Json

SCHEMA = 2
BUSIEST = 10  # foreign processes that a sample names
LARGE = 24 << 10  # bytes of a sample: twice what a host with a hundred processes and some disks has
LEAST, MOST = 4 << 20, 256 << 20  # bytes of a window's samples; the most are seven hours at 1 Hz
_DEAR_EVERY, _DEAREST_EVERY = 0.95, 4.95  # seconds from one reading of what is dear to the next
_DEAREST = frozenset(("netstat", "snmp"))
_DEAR = frozenset(("vmstat", "meminfo")) | _DEAREST


class Sampler:
    """One window. `take` costs some tenths of a millisecond, at the edges a walk over /proc on top."""

    def __init__(
        self,
        path: Path,
        service: Optional[int],
        sources: Optional[Sources] = None,
        *,
        expected: int = 0,
        placed: Callable[[str], Optional[str]] = lambda _: None,
    ) -> None:
        """Open what is this window's own; `service` is the server's process number if there is one.

        `expected` is how many samples the file has to hold; beyond MOST bytes the oldest go, never an edge.
        `placed` tells the CPUs that task and service were started on, None for all.
        """
        self.taken = 0
        self._service = service
        self._placed = placed
        self._sources = sources or Sources()
        self._owned = sources is None
        self._service_cgroup = open_cgroup(service)
        self._kernel_log = surroundings.KernelLog()
        self._trees: Dict[int, Tree] = {}
        self._dear_at = self._dearest_at = float("-inf")
        self._first: Optional[Dict[int, int]] = None  # CPU ticks of foreign processes at the first edge
        head = {"schema": SCHEMA, "files": self._sources.names}
        self._ring = Ring(path, head, min(MOST, max(LEAST, expected * LARGE)))

    def take(
        self,
        task: Optional[int],
        *,
        edge: bool,
        warmup: bool = False,
        ended: Optional[float] = None,
    ) -> None:
        """Add a sample; what is dear is in it at an `edge` and once a second, the dearest each five.

        `ended` is the CPU of a task that is gone. `foreign` holds all other processes at the first edge, the
        busiest since then at the last.
        """
        now = time.monotonic()
        dear = edge or now - self._dear_at >= _DEAR_EVERY
        dearest = edge or now - self._dearest_at >= _DEAREST_EVERY
        left_out = (frozenset() if dear else _DEAR) | (frozenset() if dearest else _DEAREST)
        sample: Json = {
            "t": time.time(),
            "m": now,
            "files": self._sources.read(left_out),
            "task": {"cpu": ended},
            "service": {"cpu": None},
        }
        if dearest:
            self._dearest_at = now
        if dear:
            self._dear_at = now
            self._add_dear(sample, task)
        if edge or not self.taken:
            self._add_processes(sample, task, foreign=edge)
        if edge:
            self._add_surroundings(sample)
        if warmup:
            sample["warmup"] = True
        sample["agent"] = {"cpu": time.process_time()}
        self._ring.add(json.dumps(sample), stays=edge)
        self.taken += 1

    def close(self) -> None:
        """Write what is left and close all files."""
        self._ring.close()
        for handle in self._service_cgroup.values():
            if handle is not None:
                os.close(handle)
        if self._owned:
            self._sources.close()
        self._kernel_log.close()
        for tree in self._trees.values():
            tree.close()

    def _add_dear(self, sample: Json, task: Optional[int]) -> None:
        self._sources.add_sensors(sample)
        if self._service_cgroup:
            sample["service_cgroup"] = {
                name: read_file(handle) for name, handle in self._service_cgroup.items()
            }
        if self._service in self._trees:
            sample["service"] = self._trees[self._service].read()
        if task in self._trees and sample["task"]["cpu"] is None:
            sample["task"] = {"cpu": self._trees[task].read_cpu()}

    def _add_processes(self, sample: Json, task: Optional[int], *, foreign: bool) -> None:
        """Look at all processes: who belongs to whom, and what the trees and the others used."""
        seen = walk()
        ours = {os.getpid()}
        for name, root in (("task", task), ("service", self._service)):
            if root in seen:
                found = below(seen, root)
                ours |= found
                tree = self._trees.setdefault(root, Tree(root))
                tree.follow(found)
                sample[name] = tree.read() if name == "service" else {}
                sample[name]["cpu"] = sum(seen[pid].ticks for pid in found) / TICK
                cpus = self._placed(name)
                if cpus and foreign:
                    sample[name]["cpus"] = {"wanted": cpus, "threads": pinning.sitting(found)}
        if foreign:
            ours |= below(seen, os.getpid())
            sample["foreign"] = self._busiest(_foreign(seen, ours))

    def _add_surroundings(self, sample: Json) -> None:
        sample["edge"] = True
        readers: Dict[str, Callable[[], object]] = {
            "irqs": surroundings.interrupts,
            "kmsg": self._kernel_log.news,
            "units": surroundings.units,
            "logins": surroundings.logins,
        }
        for name, read in readers.items():
            sample[name] = read()

    def _busiest(self, foreign: Dict[int, Seen]) -> List[Json]:
        if self._first is None:  # all of them: any may turn out to be the busiest
            self._first = {pid: one.own for pid, one in foreign.items()}
            return _entries(foreign, foreign)
        first = self._first
        ranked = sorted(foreign, key=lambda pid: foreign[pid].own - first.get(pid, 0), reverse=True)
        return _entries(foreign, ranked[:BUSIEST])


def _foreign(seen: Dict[int, Seen], ours: Set[int]) -> Dict[int, Seen]:
    kernel = 2  # the parent of all kernel threads: they work for others
    return {
        pid: one
        for pid, one in seen.items()
        if pid not in ours and one.own and kernel not in {pid, one.parent}
    }


def _entries(foreign: Dict[int, Seen], pids: Iterable[int]) -> List[Json]:
    return [{"pid": pid, "name": foreign[pid].name, "cpu": foreign[pid].own / TICK} for pid in pids]
