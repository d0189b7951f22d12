"""What comes out of a valid file: the complete record, where values came from, which file was taken."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec
import pytest

from benchctl.errors import SpecError
from benchctl.model.experiment import Experiment, Level, Metric
from benchctl.model.group import Group
from benchctl.model.record import to_json
from benchctl.spec import Spec, load
from benchctl.spec.levels import as_workload, measured
from benchctl.spec.share import shared

SHIPPED = (
    "quickstart",
    "aa",
    "pg-work-mem",
    "clients-sweep",
    "pg-two-loaders",
    "pg-lab",
    "stages-example",
    "mariadb-flush",
    "kairosdb",
)
TEXT = """\
name: mine
dbms:
  role: postgresql
  settings: {shared_buffers: 1GB, jit: off, random_page_cost: 1.1, fsync: true}
workload: {role: pgbench, clients: 4, duration: 90s}
factors:
  dbms.settings.pg_stat_statements.max: [100, 1000]
  build:
    main: {}
    patch: {dbms.settings.jit: on, workload.duration: 2m}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "mine.yml"
    file.write_text(TEXT, encoding="utf-8")
    return file


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_experiment_is_valid_and_survives_json(name: str) -> None:
    spec = load(name)
    assert spec.experiment.name == name
    assert msgspec.json.decode(to_json(spec.experiment), type=Experiment) == spec.experiment


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_experiment_tells_editors_its_schema(name: str) -> None:
    file = shared("experiments") / f"{name}.yml"
    first = file.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (file.parent / first.partition("=")[2]).resolve().is_file()


def test_only_known_experiments_are_shipped() -> None:
    assert {path.stem for path in shared("experiments").glob("*.yml")} == set(SHIPPED)


def test_defaults_are_filled_in(path: Path) -> None:
    experiment = load(path).experiment
    assert experiment.dbms is not None
    assert experiment.dbms.options == {
        "version": "18", "source": "wheel", "repository": "distribution", "initdb": (),
        "reset": "reflink",
    }  # fmt: skip
    assert experiment.workload is not None
    assert experiment.workload.options == {
        "scale": 10, "clients": 4, "script": "tpcb-like", "protocol": "simple",
    }  # fmt: skip
    assert experiment.hosts.groups == {"dbms": Group(count=1), "loader": Group(count=1)}
    assert experiment.design.min_blocks == experiment.design.blocks == 10
    assert experiment.metrics == (
        Metric(name="throughput", better="higher", delta=0.02),
        Metric(name="latency_p99", better="lower", delta=0.05),
    )


def test_a_default_may_depend_on_another_option(tmp_path: Path) -> None:
    path = tmp_path / "case.yml"
    path.write_text("name: case\ndbms: {role: mariadb}\nworkload: {role: mysqlslap}\n")
    prefix = ("dbms.source=prefix", "dbms.prefix=/opt/own")
    for sets, source in (((), "package"), (("dbms.product=mysql",), "maven"), (prefix, "prefix")):
        dbms = load(path, sets=sets).experiment.dbms
        assert dbms is not None
        assert dbms.options["source"] == source


def test_settings_keep_what_was_written(path: Path) -> None:
    dbms = load(path).experiment.dbms
    assert dbms is not None
    assert dbms.settings == {"shared_buffers": "1GB", "jit": "off", "random_page_cost": 1.1, "fsync": True}


def test_levels_are_typed_like_what_they_set(path: Path) -> None:
    statements, build = load(path).experiment.factors
    key = "dbms.settings.pg_stat_statements.max"
    assert statements.name == key
    assert statements.levels == (
        Level(label="100", sets={key: 100}),
        Level(label="1000", sets={key: 1000}),
    )
    assert build.levels == (
        Level(label="main", sets={}),
        Level(label="patch", sets={"dbms.settings.jit": "on", "workload.duration": 120.0}),
    )


def test_origins_say_who_set_what(path: Path) -> None:
    origins = load(path, sets=["workload.clients=8", "design.seed=1"]).origins
    assert origins["workload.duration"] == "mine.yml:5:49"
    assert origins["dbms.settings.jit"] == "mine.yml:4:40"
    assert origins["workload.clients"] == origins["design.seed"] == "--set"
    assert origins["workload.scale"] == origins["limits.run"] == origins["metrics.0.name"] == "default"
    assert origins["factors.build"] == "mine.yml:9:5"
    assert origins["factors.dbms.settings.pg_stat_statements.max"] == "mine.yml:7:41"


def test_the_text_is_kept_as_it_is(path: Path) -> None:
    spec = load(path, sets=["design.blocks=3"])
    assert spec.text == TEXT
    assert spec.path == path
    assert spec.sets == ("design.blocks=3",)
    assert set(spec.roles) == {"postgresql", "pgbench"}


def test_byte_order_mark_and_windows_lines(path: Path) -> None:
    plain = load(path)
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    again = load(path)
    assert again.experiment == plain.experiment
    assert again.origins == plain.origins


def test_script_lies_beside_the_experiment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = path.parent / "scripts" / "mine.sql"
    script.parent.mkdir()
    script.write_text("SELECT 1;\n", encoding="utf-8")
    monkeypatch.chdir(path.parent)
    spec = load("mine.yml", sets=["workload.script=scripts/mine.sql"])
    assert spec.experiment.workload is not None
    assert spec.experiment.workload.options["script"] == str(script)
    assert list(spec.files) == [str(script)]
    assert len(spec.files[str(script)]) == 64


def test_own_role_beside_the_experiment_comes_first(path: Path) -> None:
    meta = path.parent / "roles" / "pgbench" / "meta" / "bench.yml"
    meta.parent.mkdir(parents=True)
    meta.write_text(
        "name: pgbench\nkind: loader\ndoc: mine\noptions:\n"
        "  clients: {type: integer, scope: run, doc: how many, default: 3}\n"
        "metrics: [{name: retries, unit: '1', better: lower}]\n",
        encoding="utf-8",
    )
    spec = load(path)
    assert spec.roles["pgbench"].doc == "mine"
    assert [metric.name for metric in spec.experiment.metrics] == ["retries"]


def test_roles_path_comes_before_the_shipped_roles(path: Path, tmp_path: Path) -> None:
    meta = tmp_path / "lab" / "yourdb" / "meta" / "bench.yml"
    meta.parent.mkdir(parents=True)
    meta.write_text("name: yourdb\nkind: dbms\ndoc: yours\n", encoding="utf-8")
    sets = ["dbms={role: yourdb}", "factors={workload.clients: [1]}"]
    with pytest.raises(SpecError, match="found no role 'yourdb'"):
        load(path, sets=sets)
    with pytest.raises(SpecError, match="found the dbms yourdb to drive; allowed: pgbench drives postgresql"):
        load(path, sets=sets, roles_paths=[tmp_path / "lab"])


def test_a_name_means_the_file_here_before_the_shipped_one(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").mkdir()  # a folder is no experiment
    assert load("quickstart").path == shared("experiments") / "quickstart.yml"
    path.rename(tmp_path / "quickstart.yml")
    assert load("quickstart").path == Path("quickstart.yml")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("quickstrt", "quickstrt: found no such file (did you mean 'quickstart'?)"),
        ("mien.yml", "mien.yml: found no such file (did you mean 'mine.yml'?)"),
        ("sub/mien.yml", "sub/mien.yml: found no such file"),
        (".", ".: found a folder"),
    ],
)
def test_no_such_file(path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str) -> None:
    monkeypatch.chdir(path.parent)
    with pytest.raises(SpecError) as caught:
        load(source)
    assert caught.value.detail == message
    assert caught.value.remedy


def test_file_without_permission(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.chmod(0)
    if os.access(path, os.R_OK):  # root reads everything
        monkeypatch.setattr(Path, "open", _refuse)
    with pytest.raises(SpecError, match="Permission denied"):
        load(path)
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)


def _refuse(*_args: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_large_file(path: Path) -> None:
    path.write_text(TEXT + "#" * 128 * 1024, encoding="utf-8")
    with pytest.raises(SpecError, match=r"mine\.yml:1:1: found more than 128 KiB"):
        load(path)


def test_endless_file_is_not_read_to_its_end() -> None:
    with pytest.raises(SpecError, match="found more than 128 KiB"):
        load("/dev/zero")


def test_many_problems_end_in_a_count(path: Path) -> None:
    path.write_text(TEXT + "".join(f"key{n}: 1\n" for n in range(80)), encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load(path)
    lines = caught.value.detail.splitlines()
    assert len(lines) == 51
    assert lines[-1] == "… and 30 more"


def test_spec_is_immutable(path: Path) -> None:
    spec: Spec = load(path)
    with pytest.raises(AttributeError):
        spec.text = ""  # type: ignore[misc]


def test_options_beside_the_reader_of_a_stage_reach_its_module() -> None:
    case = Path(__file__).parents[1] / "cases" / "spec" / "valid-stages-reader-options.yml"
    workload = as_workload(measured(load(case).experiment))
    assert workload.options == {"requests": 5000, "test": "set", "window": True}
