"""Hosts of a cloud are awaited and told their time by one command, through an ssh that runs it here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchctl.errors import StackError, UnfitError
from benchctl.model.host import Host
from benchctl.provision import expiry, settle
from benchctl.provision.cloud_init import user_data
from benchctl.provision.keys import derived_key

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = [Host(name=f"dbms-{n}", transport="ssh", options={"address": f"198.51.100.{n}"}) for n in (1, 2)]
SSH = """#!/bin/sh
for last in "$@"; do :; done
for address in "$@"; do case $address in 198.51.100.*) break ;; esac; done
echo "$address" >>{folder}/tries
if [ "$(grep -c "$address" {folder}/tries)" -le {refusals} ]; then
    echo "ssh: connect to host $address port 22: Connection refused" >&2
    exit 255
fi
PATH={folder}:$PATH exec sh -c "$last"
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in {"sudo": '#!/bin/sh\nshift\nexec "$@"\n', "cloud-init": "#!/bin/sh\nexit 1\n"}.items():
        write(tmp_path / name, text)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(expiry, "FILE", str(tmp_path / "expires"))
    monkeypatch.setattr(settle, "_PAUSE", 0.01)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="ascii")
    path.chmod(0o755)


def test_a_host_that_boots_is_awaited_and_told_its_time(fake: Path) -> None:
    write(fake / "ssh", SSH.format(folder=fake, refusals=2))
    settle.settle(HOSTS, 2_000_000_000.7, console=lambda _: "")
    assert (fake / "expires").read_text("ascii") == "2000000000\n"
    tries = (fake / "tries").read_text("ascii").split()
    assert sorted(tries) == ["198.51.100.1"] * 3 + ["198.51.100.2"] * 3


def test_a_host_that_never_answers_is_named_with_its_console(fake: Path) -> None:
    write(fake / "ssh", SSH.format(folder=fake, refusals=10_000))
    said = "x" * 5000 + "Kernel panic"
    with pytest.raises(
        StackError, match=r"dbms-1 \(198.51.100.1\).*Connection refused\nits console:\nx+Kernel panic"
    ):
        settle.settle(HOSTS, 2e9, console=lambda _: said, limit=0.3)


def test_a_console_that_cannot_be_had_hides_nothing(fake: Path) -> None:
    def refuse(_name: str) -> str:
        raise UnfitError("not allowed")

    write(fake / "ssh", SSH.format(folder=fake, refusals=10_000))
    with pytest.raises(StackError, match=r"Connection refused\nits console:\n\(not allowed\)"):
        settle.settle(HOSTS, 2e9, console=refuse, limit=0.3)


def test_an_interrupt_ends_the_wait(fake: Path) -> None:
    write(fake / "ssh", SSH.format(folder=fake, refusals=10_000))
    asked = iter([False, False, True, True, True, True])
    with pytest.raises(StackError):
        settle.settle(HOSTS[:1], 2e9, console=lambda _: "", cancelled=lambda: next(asked), limit=600)


def test_a_key_is_derived_for_its_host_alone() -> None:
    assert derived_key("seed", "dbms-1").public == derived_key("seed", "dbms-1").public
    assert len({derived_key(seed, name).public for seed in "ab" for name in ("dbms-1", "dbms-2")}) == 4


def test_user_data_is_small_enough_for_ec2() -> None:
    assert len(user_data(derived_key("seed", "dbms-1"), expires=2e9, user="admin")) < 16 * 1024
