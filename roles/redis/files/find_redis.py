# ruff: noqa: INP001 - a script that is passed to `python -c`, no part of a package
"""Find Redis' programs, ask one of them for its version and hash them; one process, JSON on stdout.

The argument is a JSON object: prefix (the folder with bin/) and programs (the first one is asked for its
version). That something is missing is an answer and no error. Runs on Python 3.9.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

VERSION_SECONDS = 60


def ask_version(program: Path) -> dict[str, str]:
    try:
        done = subprocess.run(
            [str(program), "--version"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=VERSION_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"failure": str(error)}
    text = done.stdout.decode(errors="replace").strip()
    return {"banner": text} if done.returncode == 0 else {"failure": text or f"exit status {done.returncode}"}


def find(wanted: dict) -> dict:
    folder = Path(wanted["prefix"]) / "bin"
    programs = [folder / name for name in wanted["programs"]]
    missing = [path.name for path in programs if not os.access(path, os.X_OK)]
    answer = {"bin": str(folder), "missing": missing, "banner": "", "failure": "", "hashes": {}}
    if not missing:
        answer.update(ask_version(programs[0]))
        answer["hashes"] = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in programs}
    return answer


json.dump(find(json.loads(sys.argv[1])), sys.stdout)
