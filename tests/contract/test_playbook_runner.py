"""What every playbook runner does, the real one and the fake."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.configure import AnsibleRunner
from benchctl.errors import ConvergeError
from benchctl.model.host import Host, Inventory
from benchctl.provision import to_ansible
from benchctl.testing.playbooks import FakePlaybookRunner

if TYPE_CHECKING:
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
    played = runner.run("works", INVENTORY, variables, folder=tmp_path / "log", on_event=told.append)
    assert played.changed == 1
    assert len(told) == 1
    assert told[0].startswith("localhost: ")
    assert played.log.is_relative_to(tmp_path / "log")
    assert played.log.read_text()


def test_a_failure_names_host_task_message_and_log(runner: PlaybookRunner, tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(ConvergeError) as caught:
        runner.run("fails", INVENTORY, {}, folder=tmp_path / "log", on_event=told.append)
    assert caught.value.detail == IMPOSSIBLE
    assert told == [IMPOSSIBLE]
    log = Path(caught.value.remedy.removeprefix("read the full log: "))
    assert "make one" in log.read_text()


def test_each_call_keeps_its_own_log(runner: PlaybookRunner, tmp_path: Path) -> None:
    variables = {"place": str(tmp_path / "file"), "text": "x"}
    logs = {
        runner.run("works", INVENTORY, variables, folder=tmp_path / "log", on_event=ignore).log
        for _ in range(2)
    }
    assert len(logs) == 2


def test_the_shipped_roles_are_the_last_to_be_looked_at(runner: PlaybookRunner) -> None:
    assert (runner.roles_path[-1] / "postgresql" / "tasks" / "main.yml").is_file()


@pytest.mark.ansible
def test_values_arrive_as_they_are(ansible: AnsibleRunner, tmp_path: Path) -> None:
    text = "10.10 'on' \"{{ not_a_template }}\" \\n ä"
    variables = {"place": str(tmp_path / "file"), "text": {"__ansible_unsafe": text}}
    ansible.run("works", INVENTORY, variables, folder=tmp_path / "log", on_event=ignore)
    assert (tmp_path / "file").read_text(encoding="utf-8") == text


@pytest.mark.ansible
def test_nothing_private_stays(
    ansible: AnsibleRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "private").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "private"))
    monkeypatch.setenv("SOME_TOKEN", "sesame-environment")
    variables = {"place": str(tmp_path / "file"), "text": "x", "password": "sesame-variable"}
    ansible.run("works", INVENTORY, variables, folder=tmp_path / "log", on_event=ignore)
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
    ansible.run("environment", INVENTORY, {"place": str(place)}, folder=tmp_path / "log", on_event=ignore)
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
        ansible.run(playbook, INVENTORY, {"place": str(tmp_path)}, folder=tmp_path / "log", on_event=ignore)
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
            runner.run("hangs", INVENTORY, {"place": str(fifo)}, folder=tmp_path / "log", on_event=ignore)
    finally:
        done.set()
        writer.join()
