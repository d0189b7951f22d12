"""What benchctl is measured against: Python packages in an environment of their own, programs of the system.

The packages are the extra `perf` of pyproject.toml. They want other versions than constraints.txt has, so
they are installed once per user and list of packages in the user's cache, never beside benchctl. Programs of
the system are used where they are; `missing` says how to get them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from functools import cache
from pathlib import Path

from benchctl.provision.lab.podman import PATH
from tests.lab.image import cache_folder, locked

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
DEBIAN = {
    "prometheus-node-exporter": "prometheus-node-exporter",
    "rsync": "rsync",
    "scp": "openssh-client",
    "ssh": "openssh-client",
    "sadc": "sysstat",
    "cc": "gcc libc6-dev",
}
PLACES = ":".join((os.environ.get("PATH", ""), PATH, "/usr/lib/sysstat"))


@cache
def environment() -> Path:
    """The folder of the peers' environment; installed when it is not there yet, which takes a minute."""
    packages = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]["perf"]
    key = hashlib.sha256("\n".join((sys.version, *packages)).encode()).hexdigest()[:12]
    folder = cache_folder() / f"peers-{key}"
    with locked("peers"):
        if not (folder / "installed").exists():
            sys.stderr.write(f"installing {', '.join(packages)} into {folder} …\n")
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
            subprocess.run([*pip, "install", *packages], check=True)
            (folder / "installed").touch()
    return folder


def program(name: str) -> str:
    """The path of a program of the peers' environment."""
    return str(environment() / "bin" / name)


def library() -> Path:
    """Where the peers' modules lie."""
    base = {"base": str(environment()), "platbase": str(environment())}
    return Path(sysconfig.get_path("purelib", vars=base))


def found(name: str) -> str | None:
    """The path of a program of the system, or None."""
    return shutil.which(name, path=PLACES)


def missing(name: str) -> str:
    """What stands in a row in place of a program that is not there."""
    return f"no {name}: apt-get install {DEBIAN.get(name, name)}"
