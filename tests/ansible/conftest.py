"""Running the shipped playbooks as people do, on this machine, with all folders below tmp_path."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from benchctl.spec.share import shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INVENTORY = shared("playbooks").parent / "inventories" / "local"
TIMEOUT = 600


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
def play(tmp_path: Path, bench_cache: Path) -> Iterator[Callable[..., Outcome]]:
    """Run a playbook with extra arguments; the cache, Ansible's home and the runtime folder are temporary.

    Without an inventory on this machine; with one, hosts have folders of their own.
    """
    sockets = tempfile.mkdtemp(prefix="bc-")  # a socket's path has to be short
    environment = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "HOME": os.environ.get("HOME", str(tmp_path)),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": sockets,
        "ANSIBLE_SSH_ARGS": "-C -o ControlMaster=auto -o ControlPersist=5s",
        "ANSIBLE_CONFIG": str(INVENTORY.parent.parent / "ansible.cfg"),
        "BENCHCTL_CACHE": str(bench_cache),
        "BENCHCTL_LEASE_DIR": str(tmp_path / "lease"),
    }

    def run(playbook: str, *arguments: str, inventory: Path | None = None) -> Outcome:
        path = shared("playbooks") / f"{playbook}.yml"
        argv = ["ansible-playbook", "-i", str(inventory or INVENTORY), str(path), *arguments]
        local = {} if inventory else {"ANSIBLE_REMOTE_TEMP": str(tmp_path / "remote")}
        done = subprocess.run(
            argv, env=environment | local, capture_output=True, text=True, check=False, timeout=TIMEOUT
        )
        return Outcome(done.returncode, done.stdout + done.stderr)

    yield run
    shutil.rmtree(sockets, ignore_errors=True)
