"""The verbs of tuning over real SSH: hosts side by side, each with a tree of files as its knobs."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.sshd import PROGRAM, Sshd
from tests.needs import need
from tests.unit.test_cli_main import run_main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SWAPPINESS = "machine/proc/sys/vm/swappiness"


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Sshd]]:
    need("sshd", "apt-get install openssh-server", available=bool(PROGRAM))
    monkeypatch.setenv("BENCHCTL_CACHE", str(tmp_path / "controller"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.chdir(tmp_path)
    servers = []
    try:
        for name in ("db1", "db2"):
            servers.append(Sshd(tmp_path, name))
            path = servers[-1].folder / SWAPPINESS
            path.parent.mkdir(parents=True)
            path.write_text("60\n")
        _write_inventory(tmp_path / "lab.yml", servers)
        yield servers
    finally:
        for server in servers:
            server.close()


def _write_inventory(path: Path, servers: list[Sshd]) -> None:
    known: dict[str, dict[str, Any]] = {
        one.name: {
            "ansible_host": "127.0.0.1",
            "ansible_port": one.port,
            "ansible_user": "root" if os.getuid() == 0 else os.environ["USER"],
            "ansible_ssh_private_key_file": str(one.key),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={one.known_hosts}",
            "ansible_python_interpreter": sys.executable,
        }
        for one in servers
    }
    path.write_text(json.dumps({"all": {"hosts": known}}))  # JSON is YAML


@pytest.fixture
def act(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    return partial(run_main, monkeypatch)


def texts(hosts: list[Sshd]) -> list[str]:
    return [(one.folder / SWAPPINESS).read_text().strip() for one in hosts]


def test_hosts_are_tuned_verified_and_restored_side_by_side(
    hosts: list[Sshd], act: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert act("hosts", "tune", "-i", "lab.yml", "--json") == 0
    told = json.loads(capsys.readouterr().out)["hosts"]
    assert list(told) == ["db1", "db2"]
    for host, server in zip(told.values(), hosts, strict=True):
        rows = {row["knob"]: row for row in host["knobs"]}
        assert rows["swappiness"]["outcome"] == "applied"
        assert str(server.cache) in host["undo"]
    assert texts(hosts) == ["1", "1"]
    assert act("hosts", "verify", "-i", "lab.yml") == 0
    (hosts[1].folder / SWAPPINESS).write_text("33\n")
    assert act("hosts", "verify", "-i", "lab.yml") == 3
    shown = capsys.readouterr()
    assert "db2: swappiness: /proc/sys/vm/swappiness: set to 1, found 33" in shown.out
    assert "drifted: db2" in shown.err
    assert act("hosts", "restore", "-i", "lab.yml", "db1") == 0
    assert texts(hosts) == ["60", "33"]
    assert act("hosts", "restore", "-i", "lab.yml") == 1
    assert act("hosts", "restore", "-i", "lab.yml", "--force") == 0
    assert texts(hosts) == ["60", "60"]


def test_a_host_that_cannot_be_tuned_says_so_and_the_others_are_told(
    hosts: list[Sshd], act: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    (hosts[1].folder / "state").write_text("a file, where the journal's folder should be")
    assert act("hosts", "tune", "-i", "lab.yml") == 3
    shown = capsys.readouterr()
    assert "tune is done on db1" in shown.err
    assert "db2: " in shown.err
    assert "nothing was changed" in shown.err
    assert texts(hosts) == ["1", "60"]
    assert act("hosts", "restore", "-i", "lab.yml", "db1") == 0
    assert texts(hosts) == ["60", "60"]
