"""`--set path=value` is the same as the edit in the file, with itself as the place and paths from here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from benchctl.errors import SpecError
from benchctl.model.experiment import InventoryHosts
from benchctl.spec import load

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.model.experiment import Experiment, Level

TEXT = """\
name: mine
dbms: {role: postgresql, settings: &shared {work_mem: 4MB}}
workload: {role: pgbench, clients: 4}
factors:
  workload.clients: [1, 2]
  build:
    main: {}
    fix-1.2: {dbms.settings.jit: on}
"""


ERRORS = "[{name: errors, better: lower}]"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "mine.yml"
    file.write_text(TEXT, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("option", "old", "new"),
    [
        ("name=yours", "name: mine", "name: yours"),
        ("workload.threads=2", "clients: 4", "clients: 4, threads: 2"),
        ("workload.duration=5s", "clients: 4", "clients: 4, duration: 5s"),
        ("dbms.settings.work_mem=1GB", "work_mem: 4MB", "work_mem: 1GB"),
        (
            "dbms.settings.pg_stat_statements.max=9",
            "work_mem: 4MB",
            "work_mem: 4MB, pg_stat_statements.max: 9",
        ),
        ("dbms.settings={jit: off}", "{work_mem: 4MB}", "{jit: off}"),
        ('dbms.version="18.6"', "role: postgresql", 'role: postgresql, version: "18.6"'),
        ("design.blocks=3", "factors:", "design: {blocks: 3}\nfactors:"),
        ("design={blocks: 3, seed: 1}", "factors:", "design: {blocks: 3, seed: 1}\nfactors:"),
        ("hosts.groups.loader.count=1", "factors:", "hosts: {groups: {loader: {count: 1}}}\nfactors:"),
        ("factors.workload.clients=[4, 8, 16]", "[1, 2]", "[4, 8, 16]"),
        ("factors.dbms.settings.jit.x=[on, off]", "  build:", "  dbms.settings.jit.x: [on, off]\n  build:"),
        ("factors.build.main={dbms.settings.jit: off}", "main: {}", "main: {dbms.settings.jit: off}"),
        ("factors.build.main.dbms.settings.a.b=1", "main: {}", "main: {dbms.settings.a.b: 1}"),
        ("factors.build.fix-1.2.dbms.settings.jit=off", "jit: on", "jit: off"),
        ("factors.build.third={}", "    main: {}", "    third: {}\n    main: {}"),
        (
            "metrics=[{name: errors, better: lower}]",
            "factors:",
            "metrics: [{name: errors, better: lower}]\nfactors:",
        ),
        ("limits.trial = 1h", "factors:", "limits: {trial: 1h}\nfactors:"),
    ],
)
def test_set_equals_the_edit(path: Path, option: str, old: str, new: str) -> None:
    by_option = load(path, sets=[option]).experiment
    path.write_text(TEXT.replace(old, new), encoding="utf-8")
    edited = load(path).experiment
    assert _by_label(by_option) == _by_label(edited)
    for part in ("name", "hosts", "dbms", "workload", "design", "metrics", "limits"):
        assert getattr(by_option, part) == getattr(edited, part)


def _by_label(experiment: Experiment) -> dict[str, dict[str, Level]]:
    """The edit stands elsewhere in the file: the order of new keys is not compared."""
    return {factor.name: {level.label: level for level in factor.levels} for factor in experiment.factors}


def test_later_sets_win(path: Path) -> None:
    workload = load(path, sets=["workload.threads=8", "workload.threads=9"]).experiment.workload
    assert workload is not None
    assert workload.options["threads"] == 9


def test_a_set_does_not_reach_through_an_alias(path: Path) -> None:
    aliased = "    main: &one {workload.duration: 5s}\n    other: *one"
    path.write_text(TEXT.replace("    main: {}", aliased), encoding="utf-8")
    build = load(path, sets=["factors.build.main.workload.duration=9s"]).experiment.factors[1]
    assert [level.sets.get("workload.duration") for level in build.levels] == [9.0, 5.0, None]


def test_the_longest_label_is_meant(path: Path) -> None:
    labels = "    1: {}\n    1.2: {}"
    path.write_text(TEXT.replace("    main: {}", labels), encoding="utf-8")
    build = load(path, sets=["factors.build.1.2.dbms.settings.jit=off"]).experiment.factors[1]
    assert [list(level.sets) for level in build.levels] == [[], ["dbms.settings.jit"], ["dbms.settings.jit"]]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("design.blocks", "found no path or no '='; allowed: path=value, such as design.blocks=3"),
        ("=3", "found no path or no '='; allowed: path=value, such as design.blocks=3"),
        ("design..x=3", "found no path or no '='; allowed: path=value, such as design.blocks=3"),
        (
            "design.blocks=many",
            "design.blocks: found the text 'many'; allowed: a whole number from 1 to 10000",
        ),
        (
            "desing.blocks=3",
            "desing: found an unknown key; allowed: name, hosts, … (did you mean 'design'?)",
        ),
        ("workload.duration=60", "workload.duration: found the number 60; allowed: … or 8h; write 60s"),
        ("dbms.version=17", "dbms.version: … write it in quotes: --set 'dbms.version=\"17\"'"),
        ("name.first=x", "name.first: found a list or a single value on the way; … set the list as a whole"),
        (
            "workload.clients=3",
            "workload.clients: found a value that no trial has: the factor workload.clients … other levels",
        ),
        ("workload.clients=", "workload.clients: found nothing; allowed: a whole number from 1"),
    ],
)
def test_wrong_set(path: Path, option: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(path, sets=[option])
    pattern = ".*".join(map(re.escape, f"--set {option}: {message}".split("…")))
    assert re.fullmatch(pattern, caught.value.detail)


def test_a_set_below_a_named_factor_is_refused_where_each_level_sets_it(path: Path) -> None:
    named = "build:\n    main: {dbms.settings.jit: off}"
    text = TEXT.replace("build:\n    main: {}", named)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match=r"--set 'factors\.build\.main\.dbms\.settings\.jit=…' changes one"):
        load(path, sets=["dbms.settings.jit=on"])
    path.write_text(TEXT, encoding="utf-8")  # where one level leaves it, the value is that level's
    settings = load(path, sets=["dbms.settings.jit=on"]).experiment.dbms
    assert settings is not None
    assert settings.settings["jit"] == "on"


def test_value_that_is_no_yaml(path: Path) -> None:
    with pytest.raises(SpecError, match=r"^.*\n--set design=\{blocks: : not YAML: "):
        load(path, sets=["design={blocks: "])


def test_a_path_starts_from_the_current_folder(
    path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path_factory.mktemp("here")
    (here / "hosts.yml").write_text("all: {}\n", encoding="utf-8")
    (here / "mine.sql").write_text("SELECT 1;\n", encoding="utf-8")
    monkeypatch.chdir(here)
    sets = ["hosts={provider: inventory, path: hosts.yml}", "workload.script=mine.sql"]
    experiment = load(path, sets=sets).experiment
    assert isinstance(experiment.hosts, InventoryHosts)
    assert experiment.hosts.path == str(here / "hosts.yml")
    assert experiment.workload is not None
    assert experiment.workload.options["script"] == str(here / "mine.sql")
