"""Runs on VMs: a kernel of its own, told what to do by a reboot of the run's; nothing is left behind."""

from __future__ import annotations

import json
import platform
import signal
from typing import TYPE_CHECKING

import pytest

from benchctl.provision.janitor import leftovers
from tests.acceptance.conftest import FAST
from tests.lab.host import await_true
from tests.lab.made import take_away
from tests.lab.vm import emulators, vm_image
from tests.needs import engine_variables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.acceptance.conftest import Shell

pytestmark = pytest.mark.slow
HOSTS = """
hosts:
  provider: lab
  kind: vm
  kernel_parameters: [isolcpus=1]
  groups: {loader: {}}
"""


@pytest.fixture
def vm_shell(cold_shell: Shell, tmp_path: Path) -> Iterator[Shell]:
    """A workspace with an experiment on a VM; what its runs left is taken away by labels."""
    vm_image()
    cold_shell.environment |= engine_variables(tmp_path)
    (cold_shell.workspace / "vm.yml").write_text(f"{FAST}{HOSTS}", encoding="utf-8")
    yield cold_shell
    for run in cold_shell.workspace.glob("runs/*"):
        take_away(run.name)


@pytest.mark.ansible
def test_a_kernel_parameter_is_in_force_after_a_reboot_by_the_run(vm_shell: Shell) -> None:
    vm_shell.run("run", "vm.yml", limit=1500)
    (run,) = vm_shell.workspace.glob("runs/2*")
    facts = json.loads((run / "hosts" / "loader-1" / "fingerprint.json").read_text("utf-8"))
    assert "isolcpus=1" in facts["kernel.cmdline"].split()
    assert facts["cpu.isolated"] == "1"
    assert facts["kernel.release"] != platform.release()  # a kernel of its own
    assert leftovers("lab", run=run.name) == []
    assert emulators(run.name) == []
    assert not list((vm_shell.cache / "lab" / "hosts").glob("*"))


def test_the_janitor_removes_a_vm_whose_run_was_killed(vm_shell: Shell) -> None:
    process = vm_shell.start("run", "vm.yml")
    await_true(lambda: [run for run in runs(vm_shell) if emulators(run)], "a VM boots", limit=300)
    (run,) = runs(vm_shell)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=300)
    vm_shell.run("janitor", "--run", run, "--remove")
    assert leftovers("lab", run=run) == []
    await_true(lambda: not emulators(run), "QEMU is gone", limit=60)


def runs(shell: Shell) -> list[str]:
    return [path.name for path in shell.workspace.glob("runs/2*")]
