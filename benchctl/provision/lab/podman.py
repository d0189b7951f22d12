"""Runs podman, and other programs that need root; knows what makes a lab possible on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING

from benchctl.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LIMIT = 120.0
PACKAGES = "podman runc netavark aardvark-dns iptables mmdebstrap openssh-client"
REMEDY = f"sudo apt-get install --no-install-recommends {PACKAGES}, and be root or allowed `sudo -n`"
PROGRAMS = ("podman", "runc", "iptables", "nsenter", "mmdebstrap", "ssh", "ssh-keygen", "ip")
PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"


class LabError(StackError):
    """A command of the lab failed."""


def as_root(*argv: str, text: str | None = None, limit: float = LIMIT, cwd: Path | None = None) -> str:
    """Return its output; the bridge of a network is the machine's, so rootless podman does not do."""
    return command(*prefix(), *argv, text=text, limit=limit, cwd=cwd)


def command(*argv: str, text: str | None = None, limit: float = LIMIT, cwd: Path | None = None) -> str:
    done = run(argv, text=text, limit=limit, cwd=cwd)
    if done.returncode:
        raise LabError(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


def run(
    argv: Sequence[str], *, text: str | None = None, limit: float = LIMIT, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Return what became of it. Raises LabError, with the output so far, past the limit (seconds)."""
    try:
        return subprocess.run(
            argv,
            input=text if text is not None else "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit,
            check=False,
            cwd=cwd,
            env=_environment(),
        )
    except subprocess.TimeoutExpired as error:
        so_far = b"".join(said for said in (error.stdout, error.stderr) if isinstance(said, bytes))
        message = f"{' '.join(argv)}: not done within {limit:g} s\n{so_far.decode(errors='replace')}"
        raise LabError(message.rstrip()) from error


def _environment() -> dict[str, str]:
    """Return what programs get of ours: not what concerns Pulumi, which podman's own servers would keep."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")}
    return {**kept, "PATH": PATH}


def podman(*argv: str, limit: float = LIMIT) -> str:
    """Return what podman prints; always with runc, because crun refuses hybrid cgroups."""
    return as_root("podman", "--runtime", "runc", *argv, limit=limit)


def prefix() -> tuple[str, ...]:
    """Return the words before a command that needs root."""
    return () if os.geteuid() == 0 else ("sudo", "-n")


@cache
def possible() -> bool:
    """Tell whether this machine can have a lab: Linux, the programs, and root or sudo without a password."""
    if sys.platform != "linux" or not all(shutil.which(name, path=PATH) for name in PROGRAMS):
        return False
    return os.geteuid() == 0 or (
        shutil.which("sudo") is not None and run(["sudo", "-n", "true"]).returncode == 0
    )
