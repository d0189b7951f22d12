"""The program of stacks/lab under Pulumi's mocks, and what its own providers say has changed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.errors import SpecError
from benchctl.provision.outputs import read_outputs
from benchctl.provision.request import EXPIRES, OWNER, RUN
from tests.lab.host import await_true
from tests.stacks.mocks import STACKS, Recorder, program_of, request, run

if TYPE_CHECKING:
    from pathlib import Path

HOST, NETWORK = "pulumi-python:dynamic/benchctl:Host", "pulumi-python:dynamic/benchctl:Network"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHost"
KNOWN = {
    NETWORK: {"subnet": "10.200.7.0/24"},
    HOST: {"address": "10.200.7.10", "host_key": KEY},
}
LAB = """
  provider: lab
  memory: 512MB
  groups: {dbms: {memory: 1GB, cpus: 2}, loader: {count: 2}}"""
TAGS = {RUN: "20261121-1015-case-3f2a", OWNER: "me@here", EXPIRES: "2000000000"}


def test_a_network_and_every_host_with_the_runs_tags() -> None:
    result = run("lab", request(LAB), Recorder({}, KNOWN))
    (network,) = result.of(NETWORK).values()
    assert network.inputs["name"] == TAGS[RUN]
    hosts = result.of(HOST)
    assert list(hosts) == ["dbms-1", "loader-1", "loader-2"]
    assert [host.inputs["index"] for host in hosts.values()] == [0, 1, 2]
    assert {host.inputs["subnet"] for host in hosts.values()} == {"10.200.7.0/24"}
    assert [host.inputs.get("memory") for host in hosts.values()] == [2**30, 2**29, 2**29]
    for made in (network, *hosts.values()):
        assert made.inputs["labels"] == TAGS
    assert len(result.of("benchctl:lab:HostGroup")) == 2


def test_the_outputs_keep_the_contract() -> None:
    groups = read_outputs(run("lab", request(LAB), Recorder({}, KNOWN)).exports)
    assert {name: [host.name for host in members] for name, members in groups.items()} == {
        "dbms": ["dbms-1"],
        "loader": ["loader-1", "loader-2"],
    }
    (dbms,) = groups["dbms"]
    assert (dbms.address, dbms.host_key, dbms.cpus, dbms.price_per_hour) == ("10.200.7.10", KEY, 2, 0.0)
    assert dbms.expires == 2_000_000_000.0


def test_a_vm_gets_its_processors_and_memory() -> None:
    text = "{provider: lab, kind: vm, memory: 2GB, groups: {dbms: {}, loader: {cpus: 4}}}"
    result = run("lab", request(text), Recorder({}, KNOWN))
    hosts = [host.inputs for host in result.of(HOST).values()]
    assert [(host["kind"], host["accelerator"], host["cpus"]) for host in hosts] == [
        ("vm", "tcg", 2),
        ("vm", "tcg", 4),
    ]
    exported = [host for members in read_outputs(result.exports).values() for host in members]
    assert [(host.instance_type, host.cpus) for host in exported] == [("vm", 2), ("vm", 4)]


def test_hosts_of_another_provider_are_refused() -> None:
    with pytest.raises(SpecError, match="provider lab cannot make the hosts of LocalHosts"):
        run("lab", request("{provider: local}"), Recorder({}, KNOWN))


def test_plain_pulumi_runs_the_same_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """`pulumi up` executes __main__.py in the project's folder: it is that one call."""
    import bench_lab

    called: list[bool] = []
    monkeypatch.setattr(bench_lab, "program", lambda: called.append(True))
    exec(compile((STACKS / "lab" / "__main__.py").read_text("utf-8"), "__main__.py", "exec"), {})  # noqa: S102
    assert called == [True]


OLD: dict[str, Any] = {
    "name": "loader-1",
    "index": 0,
    "network": "r",
    "subnet": "10.200.7.0/24",
    "kind": "container",
    "accelerator": "tcg",
    "image": "",
    "cpus": None,
    "memory": None,
    "public_key": KEY,
    "labels": TAGS,
}


@pytest.mark.parametrize(
    ("change", "changes", "replaces"),
    [
        ({}, False, []),
        ({"labels": {**TAGS, EXPIRES: "2000000060"}}, True, []),
        ({"memory": 2**30}, True, ["memory"]),
        ({"kind": "vm"}, True, ["kind"]),
        ({"image": "localhost/other:1", "public_key": "ssh-ed25519 BBBB"}, True, ["image", "public_key"]),
    ],
)
def test_only_the_expiry_changes_while_a_host_runs(
    change: dict[str, Any], changes: object, replaces: list[str]
) -> None:
    program_of("lab")
    from bench_lab.providers import HostProvider

    found = HostProvider().diff("r-loader-1", OLD, {**OLD, **change})
    assert (found.changes, found.replaces) == (changes, replaces)


ORPHAN = """
    import os, sys, time
    from benchctl.provision.orphan import end_with_parent
    if os.fork():
        sys.stdin.readline()  # the parent: until it is killed
    else:
        end_with_parent()
        print(os.getpid(), flush=True)
        time.sleep(600)
"""


def test_a_provider_ends_with_the_engine_that_started_it(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(ORPHAN)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as engine:
        assert engine.stdout is not None
        provider = int(engine.stdout.readline())
        os.kill(provider, 0)
        engine.kill()
        await_true(lambda: not alive(provider), "the provider is gone", limit=30)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
