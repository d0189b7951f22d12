"""What every shipped role must have; read from its files, nothing is run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

import pytest

from benchctl.agent.knobs import KNOBS
from benchctl.agent.profiles import PROFILES
from benchctl.spec import read_role
from benchctl.spec.share import roles_in, shared
from benchctl.testing.role_contract import RoleContract, load, options, specs

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.model.role import RoleMeta

ROLES = shared("roles")
ROLE_NAMES = sorted(path.name for path in ROLES.iterdir() if path.is_dir())
BENCH_ROLES = roles_in((ROLES,))
TUNING_ROLES = [role for role in BENCH_ROLES if role.startswith("tune_")]


def meta(role: str) -> RoleMeta:
    return read_role(role, (ROLES,))


class TestEveryShippedRole(RoleContract):
    without_scenarios: ClassVar = {
        "bench_common": "no role for users: every scenario of the others includes it",
        "benchbase": "needs Java 23 and BenchBase, which test hosts cannot have",
    }
    versions_asked_by = "tests/ansible/test_catalogue.py"

    @pytest.fixture(params=ROLE_NAMES)
    def role(self, request: pytest.FixtureRequest) -> Path:
        return ROLES / str(request.param)


@pytest.mark.parametrize("role", [role for role in BENCH_ROLES if "version" in meta(role).options])
def test_the_versions_of_a_package_are_those_that_distributions_have(role: str) -> None:
    known = meta(role).options["version"].known.get("source", {}).get("package", ())
    files = (ROLES / role / "vars").glob("*-*.yml")
    wanted = load(ROLES / role / "vars" / "main.yml").get(f"__{role}_wanted", {})
    packaged = {one["version"] for one in wanted.get("distributions", {}).values()}
    assert {load(path)[f"__{role}_distribution"]["major"] for path in files} | packaged <= set(known)


def test_each_area_that_has_something_to_set_has_one_role() -> None:
    areas = [meta(role).area for role in TUNING_ROLES if meta(role).area]
    assert sorted(areas) == sorted({knob.area for knob in KNOBS.values() if knob.acts})
    assert {meta(role).kind for role in TUNING_ROLES} == {"tuning"}
    for role in TUNING_ROLES:
        assert meta(role).area in {"", role.removeprefix("tune_")}


@pytest.mark.parametrize("role", TUNING_ROLES)
def test_a_tuning_role_holds_no_knob_and_no_value_of_one(role: str) -> None:
    """The rows are the one place of them; a role has its area."""
    for entry in specs(ROLES / role):
        (task,) = load(ROLES / role / "tasks" / f"{entry}.yml")
        assert task["ansible.builtin.include_role"]["tasks_from"] == "tuning"
        assert task["vars"]["bench_tuning_area"] == meta(role).area
    files = [*(ROLES / role).glob("tasks/*.yml"), ROLES / role / "defaults" / "main.yml"]
    texts = [path.read_text(encoding="utf-8") for path in files]
    assert [name for name in KNOBS for text in texts if re.search(rf"\b{name}\b", text)] == []


def test_profiles_that_a_role_offers_are_those_that_there_are() -> None:
    choices = [options(ROLES / role, "main")[f"{role}_profile"]["choices"] for role in TUNING_ROLES]
    assert [*choices, options(ROLES / "bench_common", "main")["bench_profile"]["choices"]] == [
        [*PROFILES]
    ] * (len(TUNING_ROLES) + 1)


def test_the_default_of_a_playbook_is_every_tuning_role_and_verify_is_the_last() -> None:
    (play,) = load(shared("playbooks") / "tune.yml")
    named = re.findall(r"'(tune_\w+)'", play["tasks"][0]["loop"])
    assert sorted(named) == TUNING_ROLES
    assert (named[0], named[-1]) == ("tune_quiet", "tune_verify")


def test_playbooks_hold_no_logic() -> None:
    for path in shared("playbooks").glob("*.yml"):
        for play in load(path):
            allowed = {
                "name",
                "hosts",
                "gather_facts",
                "strategy",
                "tasks",
                "ansible.builtin.import_playbook",
            }
            assert set(play) <= allowed, path
            for task in play.get("tasks", ()):
                assert "ansible.builtin.include_role" in task, path
