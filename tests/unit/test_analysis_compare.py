"""Two sides against each other: what a side means, what may be compared, and what comes out."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from benchctl.analysis.across import FEW_RUNS, OTHER_HOST, SINGLE, compare_sides, slower
from benchctl.analysis.key import key, mismatches
from benchctl.analysis.sides import SideText, make_side, parse_side
from benchctl.errors import UsageError
from benchctl.model.measurement import Quantity
from benchctl.results.places import places
from benchctl.statistics import intervals
from tests import builders
from tests.recorded import record_view

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchctl.analysis.across import Outcome
    from benchctl.results.view import RunView

FACTOR = builders.FACTOR
CLOSE = [100.0, 101.0, 99.0, 100.5]


def across(baseline: Sequence[RunView], contender: Sequence[RunView], *, single_run: bool = False) -> Outcome:
    levels = (("fsync", "on"),)
    return compare_sides(make_side(baseline, levels), make_side(contender, levels), single_run=single_run)


def scaled(factor: float, *, turned: int = 0) -> dict[str, list[float]]:
    values = [factor * value for value in CLOSE[turned:] + CLOSE[:turned]]
    return {"on": values, "off": values}


@pytest.mark.parametrize(
    ("text", "runs", "levels"),
    [
        ("latest", ("latest",), ()),
        ("a+b", ("a", "b"), ()),
        ("a+b:f=1", ("a", "b"), (("f", "1"),)),
        ("a:dbms.settings.x=64MB,clients=8", ("a",), (("dbms.settings.x", "64MB"), ("clients", "8"))),
        ("a:f=one,two", ("a",), (("f", "one,two"),)),
        ("a:f=x:y", ("a",), (("f", "x:y"),)),
        ("a:f=", ("a",), (("f", ""),)),
        ("/srv/odd:place/run:f=1", ("/srv/odd:place/run",), (("f", "1"),)),
        ("/srv/a=b:c/run", ("/srv/a=b:c/run",), ()),
        ("a:", ("a:",), ()),
        ("", ("",), ()),
    ],
)
def test_a_side_is_split_where_levels_begin(
    text: str, runs: tuple[str, ...], levels: tuple[tuple[str, str], ...]
) -> None:
    assert parse_side(text) == SideText(runs, levels)


def test_a_path_that_is_a_run_is_not_split() -> None:
    assert parse_side("/srv/c++:x=1", one_run=True) == SideText(("/srv/c++:x=1",), ())


def test_inside_a_run_the_blocks_pair(tmp_path: Path) -> None:
    run = record_view(tmp_path, "a", {"on": [100, 110, 90], "off": [120, 131, 109]})
    outcome = compare_sides(make_side([run], [("fsync", "on")]), make_side([run], [(FACTOR, "off")]))
    (found,) = outcome.comparisons
    assert outcome.unit == "blocks"
    assert (found.baseline, found.contender, found.n, found.paired) == ("on", "off", 3, True)
    assert found == run.summary.comparisons[0]
    assert not slower(outcome)


def test_swapped_sides_make_a_regression(tmp_path: Path) -> None:
    run = record_view(tmp_path, "a", {"on": [100, 110, 90], "off": [120, 131, 109]})
    outcome = compare_sides(make_side([run], [("fsync", "off")]), make_side([run], [("fsync", "on")]))
    assert [c.verdict for c in slower(outcome)] == ["slower"]
    assert outcome.comparisons[0].effect == pytest.approx(1 / (1 + run.summary.comparisons[0].effect) - 1)  # type: ignore[operator]


def test_across_runs_the_means_of_runs_are_the_values(tmp_path: Path) -> None:
    baseline = [record_view(tmp_path, f"a{i}", scaled(f, turned=i)) for i, f in enumerate((1.0, 1.01, 0.99))]
    contender = [record_view(tmp_path, f"b{i}", scaled(f)) for i, f in enumerate((0.9, 0.91, 0.89))]
    outcome = across(baseline, contender)
    (found,) = outcome.comparisons
    means = [math.exp(math.fsum(map(math.log, CLOSE)) / 4) * f for f in (1.0, 1.01, 0.99)]
    peer = intervals.unpaired(
        means, [m * f for m, f in zip(means, (0.9, 0.91 / 1.01, 0.89 / 0.99), strict=True)]
    )
    assert (found.n, found.paired, outcome.unit) == (3, False, "runs")
    assert found.p == pytest.approx(peer.p, rel=1e-6)
    assert (found.low, found.high) == pytest.approx((peer.low, peer.high), rel=1e-6)
    assert found.verdict == "slower"
    assert slower(outcome) == (found,)


def test_one_run_a_side_gives_no_verdict_unless_told(tmp_path: Path) -> None:
    sides = ([record_view(tmp_path, "a", scaled(1.0))], [record_view(tmp_path, "b", scaled(0.5))])
    outcome = across(*sides)
    (found,) = outcome.comparisons
    assert outcome.few
    assert (found.verdict, found.low, found.p) == ("inconclusive", None, None)
    assert found.effect == pytest.approx(-0.5)
    assert FEW_RUNS in found.reasons
    told = across(*sides, single_run=True)
    assert not told.few
    assert told.unit == "trials"
    assert told.comparisons[0].verdict == "slower"
    assert told.comparisons[0].n == 4
    assert SINGLE in told.comparisons[0].reasons


def test_equal_runs_are_equivalent(tmp_path: Path) -> None:
    sides = [[record_view(tmp_path, f"{s}{i}", scaled(1 + i / 1000)) for i in range(3)] for s in "ab"]
    assert [c.verdict for c in across(*sides).comparisons] == ["equivalent"]


def test_open_factors_are_compared_level_by_level(tmp_path: Path) -> None:
    runs = [record_view(tmp_path, name, scaled(1.0)) for name in "ab"]
    outcome = compare_sides(make_side(runs[:1], ()), make_side(runs[1:], ()))
    assert [c.at for c in outcome.comparisons] == [{FACTOR: "on"}, {FACTOR: "off"}]


def test_invalid_trials_leave_and_too_few_are_told(tmp_path: Path) -> None:
    runs = [record_view(tmp_path, "a", scaled(1.0)), record_view(tmp_path, "b", scaled(1.0), invalid=[1])]
    outcome = across(runs[:1], runs[1:], single_run=True)
    assert outcome.comparisons[0].n == 3
    assert outcome.short == ("b: 3 of 4",)


def test_a_side_without_valid_trials_is_inconclusive(tmp_path: Path) -> None:
    runs = [
        record_view(tmp_path, "a", scaled(1.0)),
        record_view(tmp_path, "b", scaled(1.0), invalid=[1, 3, 5, 7]),
    ]
    (found,) = across(runs[:1], runs[1:]).comparisons
    assert (found.verdict, found.effect, found.n) == ("inconclusive", None, 0)


@pytest.mark.parametrize(
    "facts", [{"kernel.release": "6.9.0"}, {"cpu.model": "Other"}, {"memory.total": 2**33}]
)
def test_another_machine_is_not_comparable(tmp_path: Path, facts: dict[str, object]) -> None:
    runs = [record_view(tmp_path, "a", scaled(1.0)), record_view(tmp_path, "b", scaled(1.0), facts=facts)]
    outcome = across(runs[:1], runs[1:])
    assert [d.what for d in outcome.mismatches] == [f"host.{name}" for name in facts]
    assert outcome.comparisons[0].validity == "suspect"
    assert key(runs[0]) != key(runs[1])


def test_versions_settings_and_knobs_are_listed_and_forbid_nothing(tmp_path: Path) -> None:
    paths = {"data_directory": "/srv/a"}
    runs = [
        record_view(tmp_path, "a", scaled(1.0), settings={"work_mem": "4MB", **paths}),
        record_view(
            tmp_path, "b", scaled(1.0), version="19.0", settings={"work_mem": "8MB", "data_directory": "/b"},
            facts={"sysctl.vm.swappiness": "1", "memory.total": 2**34 - 4096},
        ),
    ]  # fmt: skip
    outcome = across(runs[:1], runs[1:])
    assert outcome.mismatches == ()
    assert key(runs[0]) == key(runs[1])
    assert set(outcome.differences) == {
        ("sysctl.vm.swappiness", "60", "1"),
        ("server version", "18.6", "19.0"),
        ("setting work_mem", "4MB", "8MB"),
    }


def test_the_load_belongs_to_the_key_unless_a_factor_varies_it(tmp_path: Path) -> None:
    longer = builders.plan(blocks=4)
    assert longer.experiment.workload is not None
    workload = replace(longer.experiment.workload, duration=9.0)
    longer = replace(longer, experiment=replace(longer.experiment, workload=workload))
    runs = [
        record_view(tmp_path, "a", scaled(1.0)),
        record_view(tmp_path, "b", scaled(1.0), plan=longer),
    ]
    assert [tuple(d) for d in mismatches(*runs)] == [("workload.duration", "1 s", "9 s")]
    factor = longer.experiment.factors[0]
    level = replace(factor.levels[0], sets={"workload.duration": 9.0})
    varied = replace(longer.experiment, factors=(replace(factor, levels=(level,)),))
    third = runs[1]._replace(plan=replace(longer, experiment=varied))
    assert mismatches(runs[0], third) == ()


def test_runs_of_one_side_must_measure_the_same(tmp_path: Path) -> None:
    runs = [record_view(tmp_path, name, scaled(1.0), version=v) for name, v in zip("abc", "119", strict=True)]
    assert across(runs[:1], runs[1:2]).mismatches == ()
    (found,) = across(runs[:1], runs[1:]).mismatches
    assert found.what.startswith("server version (inside b+c")


def test_what_cannot_be_compared_is_said_with_a_remedy(tmp_path: Path) -> None:
    run, other = (record_view(tmp_path, name, scaled(1.0)) for name in "ab")
    cases = [
        (([run], ()), ([run], ()), "both sides are the same"),
        (([run], [("fsync", "on")]), ([run], ()), "fsync is open"),
        (([run], ()), ([other], [("fsync", "on")]), "fsync is open"),
        (([run, other], ()), ([other], ()), "stands on both sides"),
        (([run, run], ()), ([other], ()), "stands twice"),
    ]
    for baseline, contender, said in cases:
        with pytest.raises(UsageError, match=said) as error:
            compare_sides(make_side(*baseline), make_side(*contender))
        assert error.value.remedy
    for levels, said in (([("nope", "1")], "is no factor"), ([("fsync", "1")], "is no level")):
        with pytest.raises(UsageError, match=said):
            make_side([run], levels)


def test_a_script_counts_by_its_content(tmp_path: Path) -> None:
    runs = []
    for name, content in (("a", "1"), ("b", "2"), ("c", "2")):
        plan = builders.plan(blocks=4)
        script = f"/srv/{name}/load.sql"
        assert plan.experiment.workload is not None
        workload = replace(plan.experiment.workload, options={"script": script})
        plan = replace(
            plan, experiment=replace(plan.experiment, workload=workload), files={script: content * 64}
        )
        runs.append(record_view(tmp_path, name, scaled(1.0), plan=plan))
    assert [d.what for d in mismatches(runs[0], runs[1])] == ["workload.script"]
    assert mismatches(runs[1], runs[2]) == ()


def test_what_open_factors_set_is_no_difference(tmp_path: Path) -> None:
    """The first trial of the second run stands at another level, as another seed may have it."""
    run, other = (record_view(tmp_path, name, scaled(1.0)) for name in "ab")
    views = []
    for view, order in ((run, 1), (other, -1)):
        trials = tuple(
            replace(t, server=replace(t.server, settings={"fsync": t.levels[FACTOR], "work_mem": "4MB"}))
            for t in view.trials
            if t.server is not None
        )
        views.append(view._replace(trials=trials[::order]))
    swapped = {"t01": "t02", "t02": "t01"}  # the levels of the second run stand the other way round
    plan = replace(other.plan, treatments=tuple(replace(t, id=swapped[t.id]) for t in other.plan.treatments))
    trials = tuple(replace(t, treatment=swapped[t.treatment]) for t in views[1].trials)
    views[1] = views[1]._replace(plan=plan, trials=trials)
    assert compare_sides(make_side(views[:1], ()), make_side(views[1:], ())).differences == ()
    found = compare_sides(make_side(views[:1], [("fsync", "on")]), make_side(views[1:], [("fsync", "off")]))
    assert [d.what for d in found.differences] == [f"level of {FACTOR}", "setting fsync"]


@pytest.mark.parametrize(("grade", "validity"), [("D", "suspect"), ("B", "ok")])
def test_another_host_is_a_doubt_where_neighbours_are_loud(tmp_path: Path, grade: str, validity: str) -> None:
    virtual = grade == "D"
    runs = [
        record_view(tmp_path, name, scaled(1.0), facts={"virtual.hypervisor": virtual, "host.name": name})
        for name in "ab"
    ]
    outcome = across(runs[:1], runs[1:])
    assert outcome.mismatches == ()
    assert [c.validity for c in outcome.comparisons] == [validity]
    assert (OTHER_HOST in outcome.comparisons[0].reasons) == virtual


def test_only_the_primary_metric_makes_a_regression(tmp_path: Path) -> None:
    run = record_view(tmp_path, "a", {"on": CLOSE, "off": CLOSE})
    primary = run.plan.experiment.metrics[0]
    second = replace(primary, name="latency_p99", better="lower")
    plan = replace(run.plan, experiment=replace(run.plan.experiment, metrics=(primary, second)))
    trials = tuple(
        replace(
            t,
            result=replace(
                t.result,
                metrics={
                    **t.result.metrics,
                    "latency_p99": Quantity(value=t.block + 100 * (t.treatment == "t02"), unit="ms"),
                },
            ),
        )
        for t in run.trials
    )
    run = run._replace(plan=plan, trials=trials)
    outcome = compare_sides(make_side([run], [("fsync", "on")]), make_side([run], [("fsync", "off")]))
    assert [c.verdict for c in outcome.comparisons] == ["equivalent", "slower"]
    assert slower(outcome) == ()


def test_a_copy_of_a_run_is_that_run(tmp_path: Path) -> None:
    run = record_view(tmp_path, "a", scaled(1.0))
    copy = run._replace(path=tmp_path / "elsewhere" / "a")
    with pytest.raises(UsageError, match="same trials"):
        compare_sides(make_side([run], ()), make_side([copy], ()))


@pytest.mark.parametrize(("runs", "least"), [(3, 0.02), (5, 0.03), (10, 0.03)])
def test_run_means_keep_false_alarms_at_five_percent_where_trials_do_not(runs: int, least: float) -> None:
    """A/A over 2,000 experiments: runs differ by 2 %, their 6 trials by 1 %; Welch is strict at n = 3."""
    source = random.Random(20_261_121 + runs)
    alarms = {"runs": 0, "trials": 0}
    repeats = 2000
    for _ in range(repeats):
        sides = [
            [[math.exp(source.gauss(0, 0.01) + shift) for _ in range(6)] for shift in shifts]
            for shifts in ([source.gauss(0, 0.02) for _ in range(runs)] for _ in range(2))
        ]
        means = [[math.exp(math.fsum(map(math.log, run)) / 6) for run in side] for side in sides]
        pooled = [[value for run in side for value in run] for side in sides]
        alarms["runs"] += intervals.unpaired(*means).p < 0.05
        alarms["trials"] += intervals.unpaired(*pooled).p < 0.05
    assert least <= alarms["runs"] / repeats <= 0.06, alarms
    assert alarms["trials"] / repeats > 0.3, alarms


def on_hosts(tmp_path: Path, run: str, **kernels: str) -> RunView:
    """A run with a DBMS and load generators on hosts of these names and kernels."""
    view = record_view(tmp_path, run, scaled(1.0))
    facts = view.fingerprints["localhost"]
    names = tuple(kernels)
    return view._replace(
        fingerprints={n: {**facts, "host.name": n, "kernel.release": k} for n, k in kernels.items()},
        groups=(("dbms", names[:1]), ("loader", names[1:])),
    )


def test_hosts_stand_in_for_each_other_inside_their_group(tmp_path: Path) -> None:
    one = on_hosts(tmp_path, "a", db="6.1", l1="6.8", l2="6.9")
    two = on_hosts(tmp_path, "b", n7="6.1", n9="6.9", n8="6.8")
    assert mismatches(one, two) == ()
    assert key(one) == key(two)
    swapped = on_hosts(tmp_path, "c", db="6.8", l1="6.1", l2="6.9")
    assert key(one) != key(swapped)


def test_a_mismatch_names_the_hosts(tmp_path: Path) -> None:
    one = on_hosts(tmp_path, "a", db="6.1", l1="6.8", l2="6.8")
    two = on_hosts(tmp_path, "b", n7="6.1", n9="6.9", n8="6.8")
    assert mismatches(one, two) == (("loader[1].kernel.release", "6.8 (l2)", "6.9 (n9)"),)


def test_another_number_of_hosts_is_not_comparable(tmp_path: Path) -> None:
    one, two = (
        on_hosts(tmp_path, "a", db="6.1", l1="6.8"),
        on_hosts(tmp_path, "b", db="6.1", l1="6.8", l2="6.8"),
    )
    assert {d.what.partition(".")[0] for d in mismatches(one, two)} == {"loader[1]"}


def test_places_follow_groups() -> None:
    groups = {"dbms": ("a",), "loader": ("a", "b", "c")}
    assert places(groups, ["a", "b", "c"]) == {"dbms+loader[0]": "a", "loader[0]": "b", "loader[1]": "c"}
    assert places(groups, ["b"]) == {"host": "b"}
    assert places({}, ["x", "y"]) == {"host[0]": "x", "host[1]": "y"}
    assert places(groups, []) == {}
