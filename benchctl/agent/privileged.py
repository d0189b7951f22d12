"""Tuning for a user who is not root: the same operation, by the same program, under sudo.

Owns how sudo is asked, and the request on the other side. A password comes over standard input and stays in
memory; sudo may have it cached or not want one at all, so the request is always the last line.
"""

import json
import os
import subprocess
import sys
from typing import Dict, List

from benchctl.agent import layout
from benchctl.agent.context import Context
from benchctl.agent.refusal import RefusalError
from benchctl.agent.wire import Json

_VERB = "as-root"
_LIMIT = 290.0  # seconds; units may take their time to stop


def needed() -> bool:
    """Say whether another user has to do it: the journal of tuning lies where this one cannot write."""
    folder = layout.state_folder()
    while not folder.exists():
        folder = folder.parent
    return os.geteuid() != 0 and not os.access(folder, os.W_OK)


def ask(context: Context, act: str, args: Json) -> Json:
    """Let root execute an act of tuning for this run; return its reply.

    Raises RefusalError with sudo's words when this user may not, or with those of the act.
    """
    request = {"act": act, "run": context.run, "supervised": context.supervised, "args": args}
    try:
        done = subprocess.run(
            _command(with_password=bool(context.password)),
            input=f"{context.password}\n{json.dumps(request)}\n",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            timeout=_LIMIT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RefusalError(f"tuning needs root, and sudo cannot be asked: {error}", "unfit") from error
    try:
        reply = dict(json.loads(done.stdout))
    except (ValueError, TypeError) as error:
        said = " ".join(done.stderr.split())[-300:] or f"it ended with {done.returncode}"
        raise RefusalError(f"tuning needs root, and sudo says: {said}", "unfit") from error
    if "error" in reply:
        raise RefusalError(reply["error"], reply["kind"])
    return reply


def serve() -> int:
    """Be the other side: execute the request on standard input, as root. Returns the exit status."""
    from benchctl.agent import tuned

    request = json.loads(sys.stdin.read().splitlines()[-1])
    context = Context(request["run"], supervised=request["supervised"])
    try:
        reply = tuned.ACTS[request["act"]](context, **request["args"]) or {}
    except RefusalError as error:
        reply = {"error": str(error), "kind": error.kind}
    print(json.dumps(reply))
    return 0


def _command(*, with_password: bool) -> List[str]:
    sudo = ["sudo", "-k", "-S", "-p", ""] if with_password else ["sudo", "-n"]
    words = [f"{name}={text}" for name, text in _environment().items()]
    return [*sudo, "--", "/usr/bin/env", *words, sys.executable, "-ISB", sys.argv[0], _VERB]


def _environment() -> Dict[str, str]:
    """Name the same folders for root; sudo forgets who asked."""
    given = {name: text for name, text in os.environ.items() if name.startswith("BENCHCTL_")}
    given.pop(layout.MARKER, None)
    return {
        **given,
        "BENCHCTL_CACHE": str(layout.cache_folder()),
        "BENCHCTL_LEASE_DIR": str(layout.lease_folder()),
        layout.OWNER_TAG: layout.TUNING_TAG,
    }
