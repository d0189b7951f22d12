"""The host's files and units as tuning reads them, on a real folder; and what is told of systemd."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest

from benchctl.agent import unit_states
from benchctl.agent.machine import Machine, half_way

if TYPE_CHECKING:
    from pathlib import Path

UNIT = "irqbalance.service"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    (tmp_path / "run/systemd/units").mkdir()
    (tmp_path / "usr/lib/systemd/system").mkdir(parents=True)
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    (tmp_path / "usr/lib/systemd/system" / UNIT).write_text("[Unit]\n")
    return tmp_path


def test_the_state_of_a_unit_is_read_from_files(root: Path) -> None:
    machine = Machine(str(root))
    assert machine.unit_state(UNIT) == "inactive"
    (root / "run/systemd/units" / f"invocation:{UNIT}").symlink_to("0123")
    assert machine.unit_state(UNIT) == "active"
    (root / "run/systemd/system" / UNIT).symlink_to("/dev/null")
    assert machine.unit_state(UNIT) == "active masked"
    (root / "run/systemd/units" / f"invocation:{UNIT}").unlink()
    assert machine.unit_state(UNIT) == "masked"


def test_a_mask_for_this_boot_does_not_count_over_an_administrators_unit(root: Path) -> None:
    (root / "run/systemd/system" / UNIT).symlink_to("/dev/null")
    (root / "etc/systemd/system" / UNIT).write_text("[Unit]\n")
    assert Machine(str(root)).unit_state(UNIT) == "inactive"


def test_units_are_missing_without_their_file_or_without_systemd(root: Path) -> None:
    machine = Machine(str(root))
    with pytest.raises(FileNotFoundError):
        machine.unit_state("absent.service")
    assert machine.unit_folder(UNIT) == "/usr/lib/systemd/system"
    (root / "run/systemd/units").rmdir()
    (root / "run/systemd/system").rmdir()
    assert machine.unit_folder(UNIT) == ""


def test_units_of_a_tree_are_not_those_of_this_machine(root: Path) -> None:
    with pytest.raises(OSError, match="units cannot be changed in") as found:
        Machine(str(root)).set_units([UNIT], "masked")
    assert found.value.errno == errno.EOPNOTSUPP


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemctl that writes down what it is told, and fails for units named broken."""
    folder, log = tmp_path / "bin", tmp_path / "told"
    folder.mkdir()
    program = folder / "systemctl"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {log}\n'
        'case "$*" in *broken*) echo "Failed: no such unit" >&2; exit 5;; esac\n'
        f'case "$*" in *list-units*) cat {tmp_path}/timers;; esac\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setattr(unit_states, "SOCKET", str(tmp_path / "no systemd"))
    return log


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("masked", ["stop a.timer b.timer", "mask --runtime a.timer b.timer"]),
        ("active", ["unmask --runtime a.timer b.timer", "start a.timer b.timer"]),
        ("inactive", ["unmask --runtime a.timer b.timer", "stop a.timer b.timer"]),
        (
            "active masked",
            ["unmask --runtime a.timer b.timer", "start a.timer b.timer", "mask --runtime a.timer b.timer"],
        ),
    ],
)
def test_units_are_changed_together_and_for_this_boot(state: str, told: list[str], systemctl: Path) -> None:
    Machine().set_units(["a.timer", "b.timer"], state)
    assert systemctl.read_text().splitlines() == [f"--no-ask-password {line}" for line in told]


def test_timers_are_asked_for_once_in_a_pass(systemctl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systemctl.with_name("timers").write_text(
        "a.timer loaded active waiting Of a\nb.timer loaded active running Of b\n"
    )
    machine = Machine()
    monkeypatch.setattr(machine, "unit_folder", lambda _: "/usr/lib/systemd/system")
    states = {name: machine.unit_state(name) for name in ("a.timer", "b.timer", "c.timer", "d.service")}
    assert states == {
        "a.timer": "active",
        "b.timer": "active",
        "c.timer": "inactive",
        "d.service": "inactive",
    }
    assert len(systemctl.read_text().splitlines()) == 1
    machine.look_again()
    machine.unit_state("a.timer")
    assert len(systemctl.read_text().splitlines()) == 2


def test_what_systemd_says_is_the_error(systemctl: Path) -> None:
    with pytest.raises(OSError, match="Failed: no such unit"):
        Machine().set_units(["broken.timer"], "masked")


def test_without_root_no_unit_is_asked_for(systemctl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    with pytest.raises(PermissionError):
        Machine().set_units(["a.timer"], "masked")
    assert not systemctl.exists()


def test_files_are_read_and_written_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/x").write_text("a longer text\n")
    machine = Machine(str(tmp_path))
    machine.write("/proc/x", "1")
    assert machine.read("/proc/x") == "1\n"
    with pytest.raises(FileNotFoundError):
        machine.write("/proc/y", "1")
    assert not (tmp_path / "proc/y").exists()


def test_paths_are_found_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        (tmp_path / f"sys/cpu{number}").mkdir(parents=True)
    assert Machine(str(tmp_path)).find("/sys/cpu[0-9]*") == ["/sys/cpu1", "/sys/cpu9", "/sys/cpu10"]
    assert Machine(str(tmp_path)).find("/sys/absent") == []


@pytest.mark.parametrize("mark", [".dockerenv", "run/.containerenv", "run/systemd/container"])
def test_containers_are_known_by_their_marks(mark: str, tmp_path: Path) -> None:
    assert not Machine(str(tmp_path)).in_container()
    (tmp_path / mark).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / mark).write_text("")
    assert Machine(str(tmp_path)).in_container()


def test_a_tree_of_files_leaves_the_systemd_of_this_host_alone(systemctl: Path, tmp_path: Path) -> None:
    machine = Machine(str(tmp_path))
    for act in (
        lambda: machine.set_units(["a.timer"], "masked"),
        lambda: machine.systemctl(["restart", "systemd-journald.service"]),
    ):
        with pytest.raises(OSError, match="units cannot be changed in"):
            act()
    assert not systemctl.exists()


@pytest.mark.parametrize(
    ("state", "end", "found"),
    [
        ("active", "masked", {"inactive", "active masked", "masked"}),  # timers; services
        ("masked", "active", {"inactive", "active"}),
        ("inactive", "masked", {"inactive", "masked"}),
        ("masked", "inactive", {"inactive"}),
        ("active masked", "masked", {"masked", "active masked"}),
        ("masked", "active masked", {"inactive", "active", "active masked"}),
    ],
)
def test_what_a_unit_may_be_half_way(state: str, end: str, found: set[str]) -> None:
    assert half_way(state, end) == found
