"""A VM of the lab by itself: it ends when its time has passed, whatever its guest does."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from benchctl.errors import StackError
from benchctl.provision.janitor import leftovers
from benchctl.provision.keys import make_key
from benchctl.provision.lab import machines, vm
from benchctl.provision.request import EXPIRES, OWNER, RUN
from tests.lab.host import await_true
from tests.lab.made import take_away
from tests.lab.vm import emulators, vm_image

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
HOUR = 3600


def test_a_vm_past_its_time_is_gone_whatever_its_guest_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = vm_image()
    monkeypatch.setenv("BENCHCTL_CACHE", str(tmp_path / "cache"))
    run = f"test-vm-expiry-{os.getpid()}"
    labels = {RUN: run, OWNER: "test", EXPIRES: str(int(time.time()) + HOUR)}
    subnet = machines.ensure_network(run, labels)
    machine = machines.Machine(
        name="loader-1",
        network=run,
        address=machines.address_in(subnet, 0),
        image=built,
        public_key=make_key().public,
        labels=labels,
        hardware=vm.Hardware("tcg", 1, 2**28),
    )
    said: list[StackError] = []

    def boot() -> None:
        try:
            machines.boot(machine)
        except StackError as error:
            said.append(error)

    booting = threading.Thread(target=boot)
    booting.start()
    try:
        await_true(lambda: "BdsDxe" in machines.console(run, "loader-1"), "its firmware runs", limit=300)
        machines.extend(run, "loader-1", time.time() - 1)
        booting.join(timeout=300)
        assert not booting.is_alive()
        (error,) = said
        assert "it shut down before sshd answered" in error.detail
        assert [item.kind for item in leftovers("lab", run=run)] == ["network"]
        assert emulators(run) == []
    finally:
        take_away(run)
        booting.join(timeout=60)
