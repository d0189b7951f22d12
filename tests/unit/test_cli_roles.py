"""`benchctl roles` and `benchctl loaders`: the shipped roles and roles of one's own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.unit.test_cli_main import run_main

if TYPE_CHECKING:
    from pathlib import Path

    Out = pytest.CaptureFixture[str]

OWN = """\
name: mydb
kind: dbms
doc: "A database of one's own."
settings: start
options:
  edition: {type: choice, scope: install, default: small, choices: [small, large], doc: Which one.}
  key: {type: string, scope: install, needed_with: {edition: large}, doc: What opens it.}
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "elsewhere" / "mydb" / "meta" / "bench.yml"
    path.parent.mkdir(parents=True)
    path.write_text(OWN)
    return tmp_path / "elsewhere"


def test_all_roles_and_the_loaders_among_them(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    assert run_main(monkeypatch, "roles", "list", "--json") == 0
    roles = {role["name"]: role["kind"] for role in json.loads(capsys.readouterr().out)["roles"]}
    assert run_main(monkeypatch, "loaders", "list", "--json") == 0
    loaders = {role["name"]: role["kind"] for role in json.loads(capsys.readouterr().out)["roles"]}
    assert roles["postgresql"] == "dbms"
    assert {"pgbench", "command"} <= loaders.keys()
    assert loaders == {name: kind for name, kind in roles.items() if kind == "loader"}


def test_a_role_that_tunes_names_its_knobs(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    assert run_main(monkeypatch, "roles", "show", "tune_disk") == 0
    text = capsys.readouterr().out
    assert "tune_disk (tuning)" in text
    assert "io_scheduler, read_ahead" in text
    assert "swappiness" not in text


def test_a_role_tells_all_of_itself(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    assert run_main(monkeypatch, "roles", "show", "pgbench") == 0
    text = capsys.readouterr().out
    for words in (
        "workload.NAME",
        "scale",
        "scope prepare",
        "default 10",
        "latency_p99",
        "equivalent within 5 %",
    ):
        assert words in text
    assert run_main(monkeypatch, "loaders", "show", "pgbench", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == 1
    assert told["options"]["scale"]["scope"] == "prepare"


def test_roles_of_ones_own_are_found(own: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    assert run_main(monkeypatch, "roles", "list", "--roles-path", str(own)) == 0
    assert "mydb" in capsys.readouterr().out
    assert run_main(monkeypatch, "roles", "show", "mydb", "--roles-path", str(own)) == 0
    text = capsys.readouterr().out
    assert "one of small, large" in text
    assert "required with edition large" in text


def test_a_broken_role_does_not_hide_the_others(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    (own / "mydb" / "meta" / "bench.yml").write_text("name: mydb\nkind: nix\n")
    assert run_main(monkeypatch, "roles", "list", "--roles-path", str(own)) == 0
    shown = capsys.readouterr()
    assert "pgbench" in shown.out
    assert "bench.yml:2:7" in shown.err
    assert run_main(monkeypatch, "roles", "show", "mydb", "--roles-path", str(own)) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("roles", "show", "postgres"), "did you mean 'postgresql'?"),
        (("loaders", "show", "pgbnech"), "did you mean 'pgbench'?"),
        (("loaders", "show", "postgresql"), "a role of kind dbms"),
        (("roles", "list", "--roles-path", "/no/such/folder"), "does not exist"),
    ],
)
def test_what_is_not_there_is_said(
    words: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    assert run_main(monkeypatch, *words) == 2
    assert said in capsys.readouterr().err
