"""What tuning means for a result: its grade, its comparability key, and what reports say of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from benchctl import gates
from benchctl.agent.profiles import PROFILES
from benchctl.analysis.key import key, mismatches
from benchctl.model.aws import AwsGroup, AwsHosts
from benchctl.model.azure import AzureGroup, AzureHosts
from benchctl.model.host import Host, Inventory
from benchctl.model.tuning import SHIPPED, HostTuning, KnobOutcome, Outcome
from benchctl.report import render
from tests import builders
from tests.recorded import record_view

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.model.experiment import Hosts
    from benchctl.results.view import RunView

METAL = {"virtual.hypervisor": False}
GUEST = {"virtual.hypervisor": True}
ALL = {"on": [100.0, 101.0, 99.0], "off": [120.0, 119.0, 121.0]}


def knob(name: str, outcome: Outcome, *, value: str = "1", why: str = "", here: bool = True) -> KnobOutcome:
    counts: dict[str, int] = {outcome: 2} if here else {}
    return KnobOutcome(knob=name, value=value, outcome=outcome, why=why, counts=counts, was={"0": 2})


APPLIED, ALREADY = knob("governor", "applied", value="performance"), knob("aslr", "already", value="2")
BLOCKED = knob("thp", "blocked", value="never", why="it is shared")
ABSENT = knob("ksm", "unsupported", value="0", why="this host has none", here=False)
LACKING = knob("epp", "unsupported", value="performance", why="it offers default")


def tuned(*knobs: KnobOutcome, profile: str = "repeatable") -> HostTuning:
    return HostTuning(profile=profile, shared=False, undo="restore", knobs=knobs)


def test_the_names_of_shipped_profiles_are_those_of_the_agent() -> None:
    assert tuple(PROFILES) == SHIPPED


@pytest.mark.parametrize(
    ("facts", "tuning", "grade"),
    [
        (METAL, None, "B"),
        (METAL, tuned(), "B"),
        (METAL, tuned(APPLIED, ALREADY), "A"),
        (METAL, tuned(APPLIED, ABSENT), "A"),
        (METAL, tuned(APPLIED, LACKING), "B"),
        (METAL, tuned(APPLIED, BLOCKED), "B"),
        (METAL, tuned(knob("thp", "failed")), "B"),
        (GUEST, tuned(APPLIED), "D"),
        ({**METAL, "virtual.container": "docker"}, tuned(APPLIED), "D"),
        (None, tuned(APPLIED), "D"),
    ],
)
def test_the_grade_follows_from_the_host_and_what_is_in_force(
    facts: dict[str, object] | None, tuning: HostTuning | None, grade: str
) -> None:
    inventory = Inventory(groups={"loader": (Host(name="h", transport="pipe"),)})
    tunings = {} if tuning is None else {"h": tuning}
    assert gates.context(inventory, {"h": facts} if facts else {}, None, tunings).grade == grade


AWS = AwsHosts(region="eu-central-1", groups={"loader": AwsGroup(tenancy="dedicated"), "dbms": AwsGroup()})

AZURE = AzureHosts(location="westeurope", groups={"loader": AzureGroup(), "dbms": AzureGroup()})


@pytest.mark.parametrize(
    ("hosts", "grades"),
    [
        (AWS, "CD"),
        (replace(AWS, tenancy="dedicated"), "CC"),
        (replace(AWS, groups={"loader": AwsGroup(), "dbms": AwsGroup()}), "DD"),
        (AZURE, "DD"),
        (replace(AZURE, dedicated_host="DSv5-Type1"), "CC"),
    ],
)
def test_a_virtual_machine_is_dedicated_where_the_plan_had_it_made_so(hosts: Hosts, grades: str) -> None:
    plan = builders.plan()
    plan = replace(plan, experiment=replace(plan.experiment, hosts=hosts))
    inventory = Inventory(groups={name: (Host(name=name, transport="ssh"),) for name in ("loader", "dbms")})
    found = gates.context(inventory, {"loader": GUEST, "dbms": GUEST}, plan)
    assert "".join(found.on(name).grade for name in ("loader", "dbms")) == grades


def views(tmp_path: Path, *tunings: HostTuning | None) -> list[RunView]:
    return [
        record_view(tmp_path, f"run-{number}", ALL, tuning=tuning) for number, tuning in enumerate(tunings)
    ]


def test_the_key_knows_values_and_what_is_not_in_force(tmp_path: Path) -> None:
    base = tuned(APPLIED, BLOCKED)
    same = tuned(replace(APPLIED, outcome="already"), BLOCKED, profile="of-another-name.yml")
    other = tuned(knob("governor", "applied", value="powersave"), replace(BLOCKED, outcome="applied"))
    one, two, three = views(tmp_path, base, same, other)
    assert key(one) == key(two)
    assert mismatches(one, two) == ()
    assert key(one) != key(three)
    assert set(mismatches(one, three)) == {
        ("grade", "B", "A"),
        ("host.knob governor", "performance", "powersave"),
        ("host.knob thp", "never (blocked)", "never"),
    }


def test_tuned_against_untuned_is_one_difference(tmp_path: Path) -> None:
    one, two = views(tmp_path, tuned(APPLIED, BLOCKED), None)
    assert key(one) != key(two)
    assert mismatches(one, two) == (("host.tuned", "yes", "no"),)


def test_reports_say_what_is_in_force_and_why_the_rest_is_not(tmp_path: Path) -> None:
    (view,) = views(tmp_path, tuned(APPLIED, ALREADY, BLOCKED, ABSENT, replace(ABSENT, knob="uncore")))
    summary = view.summary
    assert summary.grade == "B"
    (host,) = summary.tuning
    assert (host.host, host.grade, host.profile) == ("localhost", "B", "repeatable")
    assert host.counts == {"unsupported": 2, "applied": 1, "already": 1, "blocked": 1}
    assert [one.knob for one in host.missing] == ["thp", "ksm", "uncore"]
    told = "repeatable: 2 unsupported, 1 applied, 1 already, 1 blocked"
    terminal = render(view, "terminal", width=100)
    assert f"tuning  {told}" in terminal
    assert "it is shared" in terminal
    assert "ksm=0, uncore=0" in terminal
    for form in ("html", "markdown"):
        text = render(view, form)
        assert told in text
        assert "this host has none" in text
    shape = json.loads(render(view, "json"))
    assert [one["knob"] for one in shape["tuning"][0]["missing"]] == ["thp", "ksm", "uncore"]


def test_a_report_of_a_run_without_tuning_says_nothing_of_it(tmp_path: Path) -> None:
    (view,) = views(tmp_path, None)
    text = render(view, "terminal")
    assert "tuning" not in text
    assert "Knobs" not in text
    assert json.loads(render(view, "json"))["tuning"] == []


def test_all_that_was_wanted_is_said_when_it_is_so(tmp_path: Path) -> None:
    (view,) = views(tmp_path, tuned(APPLIED))
    text = " ".join(render(view, "terminal").split())
    assert "Every knob that was wanted is in force." in text
    assert "Knobs that are not in force" not in text
