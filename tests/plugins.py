"""Packages of other people on PYTHONPATH, installed as pip would have, and benchctl run beside them."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

PROGRAM = str(Path(sys.executable).with_name("benchctl"))


class Site:
    """A folder of installed packages that only the commands run by it see."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._paths = [folder]
        folder.mkdir()

    def install(self, project: Path) -> None:
        """Install the project in a folder in place, with the entry points of its pyproject.toml."""
        about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        self.record(about["name"], about["version"], about["entry-points"])
        self._paths.append(project)

    def record(self, name: str, version: str, points: dict[str, dict[str, str]]) -> None:
        """Write what says that a package is installed."""
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = [
            f"[{group}]\n" + "".join(f"{point} = {value}\n" for point, value in of.items())
            for group, of in points.items()
        ]
        (info / "entry_points.txt").write_text("\n".join(lines))

    def run(self, *argv: str, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command that sees these packages."""
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, self._paths))}
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=300, check=False, cwd=cwd, env=env
        )
        assert done.returncode == code, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def benchctl(self, *arguments: str, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        return self.run(PROGRAM, *arguments, cwd=cwd, code=code)
