"""The lab itself: what other tests build on must hold before they can mean anything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchctl.provision.lab.podman import podman
from tests.lab.host import await_true
from tests.lab.image import PASSWORD
from tests.lab.network import alive, listed, owner, sweep

if TYPE_CHECKING:
    from tests.lab.fixtures import Fresh
    from tests.lab.lab import Lab

CLOCKS = "import time; time.sleep(0.01); print(time.monotonic(), time.time())"


def test_hosts_are_reached_with_a_host_key_that_is_checked(lab: Lab) -> None:
    one, two = lab.hosts(2)
    assert [host.ssh("hostname").stdout for host in (one, two)] == ["h1\n", "h2\n"]
    assert lab.hosts(2) == [one, two]
    assert f"{one.address},h1 ssh-ed25519 " in lab.known_hosts.read_text()


def test_hosts_reach_each_other_by_name_and_address(lab: Lab) -> None:
    one, two = lab.hosts(2)
    assert two.address in one.exec("getent", "hosts", "h2")
    greeting = one.exec(
        "python3", "-c", f"import socket; print(socket.create_connection(('{two.address}', 22)).recv(4))"
    )
    assert "SSH-" in greeting


def test_each_user_has_the_sudo_that_its_name_promises(lab: Lab) -> None:
    host = lab.host("h1")
    assert host.ssh("sudo", "-n", "id", "-u", user="bench").stdout == "0\n"
    assert host.ssh("sudo", "-n", "id", "-u", user="plain").returncode == 1
    assert host.exec("sudo", "-S", "-p", "", "id", "-u", user="plain", text=f"{PASSWORD}\n") == "0\n"


def test_systemd_runs_and_nothing_measured_does(lab: Lab) -> None:
    host = lab.host("h1")
    await_true(
        lambda: host.exec("systemctl", "is-system-running", check=False) == "running\n", "systemd has booted"
    )
    assert host.exec("systemctl", "is-active", "redis-server", check=False) == "inactive\n"


def test_ansible_reads_the_inventory(lab: Lab) -> None:
    inventory = lab.inventory({"dbms": [lab.host("h1")], "loaders": lab.hosts(2)}, user="bench")
    program = Path(sys.executable).with_name("ansible-inventory")
    listing = subprocess.run(
        [program, "-i", inventory, "--list"], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    read = json.loads(listing.stdout)
    assert read["loaders"]["hosts"] == ["h1", "h2"]
    assert read["_meta"]["hostvars"]["h1"]["ansible_host"] == lab.host("h1").address


def test_packets_are_dropped_until_they_are_restored(fresh: Fresh) -> None:
    host = fresh()
    session = subprocess.Popen(
        host.ssh_command("cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert session.stdin
    assert session.stdout
    session.stdin.write("before\n")
    assert session.stdout.readline() == "before\n"
    host.drop_packets()
    assert not host.answers()
    session.stdin.write("meanwhile\n")
    host.restore_packets()
    host.await_ssh()
    assert session.stdout.readline() == "meanwhile\n"  # the connection outlived the cut
    session.communicate()


def test_packets_come_back_by_themselves_after_so_many_seconds(fresh: Fresh) -> None:
    host = fresh()
    host.drop_packets(1.0)
    assert not host.answers()
    host.await_ssh()


def test_a_host_keeps_address_key_and_disk_over_stop_and_power_off(fresh: Fresh) -> None:
    host = fresh()
    for down in (host.stop, host.power_off):
        host.shell("echo kept >/root/file")
        down()
        assert not host.answers()
        host.start()
        assert host.ssh("cat", "/root/file").stdout == "kept\n"


def test_sshd_is_gone_for_good_until_it_is_revived(fresh: Fresh) -> None:
    host = fresh()
    host.kill_sshd()
    assert not host.answers()
    assert host.exec("hostname") == f"{host.name}\n"
    host.revive_sshd()
    assert host.ssh("true").returncode == 0


def test_cutting_connections_leaves_sshd_there(fresh: Fresh) -> None:
    host = fresh()
    session = subprocess.Popen(
        host.ssh_command("echo there; cat"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert session.stdout
    assert session.stdout.readline() == b"there\n"
    host.cut_ssh()
    assert session.wait(timeout=30) == 255
    session.communicate()
    assert host.ssh("true").returncode == 0


def test_a_changed_host_key_is_refused(fresh: Fresh) -> None:
    host = fresh()
    host.change_key()
    refused = host.ssh("true")
    assert refused.returncode == 255
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in refused.stderr


def test_a_small_disk_fills_up(fresh: Fresh) -> None:
    host = fresh(disks={"/small": "1m"})
    assert host.exec("sh", "-c", "head -c 2M /dev/zero >/small/file; stat -c %s /small/file").endswith(
        "1048576\n"
    )


def test_a_host_has_clocks_of_its_own_over_a_restart(lab: Lab, fresh: Fresh) -> None:
    host = fresh(monotonic=5000, realtime=3600)
    for user in ("root", "bench"):
        ours, theirs = (
            [float(word) for word in place.ssh("python3", "-c", f"'{CLOCKS}'", user=user).stdout.split()]
            for place in (lab.host("h1"), host)
        )
        assert [int(b - a) // 60 * 60 for a, b in zip(ours, theirs, strict=True)] == [4980, 3600]
        host.power_off()
        host.start()


def test_a_host_with_a_fault_is_made_anew_when_it_is_asked_for_again(lab: Lab) -> None:
    host = lab.host("broken")
    host.kill_sshd()
    again = lab.host("broken")
    assert again is not host
    assert again.ssh("hostname").stdout == "broken\n"
    lab.remove("broken")


def test_leftovers_of_a_process_that_was_killed_are_swept(lab: Lab, tmp_path: Path) -> None:
    script = (
        "import os, pathlib, signal, sys; from tests.lab.lab import Lab;"
        " made = Lab(pathlib.Path(sys.argv[1])); made.host('h1'); print(made.name, flush=True);"
        " os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False, cwd=Path.cwd()
    )
    name = killed.stdout.strip()
    left = [*listed("ps", "--all", name="Names"), *listed("network", "ls", name="Name")]
    dead = {label for found, label in left if found.startswith(name)}
    assert len(dead) == 1, killed.stderr
    assert not alive(dead.pop())
    sweep()
    assert name not in podman("ps", "--all", "--format", "{{.Names}}")
    assert name not in podman("network", "ls", "--format", "{{.Name}}")
    assert alive(owner())
    assert lab.host("h1").answers()
