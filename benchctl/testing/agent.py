"""An agent without a host: same operations, scripted outcomes, files where the real one writes them.

Nothing is started and no time passes: a task ends at once, or with the window of the watch that names it.
Held to tests/contract/test_agent.py together with the real one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import time
import zlib
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchctl.agent import layout
from benchctl.agent.knobs import KNOBS
from benchctl.agent.profiles import problems
from benchctl.benchmark.protocol import Clock
from benchctl.errors import AgentError, BenchctlError, LateError, ServiceError

if TYPE_CHECKING:
    import threading

Reply = dict[str, Any]
Outcome = Exception | Reply | Callable[[Reply], Reply]
"""What a scripted call does: raise, change keys of the usual reply, or make the reply from the arguments."""

Content = bytes | Callable[[Reply], bytes]

_SAMPLES = "host.samples"
LATENESS = 1.0  # seconds: a fake host is never late by accident
SCHEMA = 2

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
    "netdev": "Inter-|   Receive  |  Transmit\n face |bytes packets|bytes packets\n"
    "  eth0: {b} 1 0 0 0 0 0 0 {s} 1 0 0 0 0 0 0\n",
    "netstat": "TcpExt: ListenOverflows ListenDrops TCPRetransFail\nTcpExt: 0 0 0\n",
    "snmp": "Tcp: InSegs OutSegs RetransSegs\nTcp: {b} {s} 0\n",
    "meminfo": "MemTotal:       16000000 kB\nMemAvailable:   15000000 kB\nDirty:               0 kB\n",
}


class FakePending:
    """A request that was answered when it was submitted; `result` tells."""

    def __init__(self, reply: Reply | Exception) -> None:
        """Keep what `result` returns or raises."""
        self._reply = reply

    @property
    def done(self) -> bool:
        return True

    def watch(self, event: threading.Event) -> None:
        event.set()

    def result(self, timeout: float) -> Reply:  # noqa: ARG002 - as the real one
        """Return the reply, or raise what the operation ended with."""
        if isinstance(self._reply, Exception):
            raise self._reply
        return self._reply


class FakeAgent:
    """In-process stand-in for AgentConnection, as `connect` returns it: greeted and with the lease taken."""

    def __init__(
        self,
        folder: Path,
        *,
        host: str = "fake",
        run: str = "run",
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep all files under `folder`; `clock` and `monotonic` give the host's clocks."""
        self.host = host
        self.calls: list[tuple[str, Reply]] = []
        self.version = "18.6"
        self.settings: dict[str, str] = {}  # what the server reads back beside what a start was given
        self.differing: dict[str, str] = {}  # settings that the server reads back otherwise than given
        self.outputs: dict[str, Content] = {"stdout": b"", "stderr": b""}  # what each task leaves in its cwd
        self.log = b""  # what a server wrote since its start
        self.closed = False
        self.offset = 0.0  # what clock() tells
        self.uncertainty = 0.0
        self.round_trip = 0.001
        self._clock = clock
        self._monotonic = monotonic
        self._scripted: dict[str, deque[Outcome]] = defaultdict(deque)
        self._running: dict[str, dict[str, str]] = {}  # instance -> settings it was started with
        self._images: set[str] = set()
        self._tasks: dict[str, Reply] = {}
        self._launched: dict[str, Reply] = {}  # task -> arguments of its launch
        self._begun: dict[str, Reply] = {}  # task -> start, began, late
        self._cancelled: set[str] = set()  # tasks that were never let loose
        self._watches: dict[str, Reply] = {}  # watch -> its arguments
        self._remembered: dict[str, Reply] = {}
        self.knobs = {"swappiness": "60", "aslr": "2"}  # what this host has of them
        self._tuned: dict[str, tuple[str, str, bool]] = {}  # knob -> before, set to, kept
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
        if op == "series":  # what it consists of is recorded
            return {"replies": [self.call(timeout=timeout, **each) for each in args["ops"]]}
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

    def submit(self, op: str, **args: Any) -> FakePending:  # noqa: ANN401 - JSON values
        try:
            return FakePending(self.call(op, timeout=1.0, **args))
        except BenchctlError as error:
            return FakePending(error)

    def clock(self) -> Clock:
        return Clock(self.offset, self.uncertainty)

    def fetch_all(self, files: Sequence[tuple[str, Path]]) -> list[str]:
        return [self.fetch(path, destination) for path, destination in files]

    def put(self, source: Path, path: str, *, executable: bool = False) -> str:
        target = Path(path)
        if not layout.below(target, self._work):
            raise AgentError(f"{self.host}: {path} is not below {self._work}: it is not this run's to write")
        target.parent.mkdir(parents=True, exist_ok=True)
        data = source.read_bytes()
        target.write_bytes(data)
        target.chmod(0o755 if executable else 0o644)
        return hashlib.sha256(data).hexdigest()

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
            "protocol": 2,
            "pid": os.getpid(),
            "boot_id": "00000000-0000-0000-0000-000000000000",
            "python": "3.9.0",
            "uid": os.getuid(),
            "cache": str(cache),
            "work": str(self._work),
            "runtime": str(runtime),
            "realtime": self._clock(),
            "monotonic": self._monotonic(),
            "busy": False,
            "hash": "0" * 64,
        }

    def _op_hello(self, _: Reply) -> Reply:
        now = {"realtime": self._clock(), "monotonic": self._monotonic()}
        return {**self.hello, **now, "busy": bool(self._running)}

    def _op_lease(self, _: Reply) -> Reply:
        return {}

    def _op_checkpoint(self, args: Reply) -> Reply:
        self._started(args)
        return {}

    def _op_cancel(self, args: Reply) -> Reply:
        if args["task"] in self._launched and args["task"] not in self._begun:
            self._cancelled.add(args["task"])
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

    def _op_check(self, args: Reply) -> Reply:
        self._descriptor(args)
        return {"said": "", "names": []}

    def _op_image(self, args: Reply) -> Reply:
        self._descriptor(args)
        built = args["image"] not in self._images
        self._images.add(args["image"])
        return {"built": built, "seconds": 0.0, "bytes": 1024, **({"altered": ""} if built else {})}

    def _op_reset(self, args: Reply) -> Reply:
        instance = self._descriptor(args)["instance"]
        if args["image"] not in self._images:
            raise AgentError(f"{self.host}: there is no image {args['image']}")
        if instance in self._running:
            raise ServiceError(f"{self.host}: {instance} is running; stop it before its data is reset")
        return {"seconds": 0.0, "method": "copy", "why": "", "counted": False}

    def _op_contents(self, args: Reply) -> Reply:
        self._started(args)
        return {"counted": {}}

    def _op_start(self, args: Reply) -> Reply:
        instance = self._descriptor(args)["instance"]
        if instance in self._running:
            raise ServiceError(f"{self.host}: {instance} is running already")
        self._running[instance] = {name: str(v) for name, v in (args.get("settings") or {}).items()}
        return {"pid": os.getpid(), "seconds": 0.0}

    def _op_ready(self, args: Reply) -> Reply:
        return {"ready": self._descriptor(args)["instance"] in self._running}

    def _op_inspect(self, args: Reply) -> Reply:
        settings = {**self.settings, **self._started(args), **self.differing}
        missing = [name for name in args.get("names", []) if name not in settings]
        return {"version": self.version, "settings": settings, "missing": missing}

    def _op_stats(self, args: Reply) -> Reply:
        self._started(args)
        self._commits += 1000
        return {"counters": {"xact_commit": self._commits, "xact_rollback": 0}}

    def _op_stop(self, args: Reply) -> Reply:
        instance = self._descriptor(args)["instance"]
        before = self._running.pop(instance, None) is not None
        if before and args.get("log"):
            Path(args["log"]).parent.mkdir(parents=True, exist_ok=True)
            Path(args["log"]).write_bytes(self.log)
        how = "SIGINT" if before else "none"
        return {"exit": 0 if before else None, "how": how, "seconds": 0.0, "running_before": before}

    def _op_clock(self, _: Reply) -> Reply:
        return {"m": self._monotonic(), "t": self._clock()}

    def _op_launch(self, args: Reply) -> Reply:
        task, folder = args["task"], Path(args["cwd"])
        known = self._launched.get(task)
        if known is not None and known["argv"] != args["argv"]:
            raise AgentError(f"{self.host}: there was a task {task} with another command")
        if not layout.below(folder, self._work):
            raise AgentError(
                f"{self.host}: {folder} is not below {self._work}: no task of this run may empty it"
            )
        if known is None:
            self._refuse_a_taken(folder)
            shutil.rmtree(folder, ignore_errors=True)
            self._launched[task] = args
            if not args.get("hold"):
                self._begin(task, self._monotonic())
        held = "ptrace" if args.get("hold") else ""
        return {"pid": os.getpid(), "held": held}

    def _op_go(self, args: Reply) -> Reply:
        if args["task"] not in self._launched:
            raise AgentError(f"{self.host}: there is no task {args['task']}")
        if args["task"] not in self._begun:
            if args.get("strict") and args["at"] < self._monotonic() - LATENESS:
                raise LateError(f"{self.host}: task {args['task']} was told of its start after it")
            self._begin(args["task"], args["at"])
        return {"late": self._begun[args["task"]]["late"]}

    def _op_await(self, args: Reply) -> Reply:
        task = args["task"]
        if task not in self._launched:
            raise AgentError(f"{self.host}: there is no task {task}")
        if task in self._cancelled:
            now = {"start": self._clock(), "began": self._monotonic(), "late": False}
            self._tasks[task] = {**self._result(task, now, now["start"]), "exit": -9, "cancelled": True}
        elif task not in self._begun:
            raise AgentError(f"{self.host}: no reply to await within its time: {task} is held")
        if task not in self._tasks:
            self._tasks[task] = self._ended(task)
        return self._tasks[task]

    def _op_watch(self, args: Reply) -> Reply:
        self._watches.setdefault(args["watch"], args)
        return {}

    def _op_unwatch(self, args: Reply) -> Reply:
        watch = self._watches.get(args["watch"])
        if watch is None:
            return {"samples": 0, "files": []}
        if self._start_of(watch) is None:
            return {"samples": 0, "files": []}
        path = self._sampled(watch)
        count = len(path.read_text(encoding="ascii").splitlines()) - 1
        return {"samples": count, "files": [{"path": path.name, "size": path.stat().st_size}]}

    def _op_files(self, args: Reply) -> Reply:
        folder = Path(args["dir"])
        if not folder.is_dir():
            raise AgentError(f"{self.host}: {folder} is no folder")
        return {"files": _listing(folder)}

    def _op_read(self, args: Reply) -> Reply:
        folder, found = Path(args["dir"]), []
        for name in [entry["path"] for entry in _listing(folder)]:
            content = (folder / name).read_bytes()
            data = base64.b64encode(zlib.compress(content, 1)).decode("ascii")
            found.append({"path": name, "sha256": hashlib.sha256(content).hexdigest(), "data": data})
        return {"read": found}

    def _op_remove(self, args: Reply) -> Reply:
        path = Path(args["path"])
        if not layout.below(path, self._work):
            raise AgentError(f"{self.host}: {path} is not below {self._work}: it is not this run's to remove")
        shutil.rmtree(path, ignore_errors=True)
        return {}

    def _op_recall(self, args: Reply) -> Reply:
        return {"value": self._remembered.get(args["name"])}

    def _op_remember(self, args: Reply) -> Reply:
        self._remembered[args["name"]] = args["value"]
        return {}

    def _op_fingerprint(self, _: Reply) -> Reply:
        return {"facts": {"kernel.release": "6.1.0-fake", "cpu.model": "fake", "cpu.count": 2}}

    def _op_snapshot(self, args: Reply) -> Reply:
        rows = []
        for name in args.get("knobs") or KNOBS:
            values = {self.knobs[name]: 1} if name in self.knobs else {}
            rows.append({"knob": name, "places": len(values), "values": values})
        return {"knobs": rows, "container": False}

    def _op_preview(self, args: Reply) -> Reply:
        self._check_values(args["values"])
        rows = []
        for name, value in args["values"].items():
            here = {self.knobs[name]: 1} if name in self.knobs else {}
            differs = int(bool(here) and self.knobs[name] != value)
            why = "" if here else "this host has none"
            row = {"knob": name, "value": value, "was": here, "places": len(here), "differs": differs}
            rows.append({**row, "wants": {value: 1} if differs else {}, "why": why})
        return {"knobs": rows, "container": False}

    def _op_tune(self, args: Reply) -> Reply:
        self._check_values(args["values"])
        rows = []
        for name, value in args["values"].items():
            old = self.knobs.get(name)
            if old is None:
                rows.append(_knob_row(name, value, "unsupported", "this host has none", {}))
                continue
            before = self._tuned.get(name, (old,))[0]
            self._tuned[name] = (before, value, bool(args.get("kept")))
            self.knobs[name] = value
            outcome = "already" if old == value else "applied"
            rows.append(_knob_row(name, value, outcome, "", {old: 1}))
        return {"knobs": rows, "reboot": False, "undo": "python3 agent.pyz restore"}

    def _op_reboot(self, _: Reply) -> Reply:
        return {}

    def _op_drift(self, args: Reply) -> Reply:
        drifted = [
            {"knob": name, "path": _knob_path(name), "wanted": new, "found": self.knobs[name]}
            for name, (_, new, _) in self._tuned.items()
            if self.knobs[name] != new
        ]
        told: Reply = {"run": self._work.name if self._tuned else None, "profile": ""}
        if not self._tuned:
            told["profile"] = None
        if drifted and args.get("mend"):
            self.knobs.update({row["knob"]: row["wanted"] for row in drifted})
            told |= {"unmended": 0, "around": {"processes": [], "units": [], "logins": 0}}
        return {
            **told,
            "places": len(self._tuned),
            "drifts": len(drifted),
            "drifted": drifted,
            "problems": [],
        }

    def _op_restore(self, args: Reply) -> Reply:
        return self._give_back(list(self._tuned), force=bool(args.get("force")))

    def _give_back(self, names: Sequence[str], *, force: bool = False) -> Reply:
        knobs, left = [], []
        for name in names:
            old, new, _ = self._tuned[name]
            found = self.knobs[name]
            if found not in {old, new} and not force:
                left.append({"knob": name, "path": _knob_path(name), "was": old, "found": found})
                continue
            if found != old:
                knobs.append({"knob": name, "found": {found: 1}, "was": {old: 1}})
            self.knobs[name] = old
            del self._tuned[name]
        told: Reply = {"restored": len(knobs), "knobs": knobs, "left": left}
        return {**told, "failed": [], "gone": [], "problems": [], "reboot": False}

    def _check_values(self, values: dict[str, str]) -> None:
        wrong = problems(values)
        if wrong:
            text = "; ".join(f"{one.knob}: {one.text}" for one in wrong)
            raise AgentError(f"{self.host}: {text}")

    def _op_end(self, _: Reply) -> Reply:
        stopped = list(reversed(self._running))
        self._running.clear()
        if not self._tuned:
            return {"stopped": stopped}
        own = [name for name, (_, _, kept) in self._tuned.items() if not kept]
        return {"stopped": stopped, "tuning": self._give_back(own)}

    def _descriptor(self, args: Reply) -> Reply:
        if isinstance(args["descriptor"], dict):
            return dict(args["descriptor"])
        try:
            found: Reply = json.loads(Path(args["descriptor"]).read_bytes())
        except (OSError, ValueError) as error:
            raise AgentError(f"{self.host}: descriptor {args['descriptor']}: {error}") from error
        return found

    def _started(self, args: Reply) -> dict[str, str]:
        instance = self._descriptor(args)["instance"]
        if instance not in self._running:
            raise ServiceError(f"{self.host}: {instance} is not running")
        return self._running[instance]

    def _begin(self, task: str, at: float) -> None:
        args, now = self._launched[task], self._monotonic()
        late = at < now - LATENESS
        began = now if late else max(at, now)
        start = self._clock() + began - now
        self._begun[task] = {"start": start, "began": began, "late": late}
        self._write_outputs(args)

    def _refuse_a_taken(self, folder: Path) -> None:
        """As the real one: a held task has a folder until it has ended, which only `await` knows."""
        for task, args in self._launched.items():
            if args["cwd"] == str(folder) and task not in self._begun and task not in self._tasks:
                raise AgentError(f"{self.host}: {folder} is or holds {folder}, which is in use")

    def _ended(self, task: str) -> Reply:
        begun = self._begun[task]
        end = begun["start"]
        for watch in self._watches.values():
            if watch.get("task") == task:
                self._sampled(watch)
                start = self._start_of(watch) or 0.0
                length = start - begun["began"] + watch["warmup"] + watch["duration"]
                end = max(end, begun["start"] + length)
        return self._result(task, begun, end)

    def _result(self, task: str, begun: Reply, end: float) -> Reply:
        return {
            "exit": 0,
            "timed_out": False,
            "cancelled": False,
            "output_exceeded": False,
            **begun,
            "end": end,
            "cpu_user": 0.01,
            "cpu_system": 0.01,
            "max_rss": 10_000_000,
            "service_died": False,
            "service_exit": None,
            "files": [
                entry for entry in _listing(Path(self._launched[task]["cwd"])) if entry["path"] != _SAMPLES
            ],
            "files_left_off": 0,
        }

    def _start_of(self, watch: Reply) -> float | None:
        """When it starts; None while its task has not."""
        begun = self._begun.get(watch.get("task", ""), {})
        start: float | None = watch.get("start", begun.get("began"))
        return start

    def _sampled(self, watch: Reply) -> Path:
        path = Path(watch["cwd"]) / _SAMPLES
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            boot = self._clock() - self._monotonic()
            begin = (self._start_of(watch) or 0.0) + watch["warmup"]
            path.write_text(_samples(boot, begin, watch["duration"], watch["hz"], watch))
        return path

    def _write_outputs(self, args: Reply) -> None:
        folder = Path(args["cwd"])
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.outputs.items():
            (folder / name).write_bytes(content(args) if callable(content) else content)


def _knob_row(name: str, value: str, outcome: str, why: str, was: dict[str, int]) -> Reply:
    counts = {outcome: 1} if was else {}
    return {"knob": name, "value": value, "outcome": outcome, "why": why, "counts": counts, "was": was}


def _knob_path(name: str) -> str:
    return KNOBS[name].places[0].path


def _listing(folder: Path) -> list[Reply]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [{"path": str(p.relative_to(folder)), "size": p.stat().st_size} for p in paths]


def _samples(boot: float, begin: float, duration: float, hertz: float, args: Reply) -> str:
    """A quiet host, a tenth of it busy, in the sampler's own form, over a window on its CLOCK_MONOTONIC.

    `boot` is CLOCK_REALTIME at 0 of CLOCK_MONOTONIC.
    """
    count = max(1, round(duration * hertz))
    head = {"schema": SCHEMA, "files": [*_PROC, "throttle", "cgroup_cpu"]}
    lines = [json.dumps(head)]
    for number in range(count + 1):
        at = duration * number / count
        edge = number in {0, count}
        ticks = {"b": round(at * 10), "s": round(at * 2), "i": round(at * 90)}
        files: Reply = {name: text.format(**ticks) for name, text in _PROC.items()}
        sample: Reply = {
            "t": boot + begin + at,
            "m": begin + at,
            "files": {**files, "throttle": None, "cgroup_cpu": None},
            "task": {"cpu": at * 0.05 if edge else None},
            "service": {"cpu": at * 0.1 if edge and args.get("service") else None},
            "agent": {"cpu": at * 0.0005},
        }
        if edge:
            sample |= {"edge": True, "foreign": [], "kmsg": None, "units": None, "logins": None, "irqs": None}
        lines.append(json.dumps(sample))
    return "\n".join(lines) + "\n"
