"""The command line of the agent's zipapp: attach, supervise, tuning, and the direct verbs on a descriptor.

Owns the words of that command line. Direct verbs are for plain Ansible and for people: they do what the
supervisor does, without it, and print one JSON object. Loads as little as each verb needs.
"""

import os
import sys
from typing import TYPE_CHECKING, Any, Dict, List, Optional

if TYPE_CHECKING:
    import argparse

VERBS = ("start", "ready", "stop", "reset", "image", "verify", "inspect")
TUNING = ("snapshot", "preview", "tune", "drift", "restore", "hold", "guard")
INSIDE = ("null-target", "jitter", "as-root")
_TTL = "60"  # seconds, as text: the default of a command line


def main(arguments: Optional[List[str]] = None) -> int:
    """Execute one verb. Exit status: 0, 1 when it could not be done, 2 for a wrong command line."""
    verb, *words = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if verb == "attach":
        from benchctl.agent.attach import attach

        flags = {"--files", "--rejoin"} & set(words)
        pairs = [word for word in words if word not in flags]
        given = _options(verb, pairs, ("--run", "--ttl", "--session"))
        return attach(
            given["--run"],
            float(given.get("--ttl", _TTL)),
            given.get("--session", ""),
            files="--files" in flags,
            rejoin="--rejoin" in flags,
        )
    if verb == "supervise":
        from benchctl.agent.supervisor import supervise

        given = _options(verb, words, ("--run", "--ttl", "--ready-fd", "--ready"))
        ready = int(given["--ready-fd"]) if "--ready-fd" in given else None
        if "--ready" in given:
            ready = os.open(given["--ready"], os.O_WRONLY | os.O_CLOEXEC)
        return supervise(given["--run"], float(given.get("--ttl", _TTL)), ready)
    if verb in INSIDE:
        return _inside(verb, words)
    if verb in TUNING:
        from benchctl.agent.tuning_command import command

        return command([verb, *words])
    return _direct([verb, *words])


def _inside(verb: str, words: List[str]) -> int:
    """Be a program that the agent itself starts."""
    if verb == "null-target":
        import json

        from benchctl.agent import null_target

        return null_target.run(json.loads(words[0]), words[1:])
    if verb == "jitter":
        from benchctl.agent import jitter

        return jitter.main(float(words[0]), float(words[1]))
    from benchctl.agent.privileged import serve

    return serve()


def _options(verb: str, words: List[str], known: "tuple[str, ...]") -> Dict[str, str]:
    """Read `--name value` pairs; programs write them, and argparse takes longer to load than all the rest."""
    given = dict(zip(words[::2], words[1::2]))  # noqa: B905 - an odd word fails the check below
    if len(given) * 2 != len(words) or not set(given) <= set(known) or "--run" not in given:
        sys.stderr.write(f"usage: {verb} --run RUN with {' '.join(known)}; not: {' '.join(words)}\n")
        raise SystemExit(2)
    return given


def _direct(words: List[str]) -> int:
    import contextlib
    import json

    given = _parser().parse_args(words)
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


def _arguments(given: "argparse.Namespace") -> Dict[str, Any]:
    import json
    from pathlib import Path

    args: Dict[str, Any] = {"descriptor": str(Path(given.descriptor).absolute())}
    if given.verb in {"start", "image"} and given.settings:
        args["settings"] = json.loads(Path(given.settings).read_bytes())
    if given.verb in {"reset", "image"}:
        args["image"] = given.image
    return args


def _parser() -> "argparse.ArgumentParser":
    import argparse

    parser = argparse.ArgumentParser(
        prog="agent",
        description="What runs on a measured host. Beside these verbs for people there are "
        "`restore`, `tune`, `preview`, `drift` and `snapshot` for the knobs of this host, and "
        "`attach --run RUN [--ttl S] [--session T] [--files] [--rejoin]`, `supervise --run RUN [--ttl S]`, "
        "`null-target OPTIONS COMMAND…`, `jitter`, `hold`, `guard` and `as-root` for benchctl itself.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
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
