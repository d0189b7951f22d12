"""The hosts that figures are measured on, and runs of benchctl on them; made when first asked for.

All hosts are containers of this machine and share its cores: from 4 hosts on they mostly wait for a CPU.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchctl.provision.lab.podman import REMEDY, possible
from tests.lab.lab import Lab
from tests.perf.rows import Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.lab.host import LabHost

BENCHCTL = str(Path(sys.executable).with_name("benchctl"))
MULTIPLEXED = ("-o", "ControlMaster=auto", "-o", "ControlPersist=120")


class Site:
    """The lab of this process, a folder for what is measured, and the environment that benchctl runs in."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bp"))
        (self.folder / "lab").mkdir()
        self.lab = Lab(self.folder / "lab")
        self.names = {
            name: str(self.folder / name.lower()) for name in ("BENCHCTL_CACHE", "BENCHCTL_LEASE_DIR")
        }
        self.environment = {**os.environ, **self.names, "BENCHCTL_WORKSPACE": str(self.folder / "ws")}
        self.made = 0

    def close(self) -> None:
        self.lab.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def hosts(self, count: int) -> list[LabHost]:
        return self.lab.hosts(count)

    def new_folder(self) -> Path:
        self.made += 1
        folder = self.folder / str(self.made)
        folder.mkdir()
        return folder

    def experiment(self, count: int, trials: int, command: str) -> Path:
        """An experiment whose load generators, on so many hosts, are the command; it prints JSON."""
        folder = self.new_folder()
        path = folder / "perf.yml"
        path.write_text(
            f"""
name: perf
hosts:
  provider: inventory
  path: {self.lab.inventory({"loader": self.hosts(count)})}
  groups: {{loader: {{count: {count}}}}}
workload:
  role: command
  run: >-
    {command}
  parse: {{json: true}}
  units: {{ops: 1/s}}
design: {{blocks: {trials}, on_failure: continue}}
metrics: [{{name: ops, better: higher}}]
""",
            encoding="utf-8",
        )
        return path

    def run(self, experiment: Path) -> Path:
        """Run it to its end; the run's folder. Codes 1 and 4: some trials failed or were judged."""
        workspace = experiment.parent / "ws"
        done = subprocess.run(
            [BENCHCTL, "run", str(experiment)],
            env={**self.environment, "BENCHCTL_WORKSPACE": str(workspace)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in {0, 1, 4}:
            message = f"benchctl run: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            raise RuntimeError(message)
        return max(workspace.glob("runs/*/journal.jsonl"), key=lambda path: path.stat().st_mtime_ns).parent

    def ssh(self, *options: str) -> list[str]:
        """OpenSSH with the lab's configuration; add the host's name and the command."""
        return ["ssh", "-F", str(self.lab.ssh_config), *options]

    def multiplexed(self) -> list[str]:
        """SSH options that keep one connection per host open for two minutes."""
        control = self.folder / "cm"
        control.mkdir(mode=0o700, exist_ok=True)
        return [*MULTIPLEXED, "-o", f"ControlPath={control}/%C"]

    def hang_up(self, hosts: Sequence[LabHost]) -> None:
        """Close the kept connections."""
        for host in hosts:
            words = [*self.ssh(*self.multiplexed()), "-O", "exit", host.name]
            subprocess.run(words, capture_output=True, check=False)


@cache
def site() -> Site:
    made = Site()
    atexit.register(made.close)
    return made


def without_lab(name: str) -> list[Row]:
    """The row in place of a figure that this machine cannot have; empty when it can."""
    return [] if possible() else [Row(name, f"needs podman: {REMEDY}", "", "", "")]


@contextmanager
def busy(hosts: Sequence[LabHost]) -> Iterator[None]:
    """One endless loop on each host."""
    words = ["sh", "-c", "while :; do :; done"]
    loops = [
        subprocess.Popen(
            host.ssh_command("exec", "timeout", "600", *map(quoted, words)), stdin=subprocess.DEVNULL
        )
        for host in hosts
    ]
    try:
        yield
    finally:
        for host, loop in zip(hosts, loops, strict=True):
            host.exec("pkill", "-x", "timeout", check=False)
            loop.wait()


def quoted(word: str) -> str:
    return f"'{word}'"


def seconds(argv: Sequence[str], **options: object) -> float:
    """How long a command takes; raises with its output when it fails."""
    begin = time.perf_counter()
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        message = f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        raise RuntimeError(message)
    return time.perf_counter() - begin
