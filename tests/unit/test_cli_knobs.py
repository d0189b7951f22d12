"""`benchctl knobs`, and the verbs of tuning on this machine, which a tree of files stands for."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.agent import detached
from benchctl.agent.knobs import KNOBS
from tests.unit.test_cli_main import run_main

if TYPE_CHECKING:
    from collections.abc import Iterator

    Out = pytest.CaptureFixture[str]

SWAPPINESS = "proc/sys/vm/swappiness"
THP = "sys/kernel/mm/transparent_hugepage/enabled"


class Cli:
    """The command, on a machine of two knobs."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
        self.root, self._monkeypatch, self._capsys = root, monkeypatch, capsys
        for name, text in ((SWAPPINESS, "60\n"), (THP, "[always] madvise never\n")):
            (root / name).parent.mkdir(parents=True)
            (root / name).write_text(text)

    def run(self, *words: str) -> tuple[int, str, str]:
        code = run_main(self._monkeypatch, *words)
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json")[1])

    def text(self, name: str) -> str:
        return (self.root / name).read_text().strip()


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out) -> Iterator[Cli]:
    short = Path(tempfile.mkdtemp(prefix="b", dir="/tmp"))
    for name in ("CACHE", "LEASE_DIR", "STATE_DIR", "ROOT"):
        monkeypatch.setenv(f"BENCHCTL_{name}", str(tmp_path / name.lower()))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    monkeypatch.chdir(tmp_path)
    yield Cli(tmp_path / "root", monkeypatch, capsys)
    for name in ("hold", "guard"):
        assert detached.find(tmp_path / "state_dir", name) is None
    shutil.rmtree(short)


def test_all_knobs_are_listed_with_their_value_in_a_profile(cli: Cli) -> None:
    code, out, _ = cli.run("knobs", "list", "--profile", "peak")
    assert code == 0
    lines = {line.split()[0]: line.split() for line in out.splitlines()}
    assert set(lines) - {"knob"} == set(KNOBS)
    assert lines["boost"][1:5] == ["3", "cpu", "L", "on"]
    assert lines["uptime"][1:5] == ["53", "state", "M", "recorded"]
    assert "Recorded only: only a reboot begins anew." in out
    rows = {row["knob"]: row for row in cli.json("knobs", "list")["knobs"]}
    assert (rows["boost"]["value"], rows["smt"]["value"]) == ("off", None)
    assert rows["thp"]["allowed"] == "always, madvise, never"


def test_one_knob_is_shown_in_full(cli: Cli) -> None:
    code, out, _ = cli.run("knobs", "show", "dirty_bytes")
    assert code == 0
    assert "Where: /proc/sys/vm/dirty_bytes" in out
    assert "given back too: /proc/sys/vm/dirty_ratio" in out
    assert "Excludes: dirty_bytes set with dirty_ratio set: they are one limit in two units" in out
    assert "After: Documentation/admin-guide/sysctl/vm.rst" in out
    code, _, err = cli.run("knobs", "show", "dirty_byte")
    assert code == 2
    assert "did you mean 'dirty_bytes'?" in err


def test_what_would_help_is_explained_by_effect(cli: Cli) -> None:
    before = (cli.text(SWAPPINESS), cli.text(THP))
    code, out, _ = cli.run("knobs", "explain")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "# localhost"
    assert [line.split()[:2] for line in lines[2:4]] == [["L", "swappiness"], ["MT", "thp"]]
    assert "boost" in next(line for line in lines if line.startswith("not here"))
    assert any("in the BIOS" in line for line in lines)
    told = cli.json("knobs", "explain")["hosts"]["localhost"]
    assert told["change"][0]["would_be"] == {"1": 1}
    assert (cli.text(SWAPPINESS), cli.text(THP)) == before


def test_this_machine_is_tuned_verified_and_restored(cli: Cli) -> None:
    code, out, _ = cli.run("hosts", "tune")
    assert code == 0
    assert "applied  swappiness  60 -> 1" in out
    assert "applied  thp         always -> madvise" in out
    assert "to undo it on the host itself, as root: python3 " in out
    assert (cli.text(SWAPPINESS), cli.text(THP)) == ("1", "madvise")
    assert cli.run("hosts", "verify")[:2] == (
        0,
        "localhost: 0 of 2 places differ from what was set by repeatable\n",
    )
    (cli.root / THP).write_text("always\n")
    code, out, err = cli.run("hosts", "verify")
    assert code == 3
    assert f"localhost: thp: /{THP}: set to madvise, found always" in out
    assert "drifted: localhost" in err
    (cli.root / SWAPPINESS).write_text("33\n")
    code, out, _ = cli.run("hosts", "restore")
    assert code == 1
    assert f"left alone: /{SWAPPINESS}: was 60, somebody set it to 33" in out
    assert cli.run("hosts", "restore", "--force")[:2] == (0, "localhost: 1 place restored\n")
    assert cli.text(SWAPPINESS) == "60"
    assert cli.run("hosts", "restore")[:2] == (0, "localhost: 0 places restored\n")
    assert "nothing is tuned" in cli.run("hosts", "verify")[1]


def test_a_profile_of_ones_own_is_used_and_checked(cli: Cli) -> None:
    Path("mine.yml").write_text("extends: repeatable\nknobs: {swappiness: 10, thp: null}\n")
    told = cli.json("hosts", "tune", "--profile", "mine.yml")
    rows = {row["knob"]: row for row in told["hosts"]["localhost"]["knobs"]}
    assert rows["swappiness"]["outcome"] == "applied"
    assert "thp" not in rows
    assert cli.text(SWAPPINESS) == "10"
    cli.run("hosts", "restore")
    Path("mine.yml").write_text("knobs: {swappiness: 900}\n")
    code, _, err = cli.run("hosts", "tune", "--profile", "mine.yml")
    assert code == 2
    assert "mine.yml:1:9: knobs.swappiness: '900': allowed: 0 to 200" in err
    assert cli.text(SWAPPINESS) == "60"


def test_a_knob_that_could_not_be_set_ends_with_1_and_says_why(cli: Cli) -> None:
    path = cli.root / "proc/sys/vm/stat_interval"
    path.mkdir()  # whatever is written to it, it is no setting
    code, out, err = cli.run("hosts", "tune")
    assert code == 1
    assert "failed   stat_interval" in out
    assert "not set: localhost: stat_interval" in err
    cli.run("hosts", "restore")


def test_the_knobs_of_this_machine_are_printed(cli: Cli) -> None:
    code, out, _ = cli.run("hosts", "knobs")
    assert code == 0
    assert ["swappiness", "60"] in [line.split() for line in out.splitlines()]
    found = cli.json("hosts", "knobs")["hosts"]["localhost"]
    assert {row["knob"]: row["values"] for row in found["knobs"]}["thp"] == {"always": 1}
