"""A server that does nothing, with its descriptor: the least instance that an agent can really run.

Its settings tell it to misbehave: die_at_start, die_after (seconds), never_ready, deaf (ignores SIGTERM),
children (processes with sessions of their own, deaf as well).
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = r"""
import json, os, re, signal, subprocess, sys, time
conf, ready, work = sys.argv[1:]
lines = open(conf).read().splitlines()
settings = dict(re.fullmatch(r"(\w+) = '(.*)'", line).groups() for line in lines)
print("the server starts", flush=True)
if settings.get("die_at_start") == "on":
    print("FATAL: told to die", flush=True)
    sys.exit(3)
if settings.get("deaf") == "on":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
sleeper = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
for _ in range(int(settings.get("children", 0))):
    subprocess.Popen([sys.executable, "-ISB", "-c", sleeper], start_new_session=True)
json.dump(settings, open(os.path.join(work, "settings.json"), "w"))
json.dump({"commits": 7}, open(os.path.join(work, "stats.json"), "w"))
if settings.get("never_ready") != "on":
    open(ready, "w").close()
try:
    time.sleep(float(settings.get("die_after", 600)))
    sys.exit(4)
finally:
    if os.path.exists(ready):
        os.unlink(ready)
"""


def descriptor(instance: str = "server-1", **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
    """Return a descriptor of the server; `changes` replace its parts."""
    ready = "{runtime}/{instance}.ready"
    return {
        "schema": 1,
        "role": "server",
        "instance": instance,
        "kind": "dbms",
        "run_as": "self",
        "env": {"LC_ALL": "C.UTF-8"},
        "limits": {},
        "cpus": None,
        "binaries": {},
        "init": {"argv": ["mkdir", "{data}"], "timeout": 10},
        "settings": {
            "file": "{work}/server.conf",
            "syntax": "postgresql",
            "base": {"place": "{runtime}"},
            "read": {"argv": ["cat", "{work}/settings.json"]},
        },
        "start": {"argv": [sys.executable, "-ISB", "-c", SCRIPT, "{conf}", ready, "{work}"]},
        "ready": {"argv": ["test", "-e", ready], "interval": 0.005, "timeout": 20},
        "stop": {"signal": "SIGTERM", "timeout": 10, "then": None},
        "checkpoint": None,
        "stats": {"argv": ["cat", "{work}/stats.json"]},
        "version": {"argv": ["echo", "1.0"]},
        "verify": [{"argv": ["echo", "1.0"], "stdout": "1.0"}],
        "target": {"socket": "{runtime}", "port": 1, "user": "bench", "database": "bench"},
        "logs": ["{work}/server.log"],
        **changes,
    }


def write_descriptor(folder: Path, instance: str = "server-1", **changes: Any) -> str:  # noqa: ANN401 - same
    """Write a descriptor into `folder`; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{instance}.json"
    path.write_text(json.dumps(descriptor(instance, **changes)))
    return str(path)
