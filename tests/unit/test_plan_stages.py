"""Stages in the plan: how often each runs, and what templates give."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchctl.errors import SpecError, TaskError
from benchctl.model.host import Host, Inventory
from benchctl.model.plan import PlannedTrial, Stage
from benchctl.plan import make
from benchctl.plan.make import INSTALL_SECONDS
from benchctl.plan.pilot import make_pilot
from benchctl.plan.templates import Names, render, render_words
from benchctl.report.plan import render as render_plan
from benchctl.spec.load import Spec, parse
from benchctl.spec.templates import Known, analyse

HERE = Path(__file__)
HEAD = """
name: case
factors: {clients: [1, 8], mode: {"off": {}, "on": {}}, other: [x, y]}
design: {blocks: 2}
metrics: [{name: seconds, better: lower}]
stages:
"""
LOAD = "- {name: load, group: app, measure: {warmup: 1s, duration: 2500ms}, tasks: [{run: load}]}\n"


def spec(*stages: str, pipeline: str = "") -> Spec:
    return parse(HEAD + "".join(f"{line}\n" for line in stages) + LOAD + pipeline, HERE)


def stages(*lines: str, pipeline: str = "") -> dict[str, Stage]:
    return {stage.name: stage for stage in make(spec(*lines, pipeline=pipeline)).stages}


def stage(name: str, run: str, **keys: str) -> str:
    more = "".join(f", {key}: {value}" for key, value in keys.items())
    return f'- {{name: {name}, group: app, tasks: [{{run: "{run}"}}]{more}}}'


def test_a_stage_that_names_no_level_runs_once() -> None:
    found = stages(stage("build", "make {{ host.name }} {{ warmup }}"))
    assert (found["build"].scope, found["build"].depends) == ("once", ())
    assert (found["load"].scope, found["load"].measured, found["load"].row) == ("trial", True, 1)


def test_a_stage_depends_on_the_levels_it_names_and_on_all_that_earlier_rows_depend_on() -> None:
    found = stages(
        stage("one", "a {{ levels.mode }}"), stage("two", "b"), stage("three", "c {{ levels['clients'] }}")
    )
    assert [(s.scope, s.depends) for s in found.values()] == [
        ("level", ("mode",)),
        ("level", ("mode",)),
        ("level", ("clients", "mode")),
        ("trial", ("clients", "mode")),
    ]


def test_stages_of_one_row_do_not_depend_on_each_other() -> None:
    found = stages(
        stage("one", "a {{ levels.mode }}"), stage("two", "b"), pipeline="pipeline: [[one, two], [load]]"
    )
    assert (found["two"].scope, found["two"].row) == ("once", 0)
    assert found["load"].depends == ("mode",)


def test_what_names_the_trial_runs_in_each_and_so_does_all_after_it() -> None:
    found = stages(stage("fresh", "a {{ trial.seed }}"), stage("next", "b"))
    assert {s.scope for s in found.values()} == {"trial"}


def test_all_levels_count_when_it_is_not_said_which() -> None:
    assert stages(stage("one", "a {{ levels | length }}"))["one"].depends == ("clients", "mode", "other")


def test_a_stage_may_run_more_often_than_it_must() -> None:
    found = stages(stage("one", "a", scope="level"), stage("two", "b", scope="trial"))
    assert found["one"].scope == "level"
    assert found["one"].depends == ("clients", "mode", "other")
    assert found["two"].scope == "trial"


def test_a_stage_may_not_run_less_often() -> None:
    with pytest.raises(SpecError, match="must run with scope level, for mode; allowed: level or trial"):
        spec(stage("one", "a {{ levels.mode }}", scope="once"))


def test_after_the_measured_stage_all_runs_in_each_trial() -> None:
    pipeline = "pipeline: [[load], [after]]"
    assert stages(stage("after", "a"), pipeline=pipeline)["after"].scope == "trial"


def test_a_run_in_shell_is_one_text_with_environment_rendered() -> None:
    task = "{shell: true, run: 'a | b', env: {X: '{{ levels.mode }}', Y: 1.10}}"
    line = f"- {{name: s, group: app, tasks: [{task}]}}"
    found = stages(line)["s"]
    assert found.spec is not None
    assert found.spec.tasks[0].run == ("a | b",)
    assert found.spec.tasks[0].env == {"X": "{{ levels.mode }}", "Y": "1.10"}
    assert found.depends == ("mode",)


def test_treatments_see_the_measured_stage_as_a_workload() -> None:
    plan = make(spec())
    assert len(plan.treatments) == 8
    workload = plan.treatments[0].workload
    assert (workload.role, workload.warmup, workload.duration) == ("command", 1.0, 2.5)
    assert plan.experiment.workload is None
    assert (plan.instances, plan.images) == ((), ())


def test_the_design_hash_knows_stages() -> None:
    assert make(spec(stage("one", "a"))).design_hash != make(spec(stage("one", "b"))).design_hash
    one = make(spec(stage("one", "a"), pipeline="pipeline: [[one], [load]]"))
    assert make(spec(stage("one", "a"))).design_hash == one.design_hash


def test_a_pilot_keeps_the_baseline_levels() -> None:
    plan = make_pilot(spec(stage("one", "a {{ levels.mode }}")), "stages.yml")
    assert [t.levels for t in plan.treatments] == [
        {"clients": "1", "mode": "off", "other": "x", "pilot": label} for label in ("first", "second")
    ]
    assert plan.experiment.workload is None


def test_the_plan_shows_rows() -> None:
    shown = render_plan(
        make(spec(stage("a", "x {{ levels.mode }}"), stage("b", "y"), pipeline="pipeline: [[a, b], [load]]")),
        "terminal",
        width=100,
    )
    rows = [line.split()[:3] for line in shown.partition("Stages, by row")[2].splitlines()[4:7]]
    assert rows == [["1", "a", "app"], ["1", "b", "app"], ["2", "load", "app"]]
    assert "runs a again" in shown
    assert "nothing: its levels set nothing" in shown


def test_what_stages_install_is_made_once_and_takes_its_time() -> None:
    plan = make(
        spec(
            '- {name: one, group: app, install: {role: redis, version: "7"}}',
            "- {name: two, group: app, install: {role: redis_benchmark}}",
            stage("server", "{{ roles.redis.bin }}/redis-server"),
            pipeline="pipeline: [[one, two], [server], [load]]\n",
        )
    )
    (instance,) = plan.instances
    assert instance.id.startswith("redis-")
    assert (instance.role, instance.group) == ("redis", "app")
    assert instance.options == {"product": "redis", "version": "7", "source": "package"}
    assert plan.treatments[0].instance is None
    assert {s.name: (s.scope, s.row) for s in plan.stages[:2]} == {"one": ("once", 0), "two": ("once", 0)}
    assert plan.expected_seconds - make(spec(stage("server", "x"))).expected_seconds == 2 * INSTALL_SECONDS


def test_a_role_that_there_is_not_is_named_with_its_place() -> None:
    with pytest.raises(SpecError, match=r":7:43: stages\.0\.install\.role: found no role 'redos'.*'redis'"):
        spec("- {name: one, group: app, install: {role: redos}}")


def test_a_load_that_a_role_reads_is_a_load_of_that_role() -> None:
    text = """
- {name: loader, group: app, install: {role: redis_benchmark}}
- {name: run, group: app, measure: {duration: 5s}, tasks: [{run: x, parse: {role: redis_benchmark}}]}
"""
    found = parse(HEAD.replace("seconds", "latency_p99") + text, HERE)
    workload = make(found).treatments[0].workload
    assert (workload.role, workload.duration, workload.options) == ("redis_benchmark", 5.0, {"window": True})


def ssh(name: str, address: str, **options: str) -> Host:
    return Host(name=name, transport="ssh", options={"address": address, **options})


HOSTS = Inventory(
    groups={
        "db": (ssh("d1", "192.0.2.1", private_address="10.0.0.1"),),
        "items": (ssh("a7", "192.0.2.7"), ssh("a8", "192.0.2.8")),
    }
)


def names() -> dict[str, object]:
    trial = PlannedTrial(ordinal=3, block=2, position=1, treatment="t01", seed=99)
    levels = {"clients": "8", "a.b": "; rm -rf /\n", "long": "x" * 40_000, "nul": "\x00"}
    return Names(spec().experiment, HOSTS).at(
        "items",
        HOSTS.groups["items"][1],
        levels=levels,
        trial=trial,
        work="/w",
        files="/w/f",
        roles={"redis": "/usr/bin"},
    )


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("{{ groups.db[0].address }}:{{ groups.db[0].name }}", "10.0.0.1:d1"),
        ("{{ groups.items[-1].name }}", "a8"),
        ("{% for h in groups.items %}{{ h.address }},{% endfor %}", "192.0.2.7,192.0.2.8,"),
        ("{{ host.name }} {{ host.address }} {{ host.index }}", "a8 192.0.2.8 1"),
        ("{{ levels.clients | int * 2 }}", "16"),
        ("{{ levels['a.b'] }}", "; rm -rf /\n"),
        ("{{ trial.ordinal }}-{{ trial.seed }}-{{ trial.block }}", "3-99-2"),
        ("{{ work }} {{ files }} {{ warmup }} {{ duration }} {{ warmup + duration }}", "/w /w/f 1 2.5 3.5"),
        ("{{ roles.redis.bin }}/redis-server", "/usr/bin/redis-server"),
        ("{x} ${Y} é", "{x} ${Y} é"),
    ],
)
def test_render(text: str, rendered: str) -> None:
    assert render(text, names(), "stages.0") == rendered


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ levels.nothing }}", "stages.0: .*nothing"),
        ("{{ groups.db }}", "gives list, and not one value"),
        ("{{ groups.db[7].name }}", "no element 7"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ levels.nul }}", "gives the character NUL"),
        ("{{ levels.long }}{{ levels.long }}", "gives 80000 characters"),
        ("{{ host.__class__.__mro__ }}", "__class__"),
        ("{{ ''.__class__.__mro__ }}", "unsafe|undefined"),
        ("{{ levels.clear() }}", "clear"),
    ],
)
def test_what_cannot_be_rendered(text: str, said: str) -> None:
    with pytest.raises(TaskError, match=said):
        render(text, names(), "stages.0")


def test_a_rendered_word_stays_one_word() -> None:
    assert render_words(("a", "{{ levels['a.b'] }}"), names(), "x") == ["a", "; rm -rf /\n"]


def test_nothing_is_computed_when_a_template_is_looked_at() -> None:
    assert analyse("{{ 'x' * 10 ** 12 }}", Known({}, ())).flaws == ()
