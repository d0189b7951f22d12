"""Running a build tool: found, started without a shell, its last words in the error."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from benchctl.errors import SoftwareError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SECONDS = 3000  # a build that hangs on a source ends before Ansible's own limit
_LINES = 20


def find(program: str, remedy: str) -> Path:
    """Return the program on PATH. Raises SoftwareError with what to install."""
    found = shutil.which(program)
    if found is None:
        raise SoftwareError(f"there is no `{program}` on the PATH of this machine", remedy=remedy)
    return Path(found)


def run(argv: Sequence[str], *, folder: Path, environment: Mapping[str, str], remedy: str) -> str:
    """Return what it printed on stdout. Raises SoftwareError with the end of what it said."""
    try:
        done = subprocess.run(
            argv,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SoftwareError(f"{argv[0]}: {error}", remedy=remedy) from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-_LINES:]
        raise SoftwareError(
            "\n".join((f"`{' '.join(argv[:2])}` ended with {done.returncode}:", *said)), remedy=remedy
        )
    return done.stdout
