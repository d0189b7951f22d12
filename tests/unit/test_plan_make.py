"""The whole plan: what must exist, what each treatment is, how often things happen, how long it takes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec
import pytest

from benchctl.model.plan import DataCost, Plan
from benchctl.model.record import to_json
from benchctl.plan import make
from benchctl.plan.make import (
    FETCH_SECONDS,
    IMAGE_SECONDS,
    INSTALL_SECONDS,
    RESET_SECONDS,
    SERVER_SECONDS,
    with_costs,
)
from benchctl.spec import load

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """\
name: mine
dbms: {role: postgresql, settings: {shared_buffers: 1GB, work_mem: 1MB}}
workload: {role: pgbench, clients: 4, warmup: 1s, duration: 5s}
"""

STAGED = """\
name: staged
stages:
  - {name: install, group: loader, install: {role: hey}}
  - name: load
    group: loader
    measure: {duration: 1s}
    tasks: [{run: "{{ roles.hey.bin }}/hey http://127.0.0.1/", parse: {role: hey, url: "http://127.0.0.1/"}}]
metrics: [{name: throughput, better: higher}]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "mine.yml"
    file.write_text(TEXT, encoding="utf-8")
    return file


def plan(path: Path, *sets: str) -> Plan:
    return make(load(path, sets=["design.blocks=4", *sets]))


def scopes(made: Plan) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {stage.name: (stage.scope, stage.depends) for stage in made.stages}


@pytest.mark.parametrize("name", ["quickstart", "aa", "pg-work-mem", "clients-sweep"])
def test_shipped_experiments_have_a_plan_that_survives_json(name: str) -> None:
    made = make(load(name))
    assert msgspec.json.decode(to_json(made), type=Plan) == made
    assert to_json(make(load(name))) == to_json(made)


def test_quickstart_stays_under_two_minutes_after_setting_up() -> None:
    made = make(load("quickstart"))
    assert len(made.trials) == 12
    assert made.expected_seconds - 2 * INSTALL_SECONDS - IMAGE_SECONDS < 120


def test_a_plan_has_the_units_that_the_load_generator_s_role_declares(path: Path) -> None:
    assert plan(path).units["latency_p99"] == "ms"
    staged = path.with_name("staged.yml")
    staged.write_text(STAGED, encoding="utf-8")
    assert make(load(staged)).units["throughput"] == "1/s"
    assert make(load("stages-example")).units == {}


def test_without_factors_there_is_one_treatment(path: Path) -> None:
    made = plan(path)
    assert [treatment.id for treatment in made.treatments] == ["t01"]
    assert made.treatments[0].levels == {}
    assert len(made.trials) == 4
    assert made.detectable == ()


def test_the_first_treatment_holds_the_baselines(path: Path) -> None:
    made = plan(path, "factors.workload.clients=[1, 2]", "factors.dbms.settings.work_mem=[4MB, 8MB, 16MB]")
    assert len(made.treatments) == 6
    assert made.treatments[0].levels == {"workload.clients": "1", "dbms.settings.work_mem": "4MB"}
    assert len({tuple(treatment.levels.values()) for treatment in made.treatments}) == 6
    assert made.treatment("t06").levels == {"workload.clients": "2", "dbms.settings.work_mem": "16MB"}


def test_treatments_are_resolved(path: Path) -> None:
    made = plan(
        path,
        "factors.dbms.settings.work_mem=[4MB, 8MB]",
        "factors.load={light: {workload.clients: 1}, heavy: {workload.duration: 9s, dbms.settings.a.b: 3}}",
    )
    last = made.treatments[-1]
    assert last.dbms is not None
    assert last.dbms.settings == {"shared_buffers": "1GB", "work_mem": "8MB", "a.b": 3}
    assert (last.workload.duration, last.workload.options["clients"]) == (9.0, 4)
    first = made.treatments[0]
    assert first.dbms is not None
    assert first.dbms.settings == {"shared_buffers": "1GB", "work_mem": "4MB"}
    assert (first.workload.duration, first.workload.options["clients"]) == (5.0, 1)


def test_a_setting_costs_neither_instance_nor_image(path: Path) -> None:
    made = plan(path, "factors.dbms.settings.work_mem=[4MB, 8MB]")
    assert len(made.instances) == len(made.images) == 1
    assert made.factors[0].scope == "start"
    assert scopes(made) == {
        "install": ("once", ()),
        "install-loader": ("once", ()),
        "image": ("once", ()),
        "server": ("trial", ("dbms.settings.work_mem",)),
        "load": ("trial", ()),
    }


def test_an_install_option_makes_instances_and_images(path: Path) -> None:
    made = plan(path, 'factors.dbms.version=["18.6", "18"]', "factors.workload.clients=[1, 2]")
    assert len(made.instances) == len(made.images) == 2
    assert {image.instance for image in made.images} == {instance.id for instance in made.instances}
    assert [factor.scope for factor in made.factors] == ["install", "run"]
    assert scopes(made)["install"] == scopes(made)["image"] == ("level", ("dbms.version",))
    for treatment in made.treatments:
        instance = next(found for found in made.instances if found.id == treatment.instance)
        assert instance.options["version"] == treatment.levels["dbms.version"]
        assert instance.id.startswith("postgresql-")


def test_a_prepare_option_makes_images_only(path: Path) -> None:
    made = plan(path, "factors.workload.scale=[5, 10]")
    assert len(made.instances) == 1
    assert [image.prepare for image in made.images] == [{"scale": 5}, {"scale": 10}]
    assert [image.seed for image in made.images] == [42, 42]
    assert made.factors[0].scope == "prepare"
    assert scopes(made)["install"] == ("once", ())
    assert scopes(made)["image"] == ("level", ("workload.scale",))


def test_two_empty_labels_share_everything(path: Path) -> None:
    made = plan(path, "factors.side={a: {}, b: {}}")
    assert [treatment.levels for treatment in made.treatments] == [{"side": "a"}, {"side": "b"}]
    assert len(made.instances) == len(made.images) == 1
    assert made.factors[0].scope is None
    assert len(made.trials) == 8
    one, other = made.treatments
    assert (one.dbms, one.workload, one.image) == (other.dbms, other.workload, other.image)


def test_a_named_factor_costs_what_its_dearest_value_costs(path: Path) -> None:
    made = plan(path, "factors.x={a: {workload.clients: 1}, b: {workload.scale: 2, dbms.settings.jit: on}}")
    assert made.factors[0].scope == "prepare"


def test_levels_with_the_same_installation_share_it(path: Path) -> None:
    made = plan(path, "factors.b={x: {dbms.initdb: [-k]}, y: {dbms.initdb: [-k]}, z: {}}")
    assert len(made.instances) == len(made.images) == 2
    assert made.treatments[0].image == made.treatments[1].image != made.treatments[2].image


def test_scopes_of_a_role_of_one_s_own(path: Path, tmp_path: Path) -> None:
    meta = tmp_path / "roles" / "postgresql" / "meta" / "bench.yml"
    meta.parent.mkdir(parents=True)
    meta.write_text(
        "name: postgresql\nkind: dbms\ndoc: one where settings are compiled in\nsettings: install\noptions:\n"
        "  version: {type: version, scope: install, doc: which}\n"
        "  page: {type: size, scope: prepare, default: 8kB, doc: of the data files}\n"
        "  fast: {type: boolean, scope: start, default: true, doc: at each start}\n",
        encoding="utf-8",
    )
    made = plan(path, "factors.dbms.fast=[true, false]", "factors.dbms.settings.work_mem=[4MB, 8MB]")
    assert [instance.options for instance in made.instances] == [
        {"page": 8192, "settings": {"shared_buffers": "1GB", "work_mem": value}} for value in ("4MB", "8MB")
    ]
    assert [factor.scope for factor in made.factors] == ["start", "install"]
    made = plan(path, "factors.dbms.page=[8kB, 32kB]")
    assert [instance.options["page"] for instance in made.instances] == [8192, 32768]
    assert made.factors[0].scope == "prepare"
    assert scopes(made)["install"] == ("level", ("dbms.page",))


def test_without_a_dbms(tmp_path: Path) -> None:
    file = tmp_path / "x.yml"
    file.write_text(
        "name: x\nworkload: {role: command, run: bench, parse: {role: json}, duration: 2s}\n"
        "metrics: [{name: seconds, better: lower}]\nfactors: {workload.run: [bench -a, bench -b]}\n",
        encoding="utf-8",
    )
    made = make(load(file))
    assert (made.instances, made.images) == ((), ())
    assert [treatment.workload.options["run"] for treatment in made.treatments] == ["bench -a", "bench -b"]
    assert list(scopes(made)) == ["install-loader", "load"]
    assert made.expected_seconds == pytest.approx(INSTALL_SECONDS + 20 * (2 + FETCH_SECONDS))


def test_expected_seconds_count_each_trial_s_own_window(path: Path) -> None:
    made = plan(path, "factors.workload.duration=[5s, 60s]")
    windows = 4 * (1 + 5) + 4 * (1 + 60)
    each = RESET_SECONDS + SERVER_SECONDS + FETCH_SECONDS
    expected = 2 * INSTALL_SECONDS + IMAGE_SECONDS + windows + 8 * each
    assert made.expected_seconds == pytest.approx(expected)
    told = with_costs(made, {made.images[0].id: DataCost(prepare=60.0, reset=12.0, run="r1")})
    more = 60.0 - IMAGE_SECONDS + 8 * (12.0 - RESET_SECONDS)
    assert told.expected_seconds == pytest.approx(expected + more)
    assert with_costs(made, {}) == made


def test_detectable_effects_grow_with_noise_and_shrink_with_blocks(path: Path) -> None:
    factor = "factors.workload.clients=[1, 2]"
    few, many = plan(path, factor).detectable, plan(path, factor, "design.blocks=20").detectable
    assert [found.cv for found in few] == [0.01, 0.03, 0.05]
    assert sorted(found.effect for found in few) == [found.effect for found in few]
    assert all(more.effect < less.effect for more, less in zip(many, few, strict=True))
    assert [found.cv for found in make(load(path, sets=[factor]), cvs=[0.07]).detectable] == [0.07]
    assert plan(path, factor, "design.blocks=1").detectable == ()


@pytest.mark.parametrize(
    ("option", "same"),
    [
        ("name=other", True),
        ("limits.trial=1h", True),
        ("design.on_failure=stop", True),
        ("design.seed=1", False),
        ("design.blocks=5", False),
        ("workload.clients=5", False),
        ("dbms.settings.work_mem=2MB", False),
        ("factors.workload.clients=[1, 2]", False),
        ("tuning.profile=peak", False),
        ("tuning.reboot=true", True),
    ],
)
def test_design_hash_covers_what_shapes_the_trials(path: Path, option: str, *, same: bool) -> None:
    assert (plan(path).design_hash == plan(path, option).design_hash) is same


def test_the_plan_keeps_what_a_run_needs_to_be_repeated(path: Path) -> None:
    script = path.with_name("a.sql")
    script.write_text("SELECT 1;", encoding="utf-8")
    made = plan(path, f"workload.script={script}")
    assert made.sets == ("design.blocks=4", f"workload.script={script}")
    assert made.files == {str(script): hashlib.sha256(b"SELECT 1;").hexdigest()}


def test_design_hash_follows_a_script_s_content_and_not_its_place(path: Path, tmp_path: Path) -> None:
    script = path.with_name("a.sql")
    script.write_text("SELECT 1;", encoding="utf-8")
    before = plan(path, f"workload.script={script}").design_hash
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    script.rename(moved / "a.sql")
    path.rename(moved / "mine.yml")
    script = moved / "a.sql"
    assert plan(moved / "mine.yml", f"workload.script={script}").design_hash == before
    script.write_text("SELECT 2;", encoding="utf-8")
    assert plan(moved / "mine.yml", f"workload.script={script}").design_hash != before
