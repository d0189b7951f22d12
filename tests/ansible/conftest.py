"""Running the shipped playbooks as people do, on this machine, with all folders below tmp_path."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from benchctl.spec.share import shared

if TYPE_CHECKING:
    from collections.abc import Callable

INVENTORY = shared("playbooks").parent / "inventories" / "local"
TIMEOUT = 300


class Outcome(NamedTuple):
    """What ansible-playbook said."""

    code: int
    text: str

    @property
    def changed(self) -> int:
        return sum(int(number) for number in re.findall(r"changed=(\d+)", self.text))


@pytest.fixture
def bench_cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def play(tmp_path: Path, bench_cache: Path) -> Callable[..., Outcome]:
    """Run a playbook with extra arguments; the cache, Ansible's home and the runtime folder are temporary."""
    environment = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "HOME": os.environ.get("HOME", str(tmp_path)),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "ANSIBLE_REMOTE_TEMP": str(tmp_path / "remote"),
        "ANSIBLE_CONFIG": str(INVENTORY.parent.parent / "ansible.cfg"),
        "BENCHCTL_CACHE": str(bench_cache),
        "BENCHCTL_LEASE_DIR": str(tmp_path / "lease"),
    }

    def run(playbook: str, *arguments: str) -> Outcome:
        path = shared("playbooks") / f"{playbook}.yml"
        argv = ["ansible-playbook", "-i", str(INVENTORY), str(path), *arguments]
        done = subprocess.run(
            argv, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT
        )
        return Outcome(done.returncode, done.stdout + done.stderr)

    return run
