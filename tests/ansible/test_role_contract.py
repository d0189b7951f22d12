"""What every shipped role must have; read from its files, nothing is run."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

from benchctl.agent.knobs import KNOBS
from benchctl.agent.profiles import PROFILES
from benchctl.spec import read_role
from benchctl.spec.share import roles_in, shared

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.model.role import RoleMeta

ROLES = shared("roles")
ENTRIES = {
    "dbms": {"main", "start", "ready", "reset", "stop", "verify", "uninstall"},
    "loader": {"main", "ping", "prepare", "run", "verify", "uninstall"},
    "tuning": {"main", "snapshot", "verify", "restore"},
}
ROLE_NAMES = sorted(path.name for path in ROLES.iterdir() if path.is_dir())
BENCH_ROLES = roles_in((ROLES,))
TUNING_ROLES = [role for role in BENCH_ROLES if role.startswith("tune_")]
MODULES = {path.stem for path in ROLES.glob("bench_common/library/*.py")}
TASK_FILES = sorted(ROLES.glob("*/tasks/*.yml"))


@cache
def load(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def specs(role: str) -> dict[str, Any]:
    found: dict[str, Any] = load(ROLES / role / "meta" / "argument_specs.yml")["argument_specs"]
    return found


def options(role: str, entry: str) -> dict[str, Any]:
    found: dict[str, Any] = specs(role)[entry]["options"]
    return found


def meta(role: str) -> RoleMeta:
    return read_role(role, (ROLES,))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROLES))


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_defaults_and_the_spec_of_main_have_the_same_keys_and_values(role: str) -> None:
    defaults = load(ROLES / role / "defaults" / "main.yml")
    main = options(role, "main")
    assert sorted(defaults) == sorted(main)
    computed = {"bench_cache"}  # its default depends on the host; the description says how
    assert {name: value for name, value in defaults.items() if name not in computed} == {
        name: option["default"] for name, option in main.items() if name not in computed
    }


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_every_entry_of_the_spec_is_a_file_and_every_option_is_typed(role: str) -> None:
    for entry, spec in specs(role).items():
        assert (ROLES / role / "tasks" / f"{entry}.yml").is_file(), entry
        assert spec["short_description"], entry
        for name, option in spec["options"].items():
            assert option.get("type"), f"{entry}.{name}"
            assert option.get("description"), f"{entry}.{name}"
            assert option["type"] != "list" or option.get("elements"), f"{entry}.{name}"


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_an_option_is_the_same_in_every_entry(role: str) -> None:
    main = options(role, "main")
    for entry in specs(role):
        for name, option in options(role, entry).items():
            if name in main:
                assert option["type"] == main[name]["type"], f"{entry}.{name}"
                assert option.get("default") == main[name].get("default"), f"{entry}.{name}"


@pytest.mark.parametrize("role", [role for role in BENCH_ROLES if "version" in meta(role).options])
def test_the_versions_of_a_package_are_those_that_distributions_have(role: str) -> None:
    known = meta(role).options["version"].known.get("source", {}).get("package", ())
    files = (ROLES / role / "vars").glob("*-*.yml")
    wanted = load(ROLES / role / "vars" / "main.yml").get(f"__{role}_wanted", {"distributions": {}})
    packaged = {one["version"] for one in wanted["distributions"].values()}
    assert {load(path)[f"__{role}_distribution"]["major"] for path in files} | packaged <= set(known)


@pytest.mark.parametrize("role", BENCH_ROLES)
def test_a_role_has_the_entries_of_its_kind_and_does_not_lie_about_its_name(role: str) -> None:
    assert meta(role).name == role
    assert ENTRIES[meta(role).kind] <= set(specs(role))


@pytest.mark.parametrize("role", [role for role in BENCH_ROLES if meta(role).kind == "dbms"])
def test_install_options_of_the_experiment_are_fields_of_an_instance(role: str) -> None:
    install = {name: option for name, option in meta(role).options.items() if option.scope == "install"}
    fields = options(role, "main")[f"{role}_instances"]["options"]
    defaults = load(ROLES / role / "defaults" / "main.yml")
    assert set(install) == set(fields) - {"id", "listen"}  # where it listens follows from the hosts
    for name, option in install.items():
        plain = list(option.default) if isinstance(option.default, tuple) else option.default
        assert (plain or type(defaults[f"{role}_{name}"])()) == defaults[f"{role}_{name}"], name
        assert list(option.choices) == fields[name].get("choices", []), name


def test_each_area_that_has_something_to_set_has_one_role() -> None:
    areas = [meta(role).area for role in TUNING_ROLES if meta(role).area]
    assert sorted(areas) == sorted({knob.area for knob in KNOBS.values() if knob.acts})
    assert {meta(role).kind for role in TUNING_ROLES} == {"tuning"}
    for role in TUNING_ROLES:
        assert meta(role).area in {"", role.removeprefix("tune_")}


@pytest.mark.parametrize("role", TUNING_ROLES)
def test_a_tuning_role_holds_no_knob_and_no_value_of_one(role: str) -> None:
    """The rows are the one place of them; a role has its area."""
    for entry in specs(role):
        (task,) = load(ROLES / role / "tasks" / f"{entry}.yml")
        assert task["ansible.builtin.include_role"]["tasks_from"] == "tuning"
        assert task["vars"]["bench_tuning_area"] == meta(role).area
    files = [*(ROLES / role).glob("tasks/*.yml"), ROLES / role / "defaults" / "main.yml"]
    texts = [path.read_text(encoding="utf-8") for path in files]
    assert [name for name in KNOBS for text in texts if re.search(rf"\b{name}\b", text)] == []


def test_profiles_that_a_role_offers_are_those_that_there_are() -> None:
    choices = [options(role, "main")[f"{role}_profile"]["choices"] for role in TUNING_ROLES]
    assert [*choices, options("bench_common", "main")["bench_profile"]["choices"]] == [[*PROFILES]] * (
        len(TUNING_ROLES) + 1
    )


def test_the_default_of_a_playbook_is_every_tuning_role_and_verify_is_the_last() -> None:
    (play,) = load(shared("playbooks") / "tune.yml")
    named = re.findall(r"'(tune_\w+)'", play["tasks"][0]["loop"])
    assert sorted(named) == TUNING_ROLES
    assert (named[0], named[-1]) == ("tune_quiet", "tune_verify")


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_variables_carry_the_prefix_of_their_role(role: str) -> None:
    public = "bench_" if role == "bench_common" else f"{role}_"
    assert [
        name for name in load(ROLES / role / "defaults" / "main.yml") if not name.startswith(public)
    ] == []
    internal = ROLES / role / "vars" / "main.yml"
    names = load(internal) if internal.is_file() else {}
    assert [name for name in names if not name.startswith(f"__{role}_")] == []


@pytest.mark.parametrize("path", TASK_FILES, ids=name_of)
def test_tasks_are_named_and_use_full_names_of_builtin_modules(path: Path) -> None:
    words = {"name", "when", "loop", "loop_control", "register", "changed_when", "failed_when", "check_mode"}
    words |= {"tags", "vars", "environment", "delegate_to", "no_log", "become", "run_once"}
    for task in load(path):
        assert task.get("name"), task
        modules = set(task) - words
        assert len(modules) == 1, task
        (module,) = modules
        assert module.startswith("ansible.builtin.") or module in MODULES, task


@pytest.mark.parametrize("path", TASK_FILES, ids=name_of)
def test_tasks_of_an_entry_are_tagged_with_role_and_entry(path: Path) -> None:
    role, entry = path.parts[-3], path.stem
    if entry not in specs(role):
        return  # a part of an entry, which gives it its tag
    for task in load(path):
        assert task.get("tags") in ([f"{role}_{entry}"], ["always"]), task["name"]


def test_no_text_of_a_role_runs_a_shell_or_fetches_the_latest() -> None:
    forbidden = re.compile(r"ansible\.builtin\.(shell|raw)\b|ignore_errors|:\s*latest\b")
    texts = {path: path.read_text(encoding="utf-8") for path in TASK_FILES}
    assert [str(path) for path, text in texts.items() if forbidden.search(text)] == []


def test_playbooks_hold_no_logic() -> None:
    for path in shared("playbooks").glob("*.yml"):
        for play in load(path):
            allowed = {"name", "hosts", "gather_facts", "tasks", "ansible.builtin.import_playbook"}
            assert set(play) <= allowed, path
            for task in play.get("tasks", ()):
                assert "ansible.builtin.include_role" in task, path
