"""One host of the lab, and what can happen to it; after a fault the lab makes the host anew."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from benchctl.provision.lab.podman import LIMIT, PATH, as_root, command, podman, prefix, run
from tests.needs import need

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

READY_LIMIT = 60.0
STEP = 0.02
SSH_PORT = 22
CLOCK = Path(__file__).with_name("clock.c")
T = TypeVar("T")


def await_true(condition: Callable[[], T], what: str, limit: float = READY_LIMIT) -> T:
    """What the condition gave at last; an error that says what was waited for, after the limit (s)."""
    deadline = time.monotonic() + limit
    while not (found := condition()):
        if time.monotonic() > deadline:
            message = f"{what}: not within {limit:g} s"
            raise TimeoutError(message)
        time.sleep(STEP)
    return found


class LabHost:
    """A container with systemd; SSH as root, `bench` (sudo freely) or `plain` (sudo with its password)."""

    def __init__(self, name: str, container: str, address: str, folder: Path) -> None:
        self.name = name
        self.container = container
        self.address = address
        self.folder = folder  # what the host sees as /lab: its key, who may log in, its time of day
        self.files = folder.parent  # the lab's own: client key, known_hosts, SSH configuration
        self.ahead = 0  # seconds of its CLOCK_MONOTONIC before ours, the same at each boot
        self.touched = False  # a fault was brought about: it is made anew before it is given out again
        self.timer: threading.Timer | None = None

    def options(self, user: str = "root") -> dict[str, str | int | bool | float]:
        """The options of a model Host: Host(name=host.name, transport="ssh", options=host.options())."""
        return {
            "address": self.address,
            "user": user,
            "identity_file": str(self.files / "client_key"),
            "known_hosts_file": str(self.files / "known_hosts"),
        }

    def exec(
        self,
        *argv: str,
        user: str = "root",
        text: str | None = None,
        check: bool = True,
        limit: float = LIMIT,
    ) -> str:
        """What the command prints on the host, without SSH; `text` is its input."""
        whole = [*prefix(), "podman", "exec", "--interactive", "--user", user, self.container, *argv]
        if check:
            return command(*whole, text=text, limit=limit)
        return run(whole, text=text, limit=limit).stdout

    def shell(self, script: str, *, user: str = "root", check: bool = True) -> str:
        return self.exec("sh", "-c", script, user=user, check=check)

    def ssh(self, *argv: str, user: str = "root", limit: float = LIMIT) -> subprocess.CompletedProcess[str]:
        """OpenSSH with the lab's configuration, so with a host key that must be right."""
        return run(self.ssh_command(*argv, user=user), limit=limit)

    def ssh_command(self, *argv: str, user: str = "root") -> list[str]:
        return ["ssh", "-F", str(self.files / "ssh_config"), "-l", user, self.name, *argv]

    def await_ssh(self, limit: float = READY_LIMIT) -> None:
        try:
            await_true(self.answers, f"{self.container} ({self.address}): sshd answers", limit)
        except TimeoutError as error:
            error.add_note(
                self.shell("uptime; ss -ltn; ip -4 addr; journalctl --no-pager -n 20", check=False)
            )
            raise

    def answers(self) -> bool:
        """True when sshd greets who connects."""
        try:
            with socket.create_connection((self.address, SSH_PORT), timeout=1) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def stop(self) -> None:
        """Shut down in order, as by `poweroff`."""
        self.touched = True
        podman("stop", "--time", "10", self.container)

    def power_off(self) -> None:
        """As when the plug is pulled: nothing on the host hears of it."""
        self.touched = True
        podman("kill", "--signal", "KILL", self.container)
        podman("wait", self.container)

    def start(self) -> None:
        """Boot again with the same address, key and disk; returns when sshd answers."""
        self.boot("start", self.container)

    def boot(self, *argv: str) -> None:
        """Have podman start it, in a time namespace if its clock is another; returns when sshd answers.

        CLOCK_BOOTTIME stays ours: runc knows its processes by their start in it.
        """
        clock = ["unshare", "--time", "--monotonic", str(self.ahead), "--fork", "--"]
        # Where it is started, conmon leaves a file `oom` when the host's memory was full.
        as_root(*(clock if self.ahead else []), "podman", "--runtime", "runc", *argv, cwd=self.files)
        self.await_ssh()

    def kill_sshd(self) -> None:
        """For good: the listener and every connection, and systemd may not start it again."""
        self.touched = True
        self.shell(f"systemctl mask --quiet --runtime ssh.service ssh.socket\n{KILL_SSHD}")

    def revive_sshd(self) -> None:
        self.shell("systemctl unmask --quiet --runtime ssh.service ssh.socket && systemctl start ssh.service")
        self.await_ssh()

    def cut_ssh(self) -> None:
        """Kill the connections that there are; who connects again is served."""
        self.shell(f"listener=$(systemctl show --property=MainPID --value ssh.service)\n{KILL_SSHD}")

    def drop_packets(self, seconds: float | None = None) -> None:
        """All packets in both directions vanish, as behind a cut cable; for so long, or until restored."""
        self.touched = True
        for chain in ("INPUT", "OUTPUT"):
            self.in_network("iptables", "--wait", "--insert", chain, "--jump", "DROP")
        if seconds is not None:
            self.timer = threading.Timer(seconds, self.restore_packets)
            self.timer.start()

    def restore_packets(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        for chain in ("INPUT", "OUTPUT"):
            self.in_network("iptables", "--wait", "--flush", chain)

    def in_network(self, *argv: str) -> str:
        """The machine's own program in the network of the host: the host itself may not change it."""
        pid = podman("inspect", "--format", "{{.State.Pid}}", self.container).strip()
        return as_root("nsenter", f"--target={pid}", "--net", "env", f"PATH={PATH}", *argv)

    def change_key(self) -> None:
        """Another host key, as after a new installation; known_hosts keeps the old one."""
        self.touched = True
        make_key(self.folder / "host_key")
        self.exec("systemctl", "restart", "ssh.service")
        self.await_ssh()

    def release(self) -> None:
        if self.timer is not None:
            self.timer.cancel()


KILL_SSHD = """
for pid in $(pidof sshd); do
  [ "$pid" = "${listener-}" ] || kill -KILL "$pid" 2>/dev/null || true
done
"""


def make_key(path: Path) -> str:
    """A new key in path; the public one, type and key without comment."""
    public = path.with_suffix(".pub")
    for old in (path, public):
        old.unlink(missing_ok=True)
    command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path))
    return public.read_text(encoding="ascii").strip()


def set_environment(folder: Path, ahead: int, locale: str) -> None:
    """Set CLOCK_REALTIME (s before ours) and locale of the host whose /lab this is, from its next boot.

    The clock has no namespace: a library answers for it in all that systemd and logins start, except under
    sudo. Debian's libfaketime would not do: it breaks Python's time.sleep.
    """
    words = [f"LANG={locale}", f"LC_ALL={locale}"] if locale else []
    if ahead:
        words += [f"LD_PRELOAD=/lab/{CLOCK.stem}.so", f"LAB_CLOCK_AHEAD={ahead}"]
        need("cc", "apt-get install gcc libc6-dev", available=shutil.which("cc") is not None)
        command("cc", "-shared", "-fPIC", "-O1", "-w", "-o", str(folder / f"{CLOCK.stem}.so"), str(CLOCK))
    quoted = " ".join(f'"{word}"' for word in words)
    (folder / "system.conf").write_text(f"[Manager]\nDefaultEnvironment={quoted}\n", encoding="ascii")
    (folder / "environment").write_text("".join(f"{word}\n" for word in words), encoding="ascii")
