"""The lab's stack through the real engine: made, looked at, changed, taken away, and what can go wrong."""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.errors import StackError, StackLockedError, UnfitError
from benchctl.model.lab import LabGroup, LabHosts
from benchctl.provision.cache import cache_folder
from benchctl.provision.janitor import leftovers
from benchctl.provision.lab import machines
from benchctl.provision.lab.image import host_recipe, image
from benchctl.provision.lab.podman import REMEDY, podman, possible
from benchctl.provision.openssh import ssh_command
from benchctl.provision.place import PASSPHRASE, Place
from benchctl.provision.stack import StackProvisioner
from tests.lab.host import await_true
from tests.lab.made import take_away
from tests.needs import engine_root, need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchctl.model.host import Host

# Where the engine dies in mid-program, Pulumi's SDK forgets its event loop and what waits in it; all of that
# complains when it goes.
FORGOTTEN = "ignore::pytest.PytestUnraisableExceptionWarning"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(FORGOTTEN),
]
HOUR = 3600.0
TWO = LabHosts(groups={"dbms": LabGroup(), "loader": LabGroup()})


class Stacks:
    """Stacks of one workspace; all that is left of them at the end is taken away by its labels."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs: list[str] = []

    def __call__(self, hosts: LabHosts = TWO, *, name: str = "", **how: Any) -> StackProvisioner:
        run = name or f"20261121-1015-{self.root.name[-20:].strip('_')}-{len(self.runs):04x}"
        self.runs.append(run)
        folder = self.root / "runs" / run
        folder.mkdir(parents=True, exist_ok=True)
        return StackProvisioner(Place(self.root, folder), hosts, **how)


@pytest.fixture(scope="session")
def ready() -> Path:
    """The engine's root, on a machine that can have container hosts and has their image."""
    need("podman", REMEDY, available=possible())
    root = engine_root()
    image(host_recipe(), cache_folder() / "lab")
    return root


@pytest.fixture
def stacks(ready: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stacks]:
    monkeypatch.setenv("BENCHCTL_PULUMI_ROOT", str(ready))
    monkeypatch.setenv("BENCHCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "pulumi"))
    monkeypatch.delenv(PASSPHRASE, raising=False)
    made = Stacks(tmp_path)
    yield made
    gc.collect()  # what the SDK forgot goes now, and not in another test
    for run in made.runs:
        take_away(run)


def soon() -> float:
    return float(int(time.time() + HOUR))


def left(stack: StackProvisioner) -> list[str]:
    return [f"{item.kind} {item.name}" for item in leftovers("lab", run=stack.place.run)]


def on(host: Host, *command: str) -> str:
    done = subprocess.run(
        ssh_command(host, *command), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_hosts_come_stay_change_and_go(stacks: Stacks) -> None:
    stack = stacks(LabHosts(groups={"dbms": LabGroup(memory=256 * 2**20), "loader": LabGroup(count=2)}))
    until = soon()
    assert stack.preview(until) == {"create": 7}
    assert left(stack) == []
    inventory = stack.up(until)
    assert [host.name for host in inventory.hosts] == ["dbms-1", "loader-1", "loader-2"]
    assert [on(host, "hostname") for host in inventory.hosts] == ["dbms-1", "loader-1", "loader-2"]
    dbms, loader, other = inventory.hosts
    assert on(loader, "cat", "/etc/benchctl/expires") == str(int(until))
    assert on(loader, "systemctl", "is-active", "benchctl-expiry.timer") == "active"
    on(loader, "getent", "hosts", "dbms-1")
    assert len(left(stack)) == 4

    assert stack.up(until + 60) == inventory  # the same hosts, with more time
    assert on(loader, "cat", "/etc/benchctl/expires") == str(int(until + 60))
    assert {item.expires for item in leftovers("lab", run=stack.place.run)} == {until + 60}

    podman("rm", "--force", "--time", "0", f"{stack.place.run}-{other.name}")
    assert stack.refresh() == 1
    again = stack.up(until + 60)
    assert [host.name for host in again.hosts] == ["dbms-1", "loader-1", "loader-2"]
    assert on(again.hosts[2], "hostname") == other.name
    assert on(dbms, "hostname") == "dbms-1"  # nobody touched it

    stack.remove()
    assert left(stack) == []
    assert not machines.host_folder(stack.place.run, "").exists()
    stack.remove()  # safe to repeat


def test_two_runs_at_once_do_not_meet(stacks: Stacks) -> None:
    both = [stacks(), stacks()]
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda stack: stack.up(soon()), both)
    assert not {host.address for host in first.hosts} & {host.address for host in second.hosts}
    both[0].remove()
    assert left(both[0]) == []
    assert len(left(both[1])) == 3
    both[1].remove()
    assert left(both[1]) == []


def test_a_host_past_its_time_shuts_itself_down(stacks: Stacks) -> None:
    stack = stacks(LabHosts(groups={"loader": LabGroup()}))
    stack.up(soon())
    machines.extend(stack.place.run, "loader-1", time.time() - 1)
    name = f"{stack.place.run}-loader-1"
    await_true(lambda: not machines.is_running(name), "the host is gone", limit=90)
    await_true(lambda: len(left(stack)) == 1, "and removed; only its network is left", limit=30)
    stack.remove()
    assert left(stack) == []


def test_a_broken_state_is_set_aside_and_labels_are_enough(stacks: Stacks) -> None:
    said: list[str] = []
    stack = stacks(say=said.append)
    stack.up(soon())
    state = next(
        (stacks.root / ".benchctl" / "state" / ".pulumi" / "stacks").rglob(f"{stack.place.run}.json")
    )
    state.write_bytes(state.read_bytes()[: state.stat().st_size // 2])
    with pytest.raises(StackError, match="is broken"):
        stack.up(soon())
    stack.remove()
    assert left(stack) == []
    assert any("looking for the run's tags" in line for line in said)
    stack.remove()


def test_without_the_state_labels_are_enough(stacks: Stacks) -> None:
    stack = stacks()
    stack.up(soon())
    (stacks.root / ".benchctl" / "state").rename(stacks.root / "lost")
    stack.remove()
    assert left(stack) == []


def test_a_wrong_passphrase_is_named(stacks: Stacks, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = stacks()
    stack.up(soon())
    monkeypatch.setenv(PASSPHRASE, "another")
    with pytest.raises(UnfitError, match="passphrase is not the one"):
        stack.remove()
    assert len(left(stack)) == 3
    monkeypatch.delenv(PASSPHRASE)
    stack.remove()
    assert left(stack) == []


def lock(stack: StackProvisioner, root: Path, pid: int) -> None:
    """The lock as the engine writes it."""
    folder = (
        root / ".benchctl" / "state" / ".pulumi" / "locks" / "organization" / "bench-lab" / stack.place.run
    )
    folder.mkdir(parents=True, exist_ok=True)
    held = {
        "pid": pid,
        "username": "root",
        "hostname": socket.gethostname(),
        "timestamp": "2026-11-21T10:15:00Z",
    }
    (folder / "8d7f8a39-52a1-4a5c-b4d6-2c9b0f2b7a11.json").write_text(json.dumps(held), encoding="ascii")


def test_the_lock_of_a_dead_engine_is_told_and_removed_on_demand(stacks: Stacks) -> None:
    stack = stacks()
    stack.up(soon())
    lock(stack, stacks.root, os.getpid())  # a number that another process has by now
    with pytest.raises(StackLockedError, match="which is dead") as caught:
        stack.remove()
    assert "--unlock" in caught.value.remedy
    stacks(name=stack.place.run, unlock=True).remove()
    assert left(stack) == []


def test_a_lock_of_what_is_not_in_the_state_keeps_nobody(stacks: Stacks) -> None:
    stack = stacks()
    lock(stack, stacks.root, os.getpid())  # its engine died after it had taken the stack out of the state
    stack.remove()
    assert not list((stacks.root / ".benchctl" / "state" / ".pulumi" / "locks").rglob("*.json"))


def test_the_lock_of_a_living_engine_is_respected(stacks: Stacks) -> None:
    stack = stacks()
    stack.up(soon())
    with subprocess.Popen(["/opt/pulumi/bin/pulumi", "300"], executable="/bin/sleep") as engine:
        lock(stack, stacks.root, engine.pid)
        try:
            with pytest.raises(StackLockedError, match="has locked it"):
                stack.up(soon())
        finally:
            engine.kill()
    stacks(name=stack.place.run, unlock=True).remove()


def test_a_cancelled_up_stops_and_what_was_made_goes(stacks: Stacks) -> None:
    asked = threading.Event()
    hosts = LabHosts(groups={"loader": LabGroup(count=4)})
    stack = stacks(hosts, say=lambda _line: asked.set(), cancelled=asked.is_set)  # at the first resource
    with pytest.raises(StackError):
        stack.up(soon())
    stack.remove()  # not stopped by the same wish
    assert left(stack) == []


def test_an_engine_killed_in_mid_create_leaves_nothing_that_stays(stacks: Stacks) -> None:
    killed = threading.Event()

    def kill(_line: str) -> None:
        if not killed.is_set():
            killed.set()
            for pid in engines(stack.place):
                os.kill(pid, signal.SIGKILL)

    stack = stacks(LabHosts(groups={"loader": LabGroup(count=4)}), say=kill)
    with pytest.raises(StackError, match="the engine was killed by signal 9"):
        stack.up(soon())
    assert killed.is_set()
    stacks(name=stack.place.run, unlock=True).remove()
    await_true(lambda: not providers(stack.place), "its provider is gone too", limit=30)
    assert left(stack) == []


def engines(place: Place) -> list[int]:
    return [pid for pid, argv in processes(place) if argv[0].endswith("/pulumi")]


def providers(place: Place) -> list[int]:
    return [pid for pid, argv in processes(place) if "benchctl.provision.orphan" in argv]


def processes(place: Place) -> list[tuple[int, list[str]]]:
    """The engine and what it started for this run: they work in its folder, or are told of it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                argv = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                about = (entry / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(place.private) in about and argv[0]:
                found.append((int(entry.name), argv))
    return found


def test_a_host_that_never_answers_is_told_with_its_console_and_removed(
    stacks: Stacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stacks(LabHosts(groups={"loader": LabGroup()})).place.run
    labels = {"benchctl-run": run, "benchctl-owner": "test", "benchctl-expires": str(int(soon()))}
    subnet = machines.ensure_network(run, labels)
    silent = machines.Machine(
        name="loader-1",
        network=run,
        address=machines.address_in(subnet, 0),
        image=image(host_recipe()),
        public_key="ssh-ed25519 AAAA",
        labels=labels,
    )
    monkeypatch.setattr(machines, "SSH_LIMIT", 2.0)
    monkeypatch.setattr(machines, "_greets", lambda _address: False)
    with pytest.raises(StackError, match="sshd did not answer within 2 s") as caught:
        machines.boot(silent)
    assert "systemd" in caught.value.detail  # its console
    assert [item.kind for item in leftovers("lab", run=run)] == ["network"]


def test_an_image_that_is_not_there_is_told_before_anything_is_made(stacks: Stacks) -> None:
    stack = stacks(LabHosts(groups={"loader": LabGroup(image="localhost/no-such:1")}))
    with pytest.raises(UnfitError, match="podman has no image localhost/no-such:1"):
        stack.check()
