# ruff: noqa: INP001 - a script of the role, no part of a package
"""Become a program with a password in its environment: `with_password.py NAME FILE PROGRAM [ARGUMENT...]`.

FILE, of mode 600, has the password; NAME is the variable. So it stands in no argument, which all of the host
could read, and in nothing that go-ycsb prints: it prints its properties before their variables are replaced.
Runs on Python 3.9.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    name, file, *command = sys.argv[1:]
    try:
        password = Path(file).read_text(encoding="utf-8").strip()
        os.execve(command[0], command, {**os.environ, name: password})  # noqa: S606 - never through a shell
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}")
