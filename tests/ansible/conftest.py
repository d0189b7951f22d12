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
from tests.ansible.site import Site, kill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.fixtures import Fresh

INVENTORY = shared("playbooks").parent / "inventories" / "local"
TIMEOUT = 1500  # seconds; programs are built in it, beside other tests


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


class Player:
    """Runs playbooks; the cache, Ansible's home and the runtime folder are temporary.

    Without an inventory on this machine; with one, hosts have folders of their own.
    """

    def __init__(self, environment: dict[str, str], remote: Path) -> None:
        self.environment = environment
        self.remote = remote

    def __call__(self, playbook: str, *arguments: str, inventory: Path | None = None) -> Outcome:
        started = self.start(playbook, *arguments, inventory=inventory)
        try:
            text, _ = started.communicate(timeout=TIMEOUT)
        finally:
            kill(started)
        return Outcome(started.returncode, text)

    def start(self, playbook: str, *arguments: str, inventory: Path | None = None) -> subprocess.Popen[str]:
        """In a session of its own: what ends pytest does not end it."""
        path = shared("playbooks") / f"{playbook}.yml"
        argv = ["ansible-playbook", "-i", str(inventory or INVENTORY), str(path), *arguments]
        local = {} if inventory else {"ANSIBLE_REMOTE_TEMP": str(self.remote)}
        return subprocess.Popen(
            argv,
            env=self.environment | local,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


@pytest.fixture
def play(tmp_path: Path, bench_cache: Path) -> Iterator[Player]:
    sockets = tempfile.mkdtemp(prefix="bc-")  # a socket's path has to be short
    environment = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "HOME": os.environ.get("HOME", str(tmp_path)),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": sockets,
        "ANSIBLE_SSH_ARGS": "-C -o ControlMaster=auto -o ControlPersist=30s",
        "ANSIBLE_CONFIG": str(INVENTORY.parent.parent / "ansible.cfg"),
        "BENCHCTL_CACHE": str(bench_cache),
        "BENCHCTL_LEASE_DIR": str(tmp_path / "lease"),
    }
    yield Player(environment, tmp_path / "remote")
    shutil.rmtree(sockets, ignore_errors=True)


@pytest.fixture
def site(fresh: Fresh, play: Player) -> Callable[..., Site]:
    return lambda user, names=("dbms-host", "loader-host"), **variables: Site(
        fresh, play, user, variables, names
    )
