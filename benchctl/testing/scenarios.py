"""A role's molecule scenarios, one after the other: `python -m benchctl.testing.scenarios FOLDER [NAME…]`.

Each scenario is a `molecule/<name>/molecule.yml` of the role with variables; all else comes from the shared
parts in molecule/ (config.yml for all, <name>.yml for those of that name). Nothing outlives it but caches.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from benchctl.errors import StepError, UnfitError, UsageError
from benchctl.provision.lab.podman import REMEDY, possible
from benchctl.software.script import errors_end_it
from benchctl.spec.share import shared
from benchctl.testing.scenario_hosts import destroy

if TYPE_CHECKING:
    from collections.abc import Sequence

SCENARIOS = ("default", "alternative", "roundtrip")


def run(role: Path, names: Sequence[str] = ()) -> dict[str, float]:
    """Run a role's scenarios, all without names; return the seconds of each.

    Raises:
        UsageError: no such role or scenario.
        UnfitError: molecule or what makes container hosts is missing.
        StepError: a scenario failed; molecule has said why.
    """
    role = role.resolve()
    there = in_order(role)
    if not there:
        raise UsageError(f"{role} has no scenarios", remedy="name the folder of a role that has molecule/")
    if unknown := [name for name in names if name not in there]:
        raise UsageError(f"{role} has no scenario {unknown[0]}", remedy=f"it has: {', '.join(there)}")
    if find_spec("molecule") is None:
        raise UnfitError("molecule is not installed", remedy="pip install 'benchctl[dev]'")
    if not possible():
        raise UnfitError("this machine cannot have container hosts", remedy=REMEDY)
    return {name: _one(role, name) for name in names or there}


def in_order(role: Path) -> list[str]:
    """Return the names of the role's scenarios, as they are run."""
    there = {path.parent.name for path in role.glob("molecule/*/molecule.yml")}
    return [*(name for name in SCENARIOS if name in there), *sorted(there.difference(SCENARIOS))]


def _one(role: Path, name: str) -> float:
    begin = time.monotonic()
    parts = [shared("molecule") / "config.yml", shared("molecule") / f"{name}.yml"]
    bases = [word for part in parts if part.is_file() for word in ("--base-config", str(part))]
    argv = [sys.executable, "-m", "molecule", *bases, "test", "--no-command-borders", "--scenario-name", name]
    with tempfile.TemporaryDirectory(prefix="bm-") as made:  # a short name: sockets are in it
        folder = Path(made)
        try:
            done = subprocess.run(argv, cwd=role, env=_environment(role, folder), check=False)
        finally:
            destroy(folder)
    seconds = time.monotonic() - begin
    if done.returncode:
        raise StepError(f"{role.name}: scenario {name} failed after {seconds:.0f} s; see above")
    sys.stderr.write(f"{role.name} {name}: {seconds:.0f} s\n")
    return seconds


def _environment(role: Path, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        **({} if sys.stdout.isatty() else {"NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1"}),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false",
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_ROLES_PATH": os.pathsep.join(map(str, (role.parent, shared("roles")))),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder),
        "BENCHCTL_SCENARIOS": str(shared("molecule")),
        "MOLECULE_EPHEMERAL_DIRECTORY": str(folder),
    }


def main(arguments: Sequence[str]) -> None:
    """Run what the command line names. Raises BenchctlError."""
    if not arguments:
        raise UsageError("no role", remedy="python -m benchctl.testing.scenarios roles/redis [default]")
    run(Path(arguments[0]), arguments[1:])


if __name__ == "__main__":
    with errors_end_it():
        main(sys.argv[1:])
