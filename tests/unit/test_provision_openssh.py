"""What `ssh -G` makes of wishes, what may become an argument, and the words that ssh gets."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from benchctl.errors import SpecError
from benchctl.model.host import Host, Inventory
from benchctl.provision import from_ansible, to_ansible
from benchctl.provision.openssh import Wanted, checked, proxy_command, resolve, ssh_command
from tests.needs import need

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.model.record import Scalar


@pytest.fixture
def config(tmp_path: Path) -> str:
    need("ssh", "install the OpenSSH client", available=shutil.which("ssh") is not None)
    path = tmp_path / "ssh config"
    path.write_text(
        f"""Host db
  HostName 10.0.0.5
  Port 2200
  User bench
  IdentityFile {tmp_path}/key
  IdentitiesOnly yes
  HostKeyAlias database
  ProxyJump gate@bastion:2022
  ConnectTimeout 3
  UserKnownHostsFile {tmp_path}/hosts {tmp_path}/more
Host piped
  ProxyCommand nc -X connect %h %p
"""
    )
    return str(path)


def ssh_host(**options: Scalar) -> Host:
    return Host(name="h", transport="ssh", options={"address": "10.0.0.5", **options})


def understood(argv: list[str]) -> dict[str, str]:
    """What ssh itself makes of an argv."""
    done = subprocess.run(
        [argv[0], "-G", "-F", "/dev/null", *argv[1:]], capture_output=True, text=True, check=True
    )
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def test_ssh_config_is_resolved_once(config: str, tmp_path: Path) -> None:
    assert resolve("h", Wanted("db", config=config)) == {
        "address": "10.0.0.5",
        "port": 2200,
        "user": "bench",
        "identity_file": f"{tmp_path}/key",
        "identities_only": True,
        "known_hosts_file": f"{tmp_path}/hosts",
        "host_key_alias": "database",
        "proxy_jump": "gate@bastion:2022",
        "connect_timeout": 3,
        "config_file": config,
    }
    assert resolve("h", Wanted("piped", config=config))["proxy_command"] == "nc -X connect %h %p"


def test_what_is_asked_for_wins_over_ssh_config(config: str) -> None:
    wanted = Wanted(
        "db",
        user="other",
        port=22,
        key="/k",
        jump="b2",
        known_hosts="/my hosts",
        config=config,
        arguments=("-o", "ConnectTimeout=7"),
    )
    found = resolve("h", wanted)
    assert [found[name] for name in ("user", "port", "identity_file", "proxy_jump")] == [
        "other",
        22,
        "/k",
        "b2",
    ]
    assert (found["known_hosts_file"], found["connect_timeout"]) == ("/my hosts", 7)


def test_ssh_s_own_default_keys_are_nobodys_wish() -> None:
    found = resolve("h", Wanted("10.0.0.1", config="/dev/null"))
    assert "identity_file" not in found
    assert found["port"] == 22


@pytest.mark.parametrize(
    "address", ["-oProxyCommand=id", "a b", "a;rm -rf /", "a\nb", "$(id)", "ä", "", "{{ x }}"]
)
def test_hostile_addresses_are_refused(address: str) -> None:
    with pytest.raises(SpecError, match="h: address is "):
        resolve("h", Wanted(address))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user", "-l"),
        ("user", "a b"),
        ("user", "root;id"),
        ("port", 0),
        ("port", 65_536),
        ("port", "22"),
        ("proxy_jump", "-oProxyCommand=id"),
        ("proxy_jump", "a,,b"),
        ("proxy_jump", "a;id"),
        ("proxy_jump", "a b"),
        ("python", "python3; id"),
        ("python", "-c"),
        ("become_user", "root\n"),
        ("become_method", "sudo -u x"),
        ("private_address", "10.0.0.1 trust"),
        ("identity_file", "a\nProxyCommand id"),
        ("known_hosts_file", "{{ lookup('pipe', 'id') }}"),
        ("host_key_alias", "-x"),
    ],
)
def test_hostile_values_are_refused(name: str, value: Scalar) -> None:
    with pytest.raises(SpecError, match=f"h: {name} is "):
        checked("h", {name: value})


def test_ssh_understands_every_word_as_it_was_meant(tmp_path: Path) -> None:
    host = ssh_host(
        port=2200,
        user="bench",
        identity_file=f"{tmp_path}/a key; id",
        known_hosts_file=f"{tmp_path}/100% hosts",
        host_key_alias="database",
        identities_only=True,
    )
    (tmp_path / "a key; id").touch()
    seen = understood(ssh_command(host, "true"))
    assert (seen["hostname"], seen["port"], seen["user"]) == ("10.0.0.5", "2200", "bench")
    assert (seen["stricthostkeychecking"], seen["batchmode"]) == ("true", "yes")
    assert seen["userknownhostsfile"] == f"{tmp_path}/100% hosts"
    assert seen["identityfile"] == f"{tmp_path}/a key; id"
    assert (seen["hostkeyalias"], seen["identitiesonly"]) == ("database", "yes")


def test_every_bastion_gets_key_and_known_hosts(tmp_path: Path) -> None:
    host = ssh_host(
        proxy_jump="u@b1:2022,b2", identity_file=f"{tmp_path}/k 'y", known_hosts_file="/known 100%"
    )
    (tmp_path / "k 'y").touch()
    outer = shlex.split(
        str(proxy_command(host)).replace("%h", "10.0.0.5").replace("%p", "22").replace("%%", "%")
    )
    seen = understood(outer[: outer.index("-W")] + outer[outer.index("--") :])
    assert seen["hostname"] == "b2"
    assert seen["identityfile"] == f"{tmp_path}/k 'y"
    assert seen["userknownhostsfile"] == "/known 100%"
    inner = shlex.split(seen["proxycommand"].replace("%%", "%"))
    nested = understood(inner[: inner.index("-W")] + inner[inner.index("--") :])
    assert (nested["hostname"], nested["port"], nested["user"]) == ("b1", "2022", "u")
    assert nested["stricthostkeychecking"] == "true"


def test_ansible_gets_the_same_connection_and_no_secret() -> None:
    host = ssh_host(port=2200, user="bench", private_address="192.168.0.5", python="/opt/py", become=True)
    inventory = Inventory(groups={"dbms": (host,), "loader": (host,)})
    shape = to_ansible(inventory)
    variables = shape["all"]["hosts"]["h"]
    assert (variables["ansible_host"], variables["ansible_port"], variables["ansible_user"]) == (
        "10.0.0.5",
        2200,
        "bench",
    )
    assert "StrictHostKeyChecking=yes" in shlex.split(variables["ansible_ssh_common_args"])
    assert (variables["ansible_python_interpreter"], variables["ansible_become"]) == ("/opt/py", True)
    assert variables["bench_address"] == host.address == "192.168.0.5"
    assert from_ansible(json.loads(json.dumps(shape))) == inventory
