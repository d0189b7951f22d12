"""The plan as a table and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from benchctl.errors import UsageError
from benchctl.model.plan import Plan
from benchctl.model.tuning import GroupPlan
from benchctl.report.plan import render
from tests.unit.report_data import CASES, make_plan
from tests.unit.test_report_forms import CASE_FILES

if TYPE_CHECKING:
    from benchctl.model.experiment import Value


@pytest.mark.parametrize("case", sorted(path.stem for path in CASE_FILES.glob("*.plan")))
def test_a_plan_looks_as_recorded(case: str) -> None:
    shown = render(make_plan(CASES[case]), "terminal", width=80)
    assert shown == (CASE_FILES / f"{case}.plan").read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES)
def test_json_is_the_plan(case: str) -> None:
    plan = make_plan(CASES[case])
    assert msgspec.json.decode(render(plan, "json"), type=Plan) == plan


@pytest.mark.parametrize("case", CASES)
def test_every_trial_stands_in_the_grid(case: str) -> None:
    plan = make_plan(CASES[case])
    grid = render(plan, "terminal", width=200).partition("Order of treatments")[2]
    assert sum(word.startswith("t0") for word in grid.split()) == len(plan.trials)


def test_tuning_stands_by_profile_with_its_groups_and_values() -> None:
    own = GroupPlan(profile="mine.yml", values={"thp": "never", "ksm": "0"}, reboot=False, shared=True)
    peak = GroupPlan(profile="peak", values={"boost": "on"}, reboot=True, shared=False)
    tuning = {"dbms": own, "loader": peak, "spare": peak}
    plan = msgspec.structs.replace(make_plan(CASES["plain"]), tuning=tuning)
    shown = " ".join(render(plan, "terminal", width=200).partition("Tuning")[2].split())
    assert "dbms mine.yml; in a container also what it shares with its machine thp=never, ksm=0" in shown
    assert "loader, spare peak; with a reboot where one is needed boost=on" in shown
    assert "Tuning" not in render(make_plan(CASES["plain"]), "terminal")


def test_a_plan_shows_what_a_load_generator_s_installation_is_told() -> None:
    told: dict[str, Value] = {"source": "prefix", "prefix": "/opt/mine"}
    plan = msgspec.structs.replace(make_plan(CASES["plain"]), loaders={"pgbench": told})
    shown = " ".join(render(plan, "terminal", width=200).split())
    assert "load generator pgbench source=prefix, prefix=/opt/mine" in shown
    unsaid = msgspec.structs.replace(plan, loaders={"pgbench": {}})
    assert "load generator pgbench" not in " ".join(render(unsaid, "terminal", width=200).split())


def test_nothing_to_compare_is_said() -> None:
    plan = msgspec.structs.replace(make_plan(CASES["plain"]), detectable=())
    assert "Nothing is compared" in render(plan, "terminal")


def test_hostile_names_are_shown_as_text() -> None:
    assert "\x1b" not in render(make_plan(CASES["hostile"]), "terminal")


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(UsageError, match="use terminal or json"):
        render(make_plan(CASES["plain"]), "html")  # type: ignore[arg-type]
