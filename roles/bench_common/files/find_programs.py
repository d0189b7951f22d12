# ruff: noqa: INP001 - a script that is passed to `python -c`, no part of a package
"""Find programs, ask the first of them for its version and hash them all; one process, JSON on stdout.

The argument is a JSON object: prefix (the folder with bin/ or sbin/), programs, ask (the arguments that make
the first program tell its version; none: it is one of Go's, which carries its module's version), and status
(the exit statuses that it may then end with). The banner is what it printed, on stdout and then on stderr.
That something is missing is an answer and no error. Runs on Python 3.9.
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
GO_MAGIC = b"\xff Go buildinf:"
GO_HEADER = 32  # bytes; two strings follow it, each after its length
GO_INLINE = 2  # the flag that says so; older programs have pointers there


def ask_version(command: list[str], expected: list[int]) -> dict[str, str]:
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"failure": str(error)}
    out, said = (text.decode(errors="replace").strip() for text in (done.stdout, done.stderr))
    if done.returncode not in expected:
        wanted = " or ".join(map(str, expected))
        told = f": {said or out}" if said or out else ""
        return {"failure": f"exit status {done.returncode}, where {wanted} is expected{told}"}
    return {"banner": f"{out}\n{said}".strip(), "stdout": out}


def read_string(data: bytes, at: int) -> tuple[bytes, int]:
    """One of Go's strings, its length as a varint before it, and where it ends."""
    length = shift = 0
    while True:
        length |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 0x80:
            return data[at : at + length], at + length


def go_module(path: str) -> dict[str, str]:
    """The line of Go's build information with the program's own module; as `go version -m` shows it."""
    data = Path(path).read_bytes()
    at = data.find(GO_MAGIC)
    while at >= 0 and (at % 16 or not data[at + len(GO_MAGIC) + 1] & GO_INLINE):
        at = data.find(GO_MAGIC, at + 1)
    if at < 0:
        return {"failure": "it carries no version as programs of Go 1.18 and newer do"}
    _, end = read_string(data, at + GO_HEADER)
    lines = read_string(data, end)[0].decode(errors="replace").splitlines()
    return {"banner": next((line.replace("\t", " ") for line in lines if line.startswith("mod\t")), "")}


def find(wanted: dict) -> dict:
    places = [Path(wanted["prefix"], folder, name) for name in wanted["programs"] for folder in FOLDERS]
    found = {path.name: str(path) for path in places if os.access(path, os.X_OK)}
    missing = [name for name in wanted["programs"] if name not in found]
    answer = {"programs": found, "missing": missing, "banner": "", "stdout": "", "failure": "", "hashes": {}}
    if not missing:
        first = found[wanted["programs"][0]]
        ask = [first, *wanted["ask"]]
        answer.update(ask_version(ask, wanted["status"]) if wanted["ask"] else go_module(first))
        answer["hashes"] = {
            path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in found.values()
        }
    return answer


json.dump(find(json.loads(sys.argv[1])), sys.stdout)
