"""Kernel parameters over an ssh that runs commands here: a folder stands for each host."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from benchctl.agent.boot_loader import drop_in
from benchctl.errors import StackError
from benchctl.model.host import Host
from benchctl.provision import boot

if TYPE_CHECKING:
    from pathlib import Path

ADDRESSES = ("198.51.100.1", "198.51.100.2")
ONE, TWO = (
    Host(name=f"dbms-{n}", transport="ssh", options={"address": address})
    for n, address in enumerate(ADDRESSES, 1)
)
WORDS = ("isolcpus=1", "quiet")
PROGRAMS = {
    "ssh": """#!/bin/sh
for last in "$@"; do :; done
for address in "$@"; do case $address in 198.51.100.*) break ;; esac; done
cd {folder}/$address
if [ -s down ]; then
    sed -i 1d down
    echo "ssh: connect to host $address port 22: No route to host" >&2
    exit 255
fi
PATH={folder}:$PATH exec sh -c "$last"
""",
    "sudo": '#!/bin/sh\nshift\nexec "$@"\n',
    "update-grub": """#!/bin/sh
GRUB_CMDLINE_LINUX_DEFAULT=
. grub.d/benchctl-host.cfg
echo "BOOT_IMAGE=/vmlinuz ro$GRUB_CMDLINE_LINUX_DEFAULT" >next
""",
    "systemctl": """#!/bin/sh
echo "$@" >>asked
cp next cmdline
echo second >boot_id
printf 'x\\nx\\n' >down
""",
}


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in PROGRAMS.items():
        program(tmp_path, name, text.format(folder=tmp_path) if name == "ssh" else text)
    for address in ADDRESSES:
        (tmp_path / address).mkdir()
        (tmp_path / address / "boot_id").write_text("first\n", encoding="ascii")
        (tmp_path / address / "cmdline").write_text("BOOT_IMAGE=/vmlinuz ro\n", encoding="ascii")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(boot, "_SEEN", "boot_id cmdline")
    monkeypatch.setattr(boot, "FOLDER", "grub.d")
    monkeypatch.setattr(boot, "FILE", "grub.d/benchctl-host.cfg")
    monkeypatch.setattr(boot, "_PAUSE", 0.01)
    return tmp_path


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, encoding="ascii")
    (folder / name).chmod(0o755)


def reboots(folder: Path, host: Host) -> int:
    asked = folder / str(host.options["address"]) / "asked"
    return len(asked.read_text("ascii").splitlines()) if asked.exists() else 0


def test_each_host_that_lacks_its_words_reboots_once(hosts: Path) -> None:
    wanted = [(ONE, WORDS), (TWO, ("nohz_full=1",))]
    boot.ensure_parameters(wanted, console=lambda _: "")
    assert (hosts / ADDRESSES[0] / "cmdline").read_text("ascii").split()[2:] == list(WORDS)
    assert (hosts / ADDRESSES[1] / "cmdline").read_text("ascii").split()[2:] == ["nohz_full=1"]
    assert [reboots(hosts, host) for host in (ONE, TWO)] == [1, 1]
    boot.ensure_parameters(wanted, console=lambda _: "")  # they have them
    assert [reboots(hosts, host) for host in (ONE, TWO)] == [1, 1]


def test_hosts_without_words_are_not_even_asked(hosts: Path) -> None:
    program(hosts, "ssh", "#!/bin/sh\nexit 255\n")
    boot.ensure_parameters([(ONE, ()), (TWO, ())], console=lambda _: "")


def test_a_host_that_comes_back_without_its_words_is_named(hosts: Path) -> None:
    program(hosts, "update-grub", "#!/bin/sh\necho 'BOOT_IMAGE=/vmlinuz ro quiet' >next\n")
    with pytest.raises(StackError, match=r"dbms-2 .*it came back without isolcpus=1\nits console:\nlogin:"):
        boot.ensure_parameters([(ONE, ("quiet",)), (TWO, WORDS)], console=lambda _: "login:")


def test_a_host_that_does_not_come_back_is_named_with_its_console(hosts: Path) -> None:
    program(hosts, "systemctl", "#!/bin/sh\nyes | head -n 100000 >down\n")
    with pytest.raises(
        StackError, match=r"did not come back: ssh: .*No route to host\nits console:\nKernel panic"
    ):
        boot.ensure_parameters([(ONE, WORDS)], console=lambda _: "Kernel panic", limit=0.3)


def test_a_host_that_does_not_reboot_is_told_from_one_that_does_not_come_back(hosts: Path) -> None:
    program(hosts, "systemctl", "#!/bin/sh\n")
    with pytest.raises(StackError, match="it did not shut down"):
        boot.ensure_parameters([(ONE, WORDS)], console=lambda _: "", limit=0.3)


def test_a_boot_loader_that_cannot_be_changed_is_said(hosts: Path) -> None:
    (hosts / "update-grub").unlink()
    with pytest.raises(StackError, match=r"boot loader cannot be changed: .*update-grub"):
        boot.ensure_parameters([(ONE, WORDS)], console=lambda _: "")
    assert reboots(hosts, ONE) == 0


def test_words_stay_what_they_are_in_a_shell(tmp_path: Path) -> None:
    """All that a parameter may have in it (model.lab)."""
    words = ("isolcpus=managed_irq,domain,1-3", "a.b_c-d=x:/@%+0", "hugepagesz=1G")
    (tmp_path / "drop-in").write_text(drop_in(words), encoding="ascii")
    script = f'. {tmp_path}/drop-in; printf %s "$GRUB_CMDLINE_LINUX_DEFAULT"'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(words)
