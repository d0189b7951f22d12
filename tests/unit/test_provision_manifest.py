"""CloudLab manifests: what is taken from them, and what hostile ones get."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from benchctl.errors import SpecError
from benchctl.provision.manifest import read_manifest, to_yaml
from benchctl.provision.static import read_inventory
from tests.unit.test_cli_main import run_main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NODE = """<node client_id="{name}"><interface><ip address="10.10.1.{number}"/>
</interface><services><login authentication="ssh-keys" hostname="pc{number}.example.net" port="{port}"
username="{user}"/><login hostname="pc{number}.example.net" port="22" username="other"/></services></node>"""


@pytest.fixture
def act(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command."""
    return partial(run_main, monkeypatch)


def manifest(folder: Path, *nodes: str, head: str = "") -> Path:
    path = folder / "manifest.xml"
    opening = '<rspec xmlns="http://www.geni.net/resources/rspec/3" type="manifest">'
    path.write_text(f'<?xml version="1.0"?>{head}{opening}{"".join(nodes)}</rspec>')
    return path


def node(number: int, *, name: str = "", port: str = "22", user: str = "me") -> str:
    return NODE.format(name=name or f"node{number}", number=number, port=port, user=user)


@pytest.mark.ansible
def test_an_import_is_an_inventory_that_ansible_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], act: Callable[..., int]
) -> None:
    source, place = manifest(tmp_path, node(1), node(2, port="2222"), node(3)), tmp_path / "lab" / "hosts.yml"
    assert act("hosts", "import", str(source), "--output", str(place)) == 0
    known = read_inventory(place)
    assert known.groups["dbms"] == ("node1",)
    assert known.groups["loader"] == ("node2", "node3")
    assert known.variables["node2"] == {
        "ansible_host": "pc2.example.net",
        "ansible_port": 2222,
        "ansible_user": "me",
        "bench_address": "10.10.1.2",
    }
    assert act("hosts", "import", str(source), "--output", str(place)) == 1
    assert "does not exist yet" in capsys.readouterr().err


def test_groups_and_login_can_be_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], act: Callable[..., int]
) -> None:
    source = str(manifest(tmp_path, node(1), node(2)))
    assert act("hosts", "import", source, "--group", "loader=node1,node2", "--user", "other") == 0
    printed = capsys.readouterr().out
    assert '"other"' in printed
    assert '"dbms"' not in printed
    assert act("hosts", "import", source, "--group", "loader=node9") == 2
    assert "the manifest has no node 'node9'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (node(1, name="-oProxyCommand=id"), "cannot be the name of a host"),
        (node(1, name="a&#10;b"), "cannot be the name of a host"),
        (node(1, user="-l"), "user is"),
        (node(1, user="{{ x }}"), "user is"),
        (node(1, port="0"), "port is"),
        (node(1, port="x"), "port is"),
        (node(1).replace("pc1.example.net", "$(id)"), "address is"),
        (node(1).replace("10.10.1.1", "0/0 trust"), "private_address is"),
        ("<node>", "is no manifest"),
        ("<a>" * 100, "nested too deeply"),
        ("", "no node with a login"),
    ],
)
def test_hostile_manifests_are_refused(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=words):
        read_manifest(manifest(tmp_path, text))


def test_entities_are_refused_before_they_expand(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE rspec [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    with pytest.raises(SpecError, match="declares a document type"):
        read_manifest(manifest(tmp_path, node(1), head=bomb))


def test_what_is_too_large_or_something_else_is_told(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b" " * (4 * 1024**2 + 1))
    with pytest.raises(SpecError, match="more than 4 MB"):
        read_manifest(tmp_path / "large")
    (tmp_path / "page.html").write_text("<html></html>")
    with pytest.raises(SpecError, match="'html' and not rspec"):
        read_manifest(tmp_path / "page.html")
    with pytest.raises(SpecError, match="No such file"):
        read_manifest(tmp_path / "none")


def test_the_text_is_yaml_that_holds_no_surprise(tmp_path: Path) -> None:
    text = to_yaml(read_manifest(manifest(tmp_path, node(1, name="on"), node(2, name="1.5"))), {})
    program = "import sys, yaml; hosts = yaml.safe_load(sys.stdin)['all']['hosts']; print(list(hosts))"
    done = subprocess.run(
        [sys.executable, "-c", program], input=text, text=True, capture_output=True, check=True
    )
    assert done.stdout == "['on', '1.5']\n"
