"""The command line of the agent's zipapp: attach, supervise, and the direct verbs on a descriptor.

Owns the words of that command line. Direct verbs are for plain Ansible and for people: they do what the
supervisor does, without it, and print one JSON object.
"""

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional

VERBS = ("start", "ready", "stop", "reset", "image", "verify", "inspect")


def main(arguments: Optional[List[str]] = None) -> int:
    """Execute one verb. Exit status: 0, 1 when it could not be done, 2 for a wrong command line."""
    given = _parser().parse_args(arguments)
    if given.verb == "attach":
        from benchctl.agent.attach import attach

        return attach(given.run, given.ttl, files=given.files)
    if given.verb == "supervise":
        from benchctl.agent.supervisor import supervise

        return supervise(given.run, given.ttl, given.ready_fd)
    return _direct(given)


def _direct(given: argparse.Namespace) -> int:
    from benchctl.agent import ops
    from benchctl.agent.context import Context
    from benchctl.agent.refusal import RefusalError

    try:
        context = Context(given.run, supervised=False)
        context.make_folders()
        try:
            print(json.dumps(ops.perform(context, given.verb, _arguments(given))))
        finally:
            with contextlib.suppress(OSError):
                context.runtime.rmdir()  # unless a server's sockets are in it
    except RefusalError as error:
        print(json.dumps({"error": str(error), "kind": error.kind, "log": error.log}))
        return 1
    except (OSError, ValueError) as error:
        print(json.dumps({"error": str(error), "kind": "usage", "log": ""}))
        return 1
    return 0


def _arguments(given: argparse.Namespace) -> Dict[str, Any]:
    args: Dict[str, Any] = {"descriptor": str(Path(given.descriptor).absolute())}
    if given.verb in {"start", "image"} and given.settings:
        args["settings"] = json.loads(Path(given.settings).read_bytes())
    if given.verb in {"reset", "image"}:
        args["image"] = given.image
    return args


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="agent", description="what runs on a measured host")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name in ("attach", "supervise"):
        verb = verbs.add_parser(name)
        verb.add_argument("--run", required=True)
        verb.add_argument("--ttl", type=float, default=60.0)
    verbs.choices["attach"].add_argument("--files", action="store_true")
    verbs.choices["supervise"].add_argument("--ready-fd", type=int)
    for name in VERBS:
        verb = verbs.add_parser(name)
        verb.add_argument("descriptor")
        verb.add_argument("--run", default="direct", help="whose work folder to use")
        if name in {"start", "image"}:
            verb.add_argument("--settings", help="a JSON file with the server's settings")
        if name in {"reset", "image"}:
            verb.add_argument("--image", default="direct", help="the name of the data image")
    return parser


if __name__ == "__main__":
    sys.exit(main())
