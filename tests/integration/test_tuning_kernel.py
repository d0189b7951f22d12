"""Knobs that no file stands for, by the real kernel: in namespaces of the test's own, and in swap files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.agent import syscalls, tuning
from benchctl.agent.machine import Machine
from benchctl.agent.restore import restore
from benchctl.agent.tuning_journal import Journal
from tests.needs import need

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
LIMIT = 60.0


def in_namespaces(state: Path, what: str, values: dict[str, str]) -> dict[str, Any]:
    """Tune and restore in namespaces that end with the program."""
    apart = ["unshare", "--net", "--mount"]
    able = (
        shutil.which("unshare")
        and not subprocess.run([*apart, "true"], capture_output=True, check=False).returncode
    )
    need("namespaces", "run as root where unshare may make them", available=bool(able))
    need("ip", "apt-get install iproute2", available=shutil.which("ip") is not None)
    command = [*apart, sys.executable, "-m", "tests.kernel_here", str(state), what, json.dumps(values)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT, cwd=ROOT)
    need("veth", "modprobe veth", available="Unknown device type" not in done.stderr)
    assert not done.returncode, done.stderr
    return dict(json.loads(done.stdout))


def test_cards_are_set_and_given_back_by_the_ioctl(tmp_path: Path) -> None:
    values = {
        "nic_rx_channels": "2",
        "nic_gro": "on",
        "mtu": "1400",
        "nic_lro": "off",
        "nic_adaptive_rx": "off",
        "nic_rx_ring": "256",
        "rps_cpus": "none",
    }
    told = in_namespaces(tmp_path, "nic", values)
    outcomes = {row["knob"]: row["outcome"] for row in told["tuned"]}
    assert outcomes.pop("rps_cpus") == "already"
    assert outcomes.pop("nic_gro") in {"applied", "already"}  # which it was depends on the kernel
    assert outcomes == {
        "nic_rx_channels": "applied",
        "mtu": "applied",
        "nic_lro": "already",  # a veth cannot
        "nic_adaptive_rx": "unsupported",
        "nic_rx_ring": "unsupported",
    }
    before, between, after = told["shown"]
    assert (between["veth0 offload/gro"], between["veth1 channels/rx"]) == ("on", "2")
    assert before["veth0 channels/rx"] == "4"
    assert after == before
    assert {row["outcome"] for row in told["again"]} <= {"already", "unsupported"}
    assert [told["undone"][key] for key in ("left", "failed", "gone")] == [[], [], []]


def test_mounts_get_their_own_flags_back(tmp_path: Path) -> None:
    told = in_namespaces(tmp_path, "atime", {"atime": "noatime"})
    before, between, after = told["shown"]
    assert before == after
    (line,) = [line for line in between.splitlines() if f"{tmp_path}/disk" in line]
    assert line.split()[5] == "rw,nosuid,nodev,noatime"
    others = [line for line in before.splitlines() if "/dev/" not in line.partition(" - ")[2]]
    assert set(others) <= set(between.splitlines())


class OwnSwap(Machine):
    """This machine with the areas of one folder alone: others are none of a test's."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = str(folder)

    def read(self, path: str) -> str:
        head, *lines = super().read(path).splitlines()
        if path != "/proc/swaps":
            return "\n".join([head, *lines])
        return "\n".join([head, *(line for line in lines if line.startswith(self._folder))])


@pytest.fixture
def areas(tmp_path: Path) -> Iterator[list[str]]:
    """Two small swap files in use; one with a priority of its own."""
    need("root", "run as root", available=os.getuid() == 0)
    need("mkswap", "apt-get install util-linux", available=shutil.which("mkswap") is not None)
    paths = []
    try:
        for name, priority in (("one", 7), ("two", 3)):
            path = tmp_path / name
            path.write_bytes(bytes(4 << 20))
            path.chmod(0o600)
            subprocess.run(["mkswap", str(path)], check=True, capture_output=True)
            try:
                syscalls.swapon(str(path), priority)
            except OSError as error:
                need("swap", "a file system that takes swap files", available=False)
                raise AssertionError from error
            paths.append(str(path))
        yield paths
    finally:
        there = Path("/proc/swaps").read_text()
        for area in paths:
            if area in there:
                syscalls.swapoff(area)


def test_swap_goes_and_comes_back_with_its_priorities(areas: list[str], tmp_path: Path) -> None:
    machine, journal = OwnSwap(tmp_path), Journal(tmp_path / "state")
    head = {"run": "here", "kept": True}
    (row,) = tuning.tune(machine, journal, {"swap": "off"}, head, shared=True)["knobs"]
    assert row["outcome"] == "applied"
    assert str(tmp_path) not in Path("/proc/swaps").read_text()
    syscalls.swapon(areas[1], 3)  # as a restore that was killed
    assert restore(machine, journal)["restored"] == 1
    shown = [line.split() for line in machine.read("/proc/swaps").splitlines()[1:]]
    assert sorted((fields[0], fields[-1]) for fields in shown) == [(areas[0], "7"), (areas[1], "3")]


def test_a_swap_file_of_nothing_is_refused_by_the_kernel(tmp_path: Path) -> None:
    need("root", "run as root", available=os.getuid() == 0)
    with pytest.raises(OSError, match=r"swapon .*nothing"):
        syscalls.swapon(str(tmp_path / "nothing"), 1)
