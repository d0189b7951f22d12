"""Which Pulumi engine is used: BENCHCTL_PULUMI_ROOT, else PATH, else the one that `make engine` built.

Must not start it for anything but its version, and must not import Pulumi.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from benchctl.errors import EngineError
from benchctl.provision.cache import cache_folder

BUILT = "3.259.0"  # what engine/go.mod pins
OLDEST = (3, 200, 0)
TOO_NEW = (4, 0, 0)
_VERSION_LIMIT = 60  # seconds
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")
_REMEDY = (
    "`make engine` in benchctl's source builds it (needs Go); or install Pulumi (pulumi.com), or set "
    "BENCHCTL_PULUMI_ROOT to a folder with bin/pulumi"
)


class Engine(NamedTuple):
    """The engine's program, and what it says its version is."""

    program: Path
    version: str

    @property
    def own(self) -> bool:
        """Whether it is the one that `make engine` built, so that nobody's Pulumi settings concern it."""
        return self.program.is_relative_to(cache_folder())


def find_engine() -> Engine:
    """Return the engine. Raises EngineError when there is none, or one that benchctl does not work with."""
    program = _program()
    try:
        done = subprocess.run(
            [program, "version"],
            env={**os.environ, **environment()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_VERSION_LIMIT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"{program} does not start: {error}", remedy=_REMEDY) from error
    found = _VERSION.match(done.stdout.strip())
    if done.returncode or found is None:
        said = (done.stderr or done.stdout).strip()[-500:]
        raise EngineError(f"{program} does not say its version: {said}", remedy=_REMEDY)
    version = tuple(int(part) for part in found.groups())
    if not OLDEST <= version < TOO_NEW:
        wanted = f"{_text(OLDEST)} or newer, below {_text(TOO_NEW)}"
        raise EngineError(
            f"{program} has the version {_text(version)}; benchctl needs {wanted}", remedy=_REMEDY
        )
    return Engine(program, _text(version))


def environment() -> dict[str, str]:
    """Return what the engine gets in its environment whatever it does."""
    return {
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_PYTHON_CMD": sys.executable,
    }


def _program() -> Path:
    if root := os.environ.get("BENCHCTL_PULUMI_ROOT"):
        program = Path(root, "bin", "pulumi").absolute()
        if not program.is_file():
            raise EngineError(f"BENCHCTL_PULUMI_ROOT is {root}, and {program} is not there", remedy=_REMEDY)
        return program
    if found := shutil.which("pulumi"):
        return Path(found).absolute()
    built = cache_folder() / "engine" / BUILT / "bin" / "pulumi"
    if built.is_file():
        return built
    raise EngineError(f"there is no `pulumi` on PATH, and none in {built.parent}", remedy=_REMEDY)


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
