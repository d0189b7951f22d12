"""What every playbook runner does, the real one and the fake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.configure import Access, AnsibleRunner, Call
from benchctl.configure.private import private_folder
from benchctl.errors import ConvergeError
from benchctl.model.host import Host, Inventory
from benchctl.provision import to_ansible
from benchctl.testing.playbooks import FakePlaybookRunner

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchctl.configure import PlaybookRunner

PLAYBOOKS = Path(__file__).parent.parent / "cases" / "playbooks"
INVENTORY = to_ansible(Inventory(groups={"dbms": (Host(name="localhost", transport="pipe"),)}))
IMPOSSIBLE = "localhost: Ask for the impossible: there is no such thing; make one"


def ignore(_text: str) -> None:
    """For tests that do not look at events."""


@pytest.fixture(params=["fake", pytest.param("ansible", marks=pytest.mark.ansible)])
def runner(request: pytest.FixtureRequest) -> PlaybookRunner:
    if request.param == "fake":
        return FakePlaybookRunner(failures={"fails": IMPOSSIBLE})
    return AnsibleRunner(playbooks=PLAYBOOKS)


@pytest.fixture
def ansible() -> AnsibleRunner:
    return AnsibleRunner(playbooks=PLAYBOOKS)


def test_what_changed_is_counted_and_told_and_the_log_stays(runner: PlaybookRunner, tmp_path: Path) -> None:
    told: list[str] = []
    variables = {"place": str(tmp_path / "file"), "text": "x"}
    played = runner.run(Call("works", INVENTORY, variables, tmp_path / "log", told.append))
    assert played.changed == 1
    assert len(told) == 1
    assert told[0].startswith("localhost: ")
    assert played.log.is_relative_to(tmp_path / "log")
    assert played.log.read_text()


def test_a_failure_names_host_task_message_and_log(runner: PlaybookRunner, tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(ConvergeError) as caught:
        runner.run(Call("fails", INVENTORY, {}, tmp_path / "log", told.append))
    assert caught.value.detail == IMPOSSIBLE
    assert told == [IMPOSSIBLE]
    log = Path(caught.value.remedy.removeprefix("read the full log: "))
    assert "make one" in log.read_text()


def test_each_call_keeps_its_own_log(runner: PlaybookRunner, tmp_path: Path) -> None:
    variables = {"place": str(tmp_path / "file"), "text": "x"}
    logs = {runner.run(Call("works", INVENTORY, variables, tmp_path / "log", ignore)).log for _ in range(2)}
    assert len(logs) == 2


def test_the_shipped_roles_are_the_last_to_be_looked_at(runner: PlaybookRunner) -> None:
    assert (runner.roles_path[-1] / "postgresql" / "tasks" / "main.yml").is_file()


@pytest.mark.ansible
def test_values_arrive_as_they_are(ansible: AnsibleRunner, tmp_path: Path) -> None:
    text = "10.10 'on' \"{{ not_a_template }}\" \\n ä"
    variables = {"place": str(tmp_path / "file"), "text": {"__ansible_unsafe": text}}
    ansible.run(Call("works", INVENTORY, variables, tmp_path / "log", ignore))
    assert (tmp_path / "file").read_text(encoding="utf-8") == text


@pytest.mark.ansible
def test_nothing_private_stays(
    ansible: AnsibleRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "private").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "private"))
    monkeypatch.setenv("SOME_TOKEN", "sesame-environment")
    variables = {"place": str(tmp_path / "file"), "text": "x", "password": "sesame-variable"}
    ansible.run(Call("works", INVENTORY, variables, tmp_path / "log", ignore))
    assert list((tmp_path / "private").iterdir()) == []
    kept = [path for path in (tmp_path / "log").rglob("*") if path.is_file()]
    assert kept
    assert [path for path in kept if "sesame" in path.read_text(encoding="utf-8")] == []


@pytest.mark.ansible
def test_the_users_own_configuration_does_not_count(
    ansible: AnsibleRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".ansible.cfg").write_text("[defaults]\nforks = 77\n")
    monkeypatch.setenv("ANSIBLE_CONFIG", str(tmp_path / "home" / ".ansible.cfg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("PATH", os.defpath)
    place = tmp_path / "file"
    ansible.run(Call("environment", INVENTORY, {"place": str(place)}, tmp_path / "log", ignore))
    seen: dict[str, Any] = json.loads(place.read_text())
    assert (seen["forks"], seen["locale"]) == (5, "C.UTF-8")
    assert Path(seen["python"]).parent == Path(sys.executable).parent
    assert not Path(seen["home"]).exists()
    assert [path.name for path in (tmp_path / "home").iterdir()] == [".ansible.cfg"]


@pytest.mark.ansible
@pytest.mark.parametrize(
    ("playbook", "words"),
    [
        ("command-fails", ("localhost: Look into nothing: ", "nothing': No such file or directory")),
        ("loop-fails", ("localhost: Try each: two is one too many",)),
        ("broken", ("ansible-playbook ended with ", "playbook broken", "broken.yml")),
        ("missing", ("missing.yml",)),
    ],
)
def test_every_kind_of_failure_is_explained(
    playbook: str, words: tuple[str, ...], ansible: AnsibleRunner, tmp_path: Path
) -> None:
    with pytest.raises(ConvergeError) as caught:
        ansible.run(Call(playbook, INVENTORY, {"place": str(tmp_path)}, tmp_path / "log", ignore))
    assert [word for word in words if word not in caught.value.detail] == []
    assert "three" not in caught.value.detail


@pytest.mark.ansible
def test_a_request_to_stop_ends_a_playbook_that_hangs(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reached = threading.Event()

    def await_reader() -> None:
        with fifo.open("wb"):  # opens when the task reads: from now on it hangs
            reached.set()
            done.wait(60)

    done = threading.Event()
    writer = threading.Thread(target=await_reader)
    writer.start()
    runner = AnsibleRunner(playbooks=PLAYBOOKS, cancelled=reached.is_set)
    try:
        with pytest.raises(ConvergeError, match="stopped on request"):
            runner.run(Call("hangs", INVENTORY, {"place": str(fifo)}, tmp_path / "log", ignore))
    finally:
        done.set()
        writer.join()


def encrypted(path: Path, text: str, password: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    password.write_text("open")
    program = Path(sys.executable).with_name("ansible-vault")
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "ANSIBLE_VAULT_PASSWORD_FILE": str(password)}
    subprocess.run([program, "encrypt", path], env=environment, check=True, capture_output=True)


@pytest.mark.ansible
def test_the_users_inventory_gives_variables_and_vault_but_neither_hosts_nor_connections(
    ansible: AnsibleRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "lab" / "hosts.yml"
    own.parent.mkdir()
    own.write_text("all: {children: {dbms: {hosts: {localhost: {}, other: {ansible_connection: local}}}}}")
    encrypted(own.parent / "group_vars" / "all.yml", "text: sesame-vault\n", tmp_path / "password")
    (own.parent / "host_vars").mkdir()
    (own.parent / "host_vars" / "localhost.yml").write_text("ansible_connection: nonsense\n")
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(tmp_path / "password"))
    played = ansible.run(
        Call(
            "works",
            INVENTORY,
            {"place": str(tmp_path / "file")},
            folder=tmp_path / "log",
            on_event=ignore,
            access=Access(inventory=own),
        )
    )
    assert played.changed == 1
    assert (tmp_path / "file").read_text() == "sesame-vault"


def places_with(secret: bytes, paths: Iterable[Path]) -> list[str]:
    found = []
    for path in paths:
        with suppress(OSError):
            regular = path.is_file() and not path.is_symlink()
            found += [str(path)] if regular and secret in path.read_bytes() else []
    return found


def processes() -> list[Path]:
    """Command lines and environments of all that runs."""
    return [path for name in ("cmdline", "environ") for path in Path("/proc").glob(f"[0-9]*/{name}")]


@pytest.mark.ansible
def test_a_password_lies_nowhere_while_ansible_runs(
    ansible: AnsibleRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "private").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "private"))
    monkeypatch.setenv("SOME_TOKEN", "sesame-environment")
    seen: list[list[str]] = []

    def look(_text: str) -> None:
        seen.append(places_with(b"sesame-sudo", [*tmp_path.rglob("*"), *processes()]))
        seen.append(places_with(b"sesame-environment", (tmp_path / "log").rglob("*")))

    variables = {"place": str(tmp_path / "file"), "text": "x"}
    access = Access(become_password="sesame-sudo")  # noqa: S106
    ansible.run(Call("works", INVENTORY, variables, tmp_path / "log", look, access=access))
    assert seen
    assert [place for places in seen for place in places] == []
    assert list((tmp_path / "private").iterdir()) == []


def test_what_a_killed_benchctl_left_is_swept_and_what_another_uses_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    left = tmp_path / "benchctl" / "ansible-left" / "env"
    left.mkdir(parents=True)
    with private_folder() as first:
        assert not left.parent.exists()
        with private_folder() as second:
            assert first.is_dir()
            assert second != first
            assert first.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []
