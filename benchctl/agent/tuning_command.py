"""The verbs of tuning on the agent's command line, for people and playbooks: they need nothing but the host.

Owns their words. Each prints one JSON object; the exit status is 1 when something was not done as asked.
"""

import argparse
import json
import os
from pathlib import Path
from typing import List, Optional

from benchctl.agent import detached, tuning
from benchctl.agent.refusal import RefusalError
from benchctl.agent.wire import Json

RUN = "direct"  # whose tuning it is that nobody's run asked for


def command(words: List[str]) -> int:
    """Execute one verb. Returns the exit status."""
    given = _parser().parse_args(words)
    if given.verb in {"hold", "guard"}:
        return _serve(given)
    try:
        reply = _act(given)
    except RefusalError as error:
        print(json.dumps({"error": str(error), "kind": error.kind}))
        return 1
    except (OSError, ValueError) as error:
        print(json.dumps({"error": str(error), "kind": "usage"}))
        return 1
    print(json.dumps(reply))
    return int(_is_wrong(reply))


def _act(given: argparse.Namespace) -> Json:
    from benchctl.agent import tuned

    if given.verb == "restore":
        return tuned.by_hand(force=given.force)
    machine, journal = tuned.here(), tuned.journal_here()
    if given.verb == "snapshot":
        return tuning.snapshot(machine, given.knobs)
    if given.verb == "drift":
        return tuning.drift(machine, journal)
    values = _values(given.profile)
    head = {"run": RUN, "profile": given.profile, "kept": True, "program": tuned.program()}
    return {
        **tuning.tune(machine, journal, values, head, shared=given.shared),
        "undo": tuned.undo_command(),
    }


def _values(profile: str) -> "dict[str, str]":
    from benchctl.agent.profiles import PROFILES

    if profile in PROFILES:
        return PROFILES[profile]
    found = json.loads(Path(profile).read_bytes())
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError(f"{profile}: not a JSON object of texts")
    return found


def _is_wrong(reply: Json) -> bool:
    if any(reply.get(key) for key in ("failed", "left", "drifts", "problems")):
        return True
    return any(row.get("outcome") == tuning.FAILED for row in reply.get("knobs", ()))


def _serve(given: argparse.Namespace) -> int:
    ready: Optional[int] = given.ready_fd
    detached.let_go(ready)
    if given.ready:
        ready = os.open(given.ready, os.O_WRONLY | os.O_CLOEXEC)
    if given.verb == "guard":
        from benchctl.agent.guard import guard

        return guard(given.run, ready)
    from benchctl.agent.holder import hold

    return hold(Path(given.state), given.root, given.us, ready)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="agent", description="The knobs of this host.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("restore", help="give back all that tuning changed on this host")
    verb.add_argument(
        "--force", action="store_true", help="also under a run, and what somebody else changed meanwhile"
    )
    verbs.add_parser("drift", help="compare what was set with what is there now")
    verb = verbs.add_parser("snapshot", help="read all knobs, or some")
    verb.add_argument("knobs", nargs="*")
    verb = verbs.add_parser("tune", help="set the knobs of a profile until restore")
    verb.add_argument("profile", help="the name of a shipped profile, or a JSON file: knob to value")
    verb.add_argument("--shared", action="store_true", help="in a container: change the machine's kernel too")
    for name in ("hold", "guard"):
        verb = verbs.add_parser(name)
        verb.add_argument("--ready", help="a fifo to tell that it is ready")
        verb.add_argument("--ready-fd", type=int)
        if name == "guard":
            verb.add_argument("--run", required=True)
            continue
        verb.add_argument("--us", type=int, required=True)
        verb.add_argument("--root", required=True)
        verb.add_argument("--state", required=True)
    return parser
