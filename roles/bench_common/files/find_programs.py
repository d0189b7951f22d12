# ruff: noqa: INP001 - a script that is passed to `python -c`, no part of a package
"""Find programs, ask the first of them for its version and hash them all; one process, JSON on stdout.

The argument is a JSON object: prefix (the folder with bin/ or sbin/), programs, and ask (the arguments that
make the first program tell its version). That something is missing is an answer and no error. Runs on
Python 3.9.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

SECONDS = 60
FOLDERS = ("sbin", "bin")  # what the latter has counts


def ask_version(command: list[str]) -> dict[str, str]:
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"failure": str(error)}
    out, said = (text.decode(errors="replace").strip() for text in (done.stdout, done.stderr))
    if done.returncode:
        return {"failure": said or out or f"exit status {done.returncode}"}
    return {"banner": out}


def find(wanted: dict) -> dict:
    places = [Path(wanted["prefix"], folder, name) for name in wanted["programs"] for folder in FOLDERS]
    found = {path.name: str(path) for path in places if os.access(path, os.X_OK)}
    missing = [name for name in wanted["programs"] if name not in found]
    answer = {"programs": found, "missing": missing, "banner": "", "failure": "", "hashes": {}}
    if not missing:
        answer.update(ask_version([found[wanted["programs"][0]], *wanted["ask"]]))
        answer["hashes"] = {
            path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in found.values()
        }
    return answer


json.dump(find(json.loads(sys.argv[1])), sys.stdout)
