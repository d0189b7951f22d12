"""The verbs of tuning on the agent's command line, for people and playbooks: they need nothing but the host.

Owns their words. Each prints one JSON object; the exit status is 1 when something was not done as asked.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional

from benchctl.agent import detached, tuning
from benchctl.agent.knobs import AREAS, KNOBS
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

    _check_area(given.area)
    if given.verb == "restore":
        return tuned.by_hand(area=given.area, force=given.force, preview=given.preview)
    if given.verb == "snapshot":
        return tuning.snapshot(tuned.here(), given.knobs, given.area)
    if given.verb == "drift":
        return tuning.drift(tuned.here(), tuned.journal_here(), given.area)
    values = _values(given.profile, given.area, changes=given.changes)
    if given.verb == "preview":
        terms: Any = {"area": given.area, "shared": given.shared}
        return tuning.preview(tuned.here(given.role), values, tuned.journal_here(), **terms)
    head = {"run": RUN, "profile": given.profile, "kept": True, "roles": given.role}
    return tuned.tune_by_hand(values, head, area=given.area, shared=given.shared)


def _check_area(area: str) -> None:
    if area and area not in AREAS:
        raise ValueError(f"there is no area {area}; there are {', '.join(AREAS)}")


def _values(profile: str, area: str, *, changes: bool) -> Dict[str, str]:
    from benchctl.agent.profiles import PROFILES, compose

    if profile in PROFILES:
        base = PROFILES[profile]
    else:
        base = _texts(json.loads(Path(profile).read_bytes()), profile)
    if not changes:
        return base
    given = json.loads(sys.stdin.read())
    own = {**given["knobs"], **given["own"]}
    _texts({name: value for name, value in own.items() if value is not None}, "standard input")
    for name in given["own"]:
        if name in KNOBS and not tuning.in_area(name, area):
            raise ValueError(f"{name} is a knob of the area {KNOBS[name].area}, not of {area}")
    return compose(base, own)


def _texts(found: object, where: str) -> Dict[str, str]:
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError(f"{where}: not a JSON object of texts")
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
    verb.add_argument("--preview", action="store_true", help="write nothing; say what would be given back")
    verbs.add_parser("drift", help="compare what was set with what is there now")
    verb = verbs.add_parser("snapshot", help="read all knobs, or some")
    verb.add_argument("knobs", nargs="*")
    for name, words in (
        ("tune", "set the knobs of a profile until restore"),
        ("preview", "say what tune would change"),
    ):
        verb = verbs.add_parser(name, help=words)
        verb.add_argument("profile", help="the name of a shipped profile, or a JSON file: knob to value")
        verb.add_argument(
            "--role", action="append", default=[], help="what will run here: dbms, loader; may be repeated"
        )
        verb.add_argument(
            "--shared", action="store_true", help="in a container: change the machine's kernel too"
        )
        verb.add_argument(
            "--changes",
            action="store_true",
            help="read changes from standard input: a JSON object with knobs, and own for those that must be "
            "of the area; each an object of values, null to leave a knob alone",
        )
    for verb in verbs.choices.values():
        verb.add_argument("--area", default="", help="only the knobs of one area")
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
