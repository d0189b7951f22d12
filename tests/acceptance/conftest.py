"""The real executable in a workspace, cache and lease of the test's own; nothing is patched."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.needs import wheel_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = str(Path(sys.executable).with_name("benchctl"))
QUICK = (
    "--set=design.blocks=2",
    "--set=workload.scale=1",
    "--set=workload.warmup=0s",
    "--set=workload.duration=1s",
)  # the quickstart in seconds

FAST = """
name: mine
workload:
  role: command
  run: >-
    printf '{"throughput": 12.5}\\n'
  parse: {json: true}
  units: {throughput: 1/s}
factors:
  side: {a: {}, b: {}}
design: {blocks: 1}
metrics: [{name: throughput, better: higher}]
"""  # an experiment without a DBMS


class Shell:
    """Runs the command and keeps an eye on what it leaves behind."""

    def __init__(self, folder: Path, runtime: Path) -> None:
        self.workspace = folder / "workspace"
        self.workspace.mkdir()
        self.runtime = runtime
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("BENCHCTL_", "ANSIBLE_"))},
            "BENCHCTL_CACHE": str(folder / "cache"),
            "BENCHCTL_LEASE_DIR": str(folder / "lease"),
            "XDG_RUNTIME_DIR": str(runtime),
            "NO_COLOR": "1",
        }
        self.cache = folder / "cache"
        self.lease = folder / "lease"

    def run(
        self, *words: str, code: int | set[int] = 0, limit: float = 300, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end; the exit code has to be the expected one, or one of several."""
        done = subprocess.run(
            [PROGRAM, *words],
            cwd=self.workspace,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=limit,
        )
        expected = {code} if isinstance(code, int) else code
        assert done.returncode in expected, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start in a session of its own, stdout and stderr in one pipe."""
        return subprocess.Popen(
            [PROGRAM, *words],
            cwd=self.workspace,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def processes(self) -> list[str]:
        """Command lines of all processes of a run of this workspace: by the marker, or by the run's name."""
        return [line for _, line in self.marked()]

    def marked(self) -> list[tuple[int, str]]:
        runs = {path.name for path in self.workspace.glob("runs/*")}
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    environment = (entry / "environ").read_bytes().split(b"\0")
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue
                marks = {f"BENCHCTL_RUN={run}".encode() for run in runs}
                if marks & set(environment) or any(run in line for run in runs):
                    found.append((int(entry.name), line))
        return found

    def nothing_left(self) -> None:
        """No process, no socket, no lease, no data of a run."""
        deadline = time.monotonic() + 10
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.02)  # a supervisor that has answered its last request still has to exit
        assert left == []
        assert [path for path in self.runtime.rglob("*") if not path.is_dir()] == []
        assert list(self.cache.glob("runs/*")) == []
        assert list(self.lease.glob("*.json")) == []


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A host where Ansible has nothing to do any more: made once for all workers, copied by the tests."""
    wheel_prefix()
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / "warm.lock").open("w") as lock, tempfile.TemporaryDirectory(prefix="bt") as runtime:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "warm").exists():
            making = Path(tempfile.mkdtemp(dir=shared))
            shell = Shell(making, Path(runtime))
            shell.run("run", "quickstart", *QUICK, "--set=design.blocks=1", "--set=design.min_blocks=1")
            (shell.workspace / "mine.yml").write_text(FAST)
            shell.run("run", "mine.yml", "--until=configure")
            shell.run("destroy", "latest")
            making.rename(shared / "warm")
    return shared / "warm"


@pytest.fixture(scope="session")
def warm_cache(warm: Path) -> Path:
    """What Ansible and the first data image leave on a host; for copies."""
    return warm / "cache"


@pytest.fixture(scope="session")
def warm_run(warm: Path) -> Path:
    """A finished run of two trials; for copies."""
    (run,) = warm.glob("workspace/runs/*-quickstart-*")
    return run


@pytest.fixture
def cold_shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell on a host that never saw benchctl; socket paths are short, pytest's own folders too deep."""
    wheel_prefix()
    with tempfile.TemporaryDirectory(prefix="bt") as runtime:
        yield Shell(tmp_path, Path(runtime))


@pytest.fixture
def shell(cold_shell: Shell, warm_cache: Path) -> Shell:
    """A shell on a host where the quickstart ran before: Ansible has nothing to do there."""
    shutil.copytree(warm_cache, cold_shell.cache, symlinks=True)
    return cold_shell
