# ruff: noqa: INP001 - a script of the instance, no part of a package
"""Ask the program mariadbd about settings without starting a server, as a descriptor's `check` needs it.

`ask_mariadbd.py PROGRAM check FILE FOLDER`: what it has against the settings in FILE, on stderr; exit 1 where
there is something. The program alone would end with 0 after errors in InnoDB's settings, and after values
that it ignores or changes. `ask_mariadbd.py PROGRAM names`: every setting that it knows. FOLDER stands in for
the data. Runs on Python 3.9.
"""

from __future__ import annotations

import re
import subprocess
import sys

SECONDS = 60
OBJECTION = re.compile(r"\[ERROR\]|\[Warning\].*(?:ignoring option|option '.*' adjusted|adjusted to)")
VARIABLE = re.compile(r"([a-z][a-z0-9-]*)(?: .*)?")
BEFORE = re.compile(r"-+ -+")  # the line above the variables, which end with an empty one


def describe(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """What the program prints of itself: its options, and their values as it has read them."""
    return subprocess.run(
        [program, *words, "--verbose", "--help"],
        capture_output=True,
        encoding="utf-8",
        errors="backslashreplace",
        timeout=SECONDS,
        check=False,
    )


def check(program: str, file: str, folder: str) -> int:
    done = describe(program, f"--defaults-file={file}", f"--datadir={folder}")
    lines = [line for line in done.stderr.splitlines() if OBJECTION.search(line)]
    if done.returncode and not lines:
        lines = done.stderr.splitlines() or [f"exit code {done.returncode}"]
    sys.stderr.write("\n".join(lines) + "\n")
    return 1 if lines else 0


def names(program: str) -> int:
    lines = iter(describe(program, "--no-defaults").stdout.splitlines())
    for line in lines:
        if BEFORE.fullmatch(line.strip()):
            break
    for line in lines:
        found = VARIABLE.fullmatch(line)
        if not line:
            break
        if found:
            sys.stdout.write(found[1].replace("-", "_") + "\n")
    return 0


program, verb, *rest = sys.argv[1:]
sys.exit({"check": check, "names": names}[verb](program, *rest))
