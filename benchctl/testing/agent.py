"""An agent without a host: same operations, scripted outcomes, files where the real one writes them.

Nothing is started and no time passes: a task ends at once and its window is worked out. Held to
tests/contract/test_agent.py together with the real one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchctl.agent import layout
from benchctl.errors import AgentError, ServiceError

Reply = dict[str, Any]
Outcome = Exception | Reply | Callable[[Reply], Reply]
"""What a scripted call does: raise, change keys of the usual reply, or make the reply from the arguments."""

Content = bytes | Callable[[Reply], bytes]

_PROC = {
    "stat": "cpu  {b} 0 {s} {i} 0 0 0 0 0 0\ncpu0 {b} 0 {s} {i} 0 0 0 0 0 0\nctxt {b}\nprocesses {s}\n",
    "pressure_cpu": "some avg10=0.00 avg60=0.00 avg300=0.00 total={b}\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "pressure_io": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "pressure_memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "vmstat": "pswpin 0\npswpout 0\npgmajfault 0\noom_kill 0\n",
    "diskstats": "   8       0 sda 100 0 800 10 {b} 0 800 10 0 20 20 0 0 0 0 0 0\n",
    "loadavg": "0.50 0.40 0.30 1/100 4242\n",
    "meminfo": "MemTotal:       16000000 kB\nMemAvailable:   15000000 kB\nDirty:               0 kB\n",
}


class FakeAgent:
    """In-process stand-in for AgentConnection, as `connect` returns it: greeted and with the lease taken."""

    def __init__(
        self,
        folder: Path,
        *,
        host: str = "fake",
        run: str = "run",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Keep all files under `folder`; `clock` gives the host's CLOCK_REALTIME."""
        self.host = host
        self.calls: list[tuple[str, Reply]] = []
        self.version = "18.6"
        self.settings: dict[str, str] = {}  # what the server reads back beside what a start was given
        self.differing: dict[str, str] = {}  # settings that the server reads back otherwise than given
        self.outputs: dict[str, Content] = {"stdout": b"", "stderr": b""}  # what each task leaves in its cwd
        self.closed = False
        self._clock = clock
        self._scripted: dict[str, deque[Outcome]] = defaultdict(deque)
        self._running: dict[str, dict[str, str]] = {}  # descriptor -> settings it was started with
        self._images: set[str] = set()
        self._tasks: dict[str, Reply] = {}
        self._commits = 0
        cache = folder / "cache"
        self._work = cache / "runs" / run
        self.hello = self._hello(cache, folder / "rt")
        self._work.mkdir(parents=True)

    def script(self, op: str, *outcomes: Outcome) -> None:
        """Let the next calls of `op` end so, one after the other; after them it works as usual again."""
        self._scripted[op].extend(outcomes)

    def add_descriptor(self, instance: str) -> str:
        """Write the least descriptor that a service needs; return its path."""
        path = Path(self.hello["cache"]) / "instances" / instance / "descriptor.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"schema": 1, "role": "fake", "instance": instance, "kind": "dbms"}))
        return str(path)

    def call(self, op: str, *, timeout: float, **args: Any) -> Reply:  # noqa: ANN401 - JSON values
        if self.closed:
            raise AgentError(f"{self.host}: the connection is closed")
        if timeout <= 0:
            raise AgentError(f"{self.host}: no reply to {op} within {timeout:g} s")
        self.calls.append((op, args))
        outcome = self._scripted[op].popleft() if self._scripted[op] else {}
        if isinstance(outcome, Exception):
            raise outcome
        if callable(outcome):
            return outcome(args)
        act = getattr(self, f"_op_{op}", None)
        if act is None:
            raise AgentError(f"{self.host}: the agent has no operation {op!r}")
        return {**act(args), **outcome}

    def fetch(self, path: str, destination: Path) -> str:
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise AgentError(f"{self.host}: {path} cannot be fetched: {error.strerror}") from error
        destination.write_bytes(data)
        return hashlib.sha256(data).hexdigest()

    def close(self) -> None:
        self.closed = True

    def _hello(self, cache: Path, runtime: Path) -> Reply:
        return {
            "protocol": 1,
            "pid": os.getpid(),
            "boot_id": "00000000-0000-0000-0000-000000000000",
            "python": "3.9.0",
            "uid": os.getuid(),
            "cache": str(cache),
            "work": str(self._work),
            "runtime": str(runtime),
            "realtime": self._clock(),
            "monotonic": 0.0,
            "hash": "0" * 64,
        }

    def _op_hello(self, _: Reply) -> Reply:
        return {**self.hello, "realtime": self._clock()}

    def _op_lease(self, _: Reply) -> Reply:
        return {}

    def _op_checkpoint(self, args: Reply) -> Reply:
        self._started(args)
        return {}

    def _op_cancel(self, _: Reply) -> Reply:
        return {}

    def _op_stamps(self, args: Reply) -> Reply:
        stamps = Path(self.hello["cache"]) / "stamps"
        found = {name: stamps / name for name in args["want"] if (stamps / name).is_file()}
        return {
            "differ": [
                name
                for name, wanted in args["want"].items()
                if name not in found or found[name].read_text().strip() != wanted
            ]
        }

    def _op_verify(self, args: Reply) -> Reply:
        self._descriptor(args)
        return {"problems": []}

    def _op_image(self, args: Reply) -> Reply:
        self._descriptor(args)
        built = args["image"] not in self._images
        self._images.add(args["image"])
        return {"built": built, "seconds": 0.0, "bytes": 1024}

    def _op_reset(self, args: Reply) -> Reply:
        instance = self._descriptor(args)["instance"]
        if args["image"] not in self._images:
            raise AgentError(f"{self.host}: there is no image {args['image']}")
        if args["descriptor"] in self._running:
            raise ServiceError(f"{self.host}: {instance} is running; stop it before its data is reset")
        return {"seconds": 0.0, "method": "copy"}

    def _op_start(self, args: Reply) -> Reply:
        instance = self._descriptor(args)["instance"]
        if args["descriptor"] in self._running:
            raise ServiceError(f"{self.host}: {instance} is running already")
        self._running[args["descriptor"]] = {name: str(v) for name, v in args.get("settings", {}).items()}
        return {"pid": os.getpid(), "seconds": 0.0}

    def _op_inspect(self, args: Reply) -> Reply:
        settings = {**self.settings, **self._started(args), **self.differing}
        missing = [name for name in args.get("names", []) if name not in settings]
        return {"version": self.version, "settings": settings, "missing": missing}

    def _op_stats(self, args: Reply) -> Reply:
        self._started(args)
        self._commits += 1000
        return {"counters": {"xact_commit": self._commits, "xact_rollback": 0}}

    def _op_stop(self, args: Reply) -> Reply:
        self._descriptor(args)
        before = self._running.pop(args["descriptor"], None) is not None
        how = "SIGINT" if before else "none"
        return {"exit": 0 if before else None, "how": how, "seconds": 0.0, "running_before": before}

    def _op_run(self, args: Reply) -> Reply:
        task = args["task"]
        if task not in self._tasks:
            self._tasks[task] = self._execute(args)
        return self._tasks[task]

    def _op_files(self, args: Reply) -> Reply:
        folder = Path(args["dir"])
        if not folder.is_dir():
            raise AgentError(f"{self.host}: {folder} is no folder")
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return {
            "files": [{"path": str(p.relative_to(folder)), "size": p.stat().st_size} for p in paths],
        }

    def _op_remove(self, args: Reply) -> Reply:
        path = Path(args["path"])
        if not layout.below(path, self._work):
            raise AgentError(f"{self.host}: {path} is not below {self._work}: it is not this run's to remove")
        shutil.rmtree(path, ignore_errors=True)
        return {}

    def _op_fingerprint(self, _: Reply) -> Reply:
        return {"facts": {"kernel.release": "6.1.0-fake", "cpu.model": "fake", "cpu.count": 2}}

    def _op_end(self, _: Reply) -> Reply:
        stopped = [json.loads(Path(path).read_bytes())["instance"] for path in reversed(self._running)]
        self._running.clear()
        return {"stopped": stopped}

    def _descriptor(self, args: Reply) -> Reply:
        try:
            found: Reply = json.loads(Path(args["descriptor"]).read_bytes())
        except (OSError, ValueError) as error:
            raise AgentError(f"{self.host}: descriptor {args['descriptor']}: {error}") from error
        return found

    def _started(self, args: Reply) -> dict[str, str]:
        instance = self._descriptor(args)["instance"]
        if args["descriptor"] not in self._running:
            raise ServiceError(f"{self.host}: {instance} is not running")
        return self._running[args["descriptor"]]

    def _execute(self, args: Reply) -> Reply:
        folder = Path(args["cwd"])
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.outputs.items():
            (folder / name).write_bytes(content(args) if callable(content) else content)
        start = self._clock()
        window = {"start": start + args["window"]["warmup"]}
        window["end"] = window["start"] + args["window"]["duration"]
        if args["window"]["duration"] > 0:
            (folder / "host.samples").write_text(_samples(window["start"], args))
        return {
            "exit": 0,
            "timed_out": False,
            "start": start,
            "end": window["end"],
            "cpu_user": 0.01,
            "cpu_system": 0.01,
            "max_rss": 10_000_000,
            "window": window,
            "service_died": False,
            "service_exit": None,
        }


def _samples(start: float, args: Reply) -> str:
    """A quiet host, a tenth of it busy, in the sampler's own form."""
    duration, hertz = args["window"]["duration"], args["sample_hz"]
    count = max(1, round(duration * hertz))
    lines = [json.dumps({"schema": 1, "files": [*_PROC, "throttle", "cgroup_cpu"]})]
    for number in range(count + 1):
        at = duration * number / count
        edge = number in {0, count}
        ticks = {"b": round(at * 10), "s": round(at * 2), "i": round(at * 90)}
        files: Reply = {
            name: text.format(**ticks) for name, text in _PROC.items() if edge or name != "meminfo"
        }
        sample: Reply = {
            "t": start + at,
            "m": at,
            "files": {**files, "throttle": None, "cgroup_cpu": None},
            "task": {"cpu": at * 0.05 if edge else None},
            "service": {"cpu": at * 0.1 if edge and args.get("service") else None},
            "agent": {"cpu": at * 0.0005},
        }
        if edge:
            sample["foreign"] = []
        lines.append(json.dumps(sample))
    return "\n".join(lines) + "\n"
