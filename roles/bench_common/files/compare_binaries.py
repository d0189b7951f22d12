# ruff: noqa: INP001 - a script that is passed to `python -c`, no part of a package
"""Compare the programs of a host with what a descriptor says of them; JSON on stdout.

The argument is the descriptor's path. The answer: `there` (whether there is a descriptor), and `problems`, a
line for each program that says otherwise now, or is another file. Runs on Python 3.9.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

SECONDS = 60


def differs(check: dict) -> str:
    """What a program says otherwise than it did."""
    argv, wanted = check["argv"], check["stdout"].strip()
    told = " ".join(argv)
    try:
        done = subprocess.run(argv, capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{told}: {error}"
    if done.returncode not in check.get("status", [0]):
        return f"{told}: ended with {done.returncode}: {done.stderr.decode(errors='replace').strip()}"
    found = done.stdout.decode(errors="replace").strip()
    return "" if found == wanted else f'{told}: found "{found}", expected "{wanted}"'


def changed(check: dict) -> str:
    """Which file is another one than it was."""
    try:
        found = hashlib.sha256(Path(check["path"]).read_bytes()).hexdigest()
    except OSError as error:
        return f"{check['path']}: {error.strerror}"
    return "" if found == check["sha256"] else f"{check['path']}: is another file than the role found"


def compare(path: Path) -> dict:
    if not path.exists():
        return {"there": False, "problems": []}
    try:
        checks = json.loads(path.read_text(encoding="utf-8"))["verify"]
    except (OSError, ValueError, KeyError) as error:
        return {"there": True, "problems": [f"{path}: is no descriptor: {error!r}"]}
    found = [differs(check) if "argv" in check else changed(check) for check in checks]
    return {"there": True, "problems": [problem for problem in found if problem]}


json.dump(compare(Path(sys.argv[1])), sys.stdout)
