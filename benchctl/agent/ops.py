"""The protocol's operations as data: name, function, arguments and their types.

Owns the check of requests. Must not know how requests arrive.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from types import MappingProxyType
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple, Union

from benchctl.agent import files, fingerprint, image, memory, process, reset, service, task, tuned, watch
from benchctl.agent.context import Context
from benchctl.agent.layout import TUNING_TAG
from benchctl.agent.process import boot_id
from benchctl.agent.refusal import RefusalError
from benchctl.agent.wire import Json

PROTOCOL = 2
_Type = Union[type, Tuple[type, ...]]
_NONE = type(None)
_NUMBER = (int, float)
_TEXT = (str, _NONE)
_OBJECT = (dict, _NONE)
_DESCRIPTOR = (str, dict)  # a path, or the object itself


class Op(NamedTuple):
    """One operation; `leased` ones change what is measured and need the host's lease."""

    act: Callable[..., Json]
    needs: Mapping[str, _Type] = MappingProxyType({})
    takes: Mapping[str, _Type] = MappingProxyType({})
    leased: bool = False


def hello(context: Context) -> Json:
    """Say who and where the agent is, and its clocks."""
    return {
        "protocol": PROTOCOL,
        "pid": os.getpid(),
        "boot_id": boot_id(),
        "python": ".".join(map(str, sys.version_info[:3])),
        "uid": os.getuid(),
        "cache": str(context.cache),
        "work": str(context.work),
        "runtime": str(context.runtime),
        "realtime": time.time(),
        "monotonic": time.monotonic(),
        "hash": Path(sys.argv[0]).stem,
        "busy": _is_busy(context),
    }


def clock(_: Context) -> Json:
    """Read both clocks: the monotonic one that starts stand on, and the time of day."""
    return {"m": time.monotonic(), "t": time.time()}


def lease(context: Context, owner: Union[str, Json], ttl: float) -> Json:
    """Take or renew the host's lease."""
    if context.lease is None:
        raise RefusalError("a direct command holds no lease")
    held = context.lease.held
    context.lease.take(owner if isinstance(owner, dict) else {"user": owner}, ttl)
    if not held:
        tuned.take_over(context)
    return {}


def end(context: Context) -> Json:
    """Stop services in reverse order of their start, give the knobs back, remove runtime folder and lease."""
    for name in list(context.tasks):
        task.cancel(context, name)
    for name in list(context.watches):
        watch.unwatch(context, name)
    stopped = []
    for instance, descriptor in reversed(list(context.descriptors.items())):
        with contextlib.suppress(RefusalError):  # its descriptor may be gone; the sweep does not need it
            service.stop(context, descriptor)
        stopped.append(instance)
    try:
        restored = None if context.rebooting else tuned.give_back(context)
    except RefusalError as error:  # the journal stays, and tells whoever looks next
        restored = {"problems": [str(error)]}
    sweep(context)
    if context.lease is not None:
        context.lease.release()
    shutil.rmtree(context.runtime, ignore_errors=True)
    with contextlib.suppress(OSError):  # it stays when it holds something
        context.work.rmdir()
    return {"stopped": stopped, **({} if restored is None else {"tuning": restored})}


def measure_noise(context: Context, seconds: float, cpus: Optional[str] = None) -> Json:
    """Measure what disturbs programs on this host."""
    from benchctl.agent import noise  # most runs never ask

    return noise.noise(context, seconds, cpus)


def _is_busy(context: Context) -> bool:
    running = any(not handle.wait(0) for handle in list(context.services.values()))
    return running or any(not found.done.is_set() for found in list(context.tasks.values()))


def sweep(context: Context) -> None:
    """Kill everything that this run ever started, however it tried to get away."""
    context.reaper.cgroups.end()
    for _ in range(100):
        below = {pid for pid in process.descendants(os.getpid()) if process.owner_of(pid) != TUNING_TAG}
        left = {*below, *process.marked(context.run)}
        reached = process.kill_all(left, signal.SIGKILL)
        if not reached or process.await_gone(reached):
            return


def series(context: Context, ops: List[object]) -> Json:
    """Execute operations one after the other; return their replies. The first one refused ends it.

    Raises what that one raises; what was done before it is done.
    """
    replies = []
    for each in ops:
        if not isinstance(each, dict) or each.get("op") == "series":
            raise RefusalError("series: ops is no list of operations")
        replies.append(perform(context, each.get("op"), {k: v for k, v in each.items() if k != "op"}))
    return {"replies": replies}


OPS: Dict[str, Op] = {
    "hello": Op(hello),
    "clock": Op(clock),
    "lease": Op(lease, {"owner": (str, dict), "ttl": _NUMBER}),
    "stamps": Op(files.stamps, {"want": dict}),
    "verify": Op(service.verify, {"descriptor": _DESCRIPTOR}),
    "check": Op(service.check, {"descriptor": _DESCRIPTOR, "settings": dict}, leased=True),
    "image": Op(
        image.image,
        {"descriptor": _DESCRIPTOR, "image": str},
        {"binaries_key": str, "prepare": _OBJECT, "settings": _OBJECT},
        leased=True,
    ),
    "reset": Op(reset.reset, {"descriptor": _DESCRIPTOR, "image": str}, leased=True),
    "contents": Op(reset.compare, {"descriptor": _DESCRIPTOR, "image": str}),
    "start": Op(
        service.start, {"descriptor": _DESCRIPTOR}, {"settings": _OBJECT, "limit": _NUMBER}, leased=True
    ),
    "ready": Op(service.ready, {"descriptor": _DESCRIPTOR}),
    "inspect": Op(service.inspect, {"descriptor": _DESCRIPTOR}, {"names": list}),
    "stats": Op(service.stats, {"descriptor": _DESCRIPTOR}),
    "checkpoint": Op(service.checkpoint, {"descriptor": _DESCRIPTOR}, leased=True),
    "stop": Op(service.stop, {"descriptor": _DESCRIPTOR}, {"log": _TEXT}),
    "launch": Op(
        task.launch,
        {"task": str, "argv": list, "cwd": str, "limit": _NUMBER},
        {
            "env": _OBJECT,
            "hold": bool,
            "service": _TEXT,
            "shell": bool,
            "output_limit": int,
            "against": _OBJECT,
        },
        leased=True,
    ),
    "go": Op(task.go, {"task": str, "at": _NUMBER}, {"strict": bool}, leased=True),
    "await": Op(task.await_, {"task": str}),
    "watch": Op(
        watch.watch,
        {"watch": str, "cwd": str, "warmup": _NUMBER, "duration": _NUMBER, "hz": _NUMBER},
        {"start": _NUMBER, "task": _TEXT, "service": _TEXT},
        leased=True,
    ),
    "unwatch": Op(watch.unwatch, {"watch": str}),
    "cancel": Op(task.cancel, {"task": str}),
    "files": Op(files.files, {"dir": str}),
    "read": Op(files.read, {"dir": str}),
    "remove": Op(files.remove, {"path": str}),
    "recall": Op(memory.recall, {"name": str}),
    "remember": Op(memory.remember, {"name": str, "value": dict}, leased=True),
    "fingerprint": Op(fingerprint.fingerprint),
    "noise": Op(measure_noise, {"seconds": _NUMBER}, {"cpus": _TEXT}, leased=True),
    "snapshot": Op(tuned.snapshot, {}, {"knobs": list}),
    "plan": Op(tuned.plan, {}, {"roles": list}),
    "preview": Op(tuned.preview, {"values": dict}, {"roles": list}),
    "tune": Op(
        tuned.tune,
        {"values": dict},
        {"profile": str, "kept": bool, "shared": bool, "roles": (list, _NONE), "password": str},
        leased=True,
    ),
    "drift": Op(tuned.drift, {}, {"mend": bool}),
    "restore": Op(tuned.restore, {}, {"every": bool, "force": bool, "password": str}, leased=True),
    "reboot": Op(tuned.reboot, {}, {"password": str}, leased=True),
    "series": Op(series, {"ops": list}),
    "end": Op(end),
}

INLINE: Mapping[str, Callable[..., Json]] = MappingProxyType({"clock": clock})
"""What the supervisor's loop answers itself: it takes no time, and a thread would cost some."""


def perform(context: Context, name: object, args: Json) -> Json:
    """Check a request and execute it. Raises RefusalError for what is not a request of the protocol."""
    op = OPS.get(name) if isinstance(name, str) else None
    if op is None:
        raise RefusalError(f"the agent has no operation {name!r}")
    _check(str(name), op, args)
    if op.leased and context.lease is not None and not context.lease.held:
        raise RefusalError(f"{name} needs the host's lease; take it first", "lease")
    return op.act(context, **args)


def _check(name: str, op: Op, args: Json) -> None:
    for key, value in args.items():
        wanted: Any = op.needs.get(key) or op.takes.get(key)
        if wanted is None:
            raise RefusalError(f"{name} takes no argument {key!r}")
        if not isinstance(value, wanted):
            raise RefusalError(f"{name}: {key} has the wrong type: {value!r:.80}")
    missing = [key for key in op.needs if key not in args]
    if missing:
        raise RefusalError(f"{name} needs {', '.join(missing)}")
