# ruff: noqa: INP001 - a script of the instance, no part of a package
"""Ask the program mariadbd, or mysqld, about settings without a server, as a descriptor's `check` needs it.

`ask_mariadbd.py PROGRAM check FILE FOLDER`: what it has against the settings in FILE, on stderr; exit 1 where
there is something. The program alone would end with 0 after errors in InnoDB's settings, and after values
that it ignores or changes. FOLDER stands in for the data. `try` is for MySQL, whose mysqld looks at all of
them only where it has data: it makes them in FOLDER, seconds and 150 MB, and they are removed.
`ask_mariadbd.py PROGRAM names`: every setting that it knows. Runs on Python 3.9.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile

SECONDS = 100
OBJECTION = re.compile(r"\[ERROR\]|\[Warning\].*(?:ignoring option|option '.*' adjusted|adjusted to)")
VARIABLE = re.compile(r"([a-z][a-z0-9-]*)(?: .*)?")
BEFORE = re.compile(r"-+ -+")  # the line above the variables, which end with an empty one


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        capture_output=True,
        encoding="utf-8",
        errors="backslashreplace",
        timeout=SECONDS,
        check=False,
    )


def describe(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """What the program prints of itself: its options, and their values as it has read them."""
    return run(program, *words, "--verbose", "--help")


def check(program: str, file: str, folder: str) -> int:
    return judge(describe(program, f"--defaults-file={file}", f"--datadir={folder}"))


def initialise(program: str, file: str, folder: str) -> int:
    with tempfile.TemporaryDirectory(dir=folder) as data:
        return judge(run(program, f"--defaults-file={file}", f"--datadir={data}", "--initialize-insecure"))


def judge(done: subprocess.CompletedProcess[str]) -> int:
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
sys.exit({"check": check, "try": initialise, "names": names}[verb](program, *rest))
