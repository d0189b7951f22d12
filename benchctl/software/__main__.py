"""What the roles call on the controller: `python -m benchctl.software key|make`, what is wanted on stdin.

One JSON object in, one out: `key`, `archive`, `made` (whether it was there), and from make `seconds` (null
when it was).
"""

from __future__ import annotations

import json
import sys

from benchctl.errors import UsageError
from benchctl.software import prefixes
from benchctl.software.script import errors_end_it
from benchctl.software.wanted import read

VERBS = ("key", "make")


def main(arguments: list[str], text: bytes) -> dict[str, object]:
    """Do one verb. Raises BenchctlError."""
    if len(arguments) != 1 or arguments[0] not in VERBS:
        raise UsageError(
            f"wanted is one of {', '.join(VERBS)}", remedy="python -m benchctl.software key < wanted.json"
        )
    wanted = read(text)
    found = prefixes.prefix(wanted)
    told = {"key": found.key, "archive": str(found.archive), "made": found.made}
    return told | {"seconds": prefixes.make(wanted)} if arguments[0] == "make" else told


if __name__ == "__main__":
    with errors_end_it():
        sys.stdout.write(json.dumps(main(sys.argv[1:], sys.stdin.buffer.read())) + "\n")
