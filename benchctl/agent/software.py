"""Facts about what is installed and running on this host: packages, modules, units, security, environment.

Same rules as the fingerprint, which this belongs to: what is not there is null, never an error.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import List, Optional

from benchctl.agent.wire import Json

_SECONDS = 2.0  # for each program that is asked; one that hangs is a fact that is missing
_ENVIRONMENT = ("LANG", "LC_ALL", "TZ", "LD_PRELOAD", "LD_LIBRARY_PATH", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES")
_SECRET = re.compile(r"(?i)([\w.-]*(?:pass|secret|token|credential|apikey|api_key|private)[\w.-]*=)(\S+)")


def software() -> Json:
    """Read all facts of this module."""
    return {**_packages(), **_modules(), **_units(), **_environment(), **_security()}


def redacted(text: str) -> str:
    """Hide the values of words such as `password=…`; a kernel's command line may hold some."""
    return _SECRET.sub(r"\1[redacted]", text)


def _packages() -> Json:
    """Count and hash what dpkg or rpm have installed: another hash is another set of versions."""
    status = Path("/var/lib/dpkg/status")
    with contextlib.suppress(OSError):
        found = re.findall(r"^(?:Package|Version): (.*)$", status.read_text(errors="replace"), re.MULTILINE)
        return {"packages.manager": "dpkg", "packages.count": len(found) // 2, "packages.hash": _hash(found)}
    listed = _ask("rpm", "-qa")
    if listed:
        found = sorted(listed.split())
        return {"packages.manager": "rpm", "packages.count": len(found), "packages.hash": _hash(found)}
    return {"packages.manager": None, "packages.count": None, "packages.hash": None}


def _modules() -> Json:
    try:
        lines = Path("/proc/modules").read_text().splitlines()
    except OSError:
        return {"kernel.modules": None, "kernel.modules_hash": None}
    names = sorted(line.split()[0] for line in lines)
    return {"kernel.modules": len(names), "kernel.modules_hash": _hash(names)}


def _units() -> Json:
    """Say which services run and which timers wait, where systemd is in charge."""
    missing = {"system.services": None, "system.services_failed": None, "system.timers": None}
    if not Path("/run/systemd/system").exists():
        return missing
    running = _ask("systemctl", "list-units", "--type=service", "--state=running", "--plain", "--no-legend")
    failed = _ask("systemctl", "list-units", "--state=failed", "--plain", "--no-legend")
    timers = _ask("systemctl", "list-timers", "--output=json")
    found: Json = {
        "system.services": None if running is None else [line.split()[0] for line in running.splitlines()],
        "system.services_failed": None
        if failed is None
        else [line.split()[0] for line in failed.splitlines()],
    }
    with contextlib.suppress(TypeError, ValueError):
        found["system.timers"] = sorted(str(timer["unit"]) for timer in json.loads(timers or ""))
    return {**missing, **found}


def _environment() -> Json:
    found: Json = {f"environment.{name}": os.environ.get(name) for name in _ENVIRONMENT}
    import ssl  # it loads much, and is needed once

    found["library.openssl"] = ssl.OPENSSL_VERSION
    found["environment.umask"] = _field("/proc/self/status", "Umask")
    found["process.capabilities"] = _field("/proc/self/status", "CapEff")
    found["process.seccomp"] = _field("/proc/self/status", "Seccomp")
    found["process.cpus"] = _field("/proc/self/status", "Cpus_allowed_list")
    found["process.nodes"] = _field("/proc/self/status", "Mems_allowed_list")
    return found


def _security() -> Json:
    return {
        "kernel.config_hash": _file_hash(Path("/proc/config.gz")),
        "tool.unshare": shutil.which("unshare") is not None,
        "tool.numactl": shutil.which("numactl") is not None,
        "tool.perf": shutil.which("perf") is not None,
    }


def _field(path: str, name: str) -> Optional[str]:
    with contextlib.suppress(OSError):
        for line in Path(path).read_text().splitlines():
            key, _, value = line.partition(":")
            if key == name:
                return value.strip()
    return None


def _file_hash(path: Path) -> Optional[str]:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError:
        return None


def _hash(words: List[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


def _ask(*argv: str) -> Optional[str]:
    try:
        done = subprocess.run(
            argv, capture_output=True, check=False, timeout=_SECONDS, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None
