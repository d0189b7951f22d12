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
from typing import Any, Callable, Dict, Mapping, NamedTuple, Tuple, Union

from benchctl.agent import files, fingerprint, image, process, service, task
from benchctl.agent.context import Context, Json, boot_id
from benchctl.agent.refusal import RefusalError

PROTOCOL = 1
_Type = Union[type, Tuple[type, ...]]
_NONE = type(None)
_NUMBER = (int, float)
_TEXT = (str, _NONE)
_OBJECT = (dict, _NONE)


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
    }


def lease(context: Context, owner: Union[str, Json], ttl: float) -> Json:
    """Take or renew the host's lease."""
    if context.lease is None:
        raise RefusalError("a direct command holds no lease")
    context.lease.take(owner if isinstance(owner, dict) else {"user": owner}, ttl)
    return {}


def end(context: Context) -> Json:
    """Stop services in reverse order of their start, kill the rest, remove runtime folder and lease."""
    for name in list(context.tasks):
        task.cancel(context, name)
    stopped = []
    for instance, descriptor in reversed(list(context.descriptors.items())):
        with contextlib.suppress(
            RefusalError
        ):  # its descriptor may be gone; the sweep below does not need it
            service.stop(context, descriptor)
        stopped.append(instance)
    sweep(context)
    if context.lease is not None:
        context.lease.release()
    shutil.rmtree(context.runtime, ignore_errors=True)
    with contextlib.suppress(OSError):  # it stays when it holds something
        context.work.rmdir()
    return {"stopped": stopped}


def sweep(context: Context) -> None:
    """Kill everything that this run ever started, however it tried to get away."""
    for _ in range(100):
        left = {*process.descendants(os.getpid()), *process.marked(context.run)}
        reached = process.kill_all(left, signal.SIGKILL)
        if not reached or process.await_gone(reached):
            return


OPS: Dict[str, Op] = {
    "hello": Op(hello),
    "lease": Op(lease, {"owner": (str, dict), "ttl": _NUMBER}),
    "stamps": Op(files.stamps, {"want": dict}),
    "verify": Op(service.verify, {"descriptor": str}),
    "image": Op(
        image.image,
        {"descriptor": str, "image": str},
        {"binaries_key": str, "prepare": _OBJECT, "settings": _OBJECT},
        leased=True,
    ),
    "reset": Op(image.reset, {"descriptor": str, "image": str}, leased=True),
    "start": Op(service.start, {"descriptor": str}, {"settings": _OBJECT, "limit": _NUMBER}, leased=True),
    "ready": Op(service.ready, {"descriptor": str}),
    "inspect": Op(service.inspect, {"descriptor": str}, {"names": list}),
    "stats": Op(service.stats, {"descriptor": str}),
    "checkpoint": Op(service.checkpoint, {"descriptor": str}, leased=True),
    "stop": Op(service.stop, {"descriptor": str}),
    "run": Op(
        task.run,
        {"task": str, "argv": list, "cwd": str, "limit": _NUMBER},
        {"env": _OBJECT, "window": _OBJECT, "sample_hz": _NUMBER, "service": _TEXT},
        leased=True,
    ),
    "cancel": Op(task.cancel, {"task": str}),
    "files": Op(files.files, {"dir": str}),
    "remove": Op(files.remove, {"path": str}),
    "fingerprint": Op(fingerprint.fingerprint),
    "end": Op(end),
}


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
