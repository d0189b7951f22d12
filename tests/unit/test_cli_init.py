"""`benchctl init`: what it writes is valid, says what was asked, and replaces nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchctl.spec import load, read_role
from benchctl.spec.share import roles_in, shared
from tests.unit.test_cli_main import run_main
from tests.unit.test_cli_roles import OWN

if TYPE_CHECKING:
    Out = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


SHIPPED = [read_role(name, [shared("roles")]) for name in roles_in([shared("roles")])]


@pytest.mark.parametrize("role", [meta.name for meta in SHIPPED if meta.kind != "tuning"])
def test_every_role_begins_with_a_valid_file(role: str, monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    assert run_main(monkeypatch, "init", "first", "--role", role) == 0
    shown = capsys.readouterr()
    assert shown.out == "first.yml\n"
    assert "benchctl run first.yml" in shown.err
    experiment = load(Path("first.yml")).experiment
    assert experiment.name == "first"
    assert experiment.workload is not None
    assert role in {experiment.workload.role, experiment.dbms.role if experiment.dbms else ""}
    assert experiment.factors


def test_a_role_that_tunes_is_nothing_to_measure(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    assert run_main(monkeypatch, "init", "first", "--role", "tune_cpu") == 2
    assert "tune_cpu tunes hosts" in capsys.readouterr().err
    assert not Path("first.yml").exists()


def test_the_flags_stand_in_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = (
        "--factor",
        "dbms.settings.work_mem=4MB, 64MB",
        "--factor",
        "workload.clients=1,4",
        "--blocks",
        "3",
    )
    assert run_main(monkeypatch, "init", "pg", *flags) == 0
    experiment = load(Path("pg.yml")).experiment
    levels = {factor.name: [level.label for level in factor.levels] for factor in experiment.factors}
    assert levels == {"dbms.settings.work_mem": ["4MB", "64MB"], "workload.clients": ["1", "4"]}
    assert experiment.design.blocks == 3


@pytest.mark.parametrize(
    ("factor", "labels"),
    [
        ("dbms.version=18,18.6", ["18", "18.6"]),
        ("dbms.settings.log_line_prefix=%m,a: b # c,- x", ["%m", "a: b # c", "- x"]),
        ("dbms.settings.jit=on,off", ["on", "off"]),
        ("workload.duration=5s,10s", ["5s", "10s"]),
    ],
)
def test_values_mean_what_was_typed(factor: str, labels: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_main(monkeypatch, "init", "x", "--factor", factor) == 0
    (found,) = load(Path("x.yml")).experiment.factors
    assert [level.label for level in found.levels] == labels


def test_a_role_of_ones_own_gets_a_command_to_drive_it(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path("roles") / "mydb" / "meta" / "bench.yml"
    path.parent.mkdir(parents=True)
    path.write_text(OWN)
    assert run_main(monkeypatch, "init", "own", "--role", "mydb") == 0
    experiment = load(Path("own.yml")).experiment
    assert experiment.dbms is not None
    assert experiment.workload is not None
    assert (experiment.dbms.role, experiment.workload.role) == ("mydb", "command")


def test_an_example_stands_where_a_role_has_no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path("roles") / "mydb" / "meta" / "bench.yml"
    path.parent.mkdir(parents=True)
    required = "options:\n  wait: {type: duration, scope: install, required: true, DOC}\n"
    path.write_text(
        f"name: mydb\nkind: dbms\ndoc: Mine.\n{required}".replace("DOC", "example: 5s, doc: How long.")
    )
    assert run_main(monkeypatch, "init", "own", "--role", "mydb") == 0
    experiment = load(Path("own.yml")).experiment
    assert experiment.dbms is not None
    assert experiment.dbms.options == {"wait": 5.0}


def test_a_file_that_is_there_stays(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    Path("mine.yml").write_text("precious")
    assert run_main(monkeypatch, "init", "mine") == 2
    assert "mine.yml is there already" in capsys.readouterr().err
    assert Path("mine.yml").read_text() == "precious"
    assert run_main(monkeypatch, "init", "mine", "--force") == 0
    assert load(Path("mine.yml")).experiment.name == "mine"


def test_a_path_of_ones_own_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run_main(monkeypatch, "init", str(tmp_path / "there.yaml")) == 0
    assert load(tmp_path / "there.yaml").experiment.name == "there"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("Big",), 2, "cannot be the name of an experiment"),
        (("a b",), 2, "cannot be the name of an experiment"),
        (("x", "--role", "postgres"), 2, "did you mean 'postgresql'?"),
        (("x", "--factor", "dbms.settings.work_mem"), 2, "found no path with values"),
        (("x", "--factor", "a=1,,2"), 2, "found no path with values"),
        (("x", "--factor", "dbms.nix=1,2"), 2, "nothing is written"),
        (("x", "--factor", "workload.clients=1,1"), 2, "nothing is written"),
        (("x", "--factor", "workload.client=1,2"), 2, "`benchctl roles show pgbench` tell"),
        (("x", "--factor", "workload.clients=a,b"), 2, "nothing is written"),
        (("x", "--factor", "a]: [\n=1,2"), 2, "nothing is written"),
        (("x", "--blocks", "0"), 2, "0 is not in the range"),
        (("no/such/folder/x",), 1, "No such file or directory"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(
    words: tuple[str, ...],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Out,
    tmp_path: Path,
) -> None:
    assert run_main(monkeypatch, "init", *words) == code
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_on_a_terminal_a_few_questions_are_asked(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    answers = iter(["asked", "postgresql", "dbms.settings.work_mem=4MB,8MB", "7"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: next(answers))
    assert run_main(monkeypatch, "init") == 0
    experiment = load(Path("asked.yml")).experiment
    assert experiment.design.blocks == 7
    assert [factor.name for factor in experiment.factors] == ["dbms.settings.work_mem"]
    assert capsys.readouterr().out == "asked.yml\n"
