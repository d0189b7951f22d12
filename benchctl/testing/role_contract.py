"""What every role must have, read from its files: a suite for pytest, for shipped roles and those of others.

A class of yours inherits `RoleContract` and has a fixture `role`, the role's folder:

    class TestRole(RoleContract):
        @pytest.fixture
        def role(self) -> Path:
            return Path(__file__).parents[1] / "src" / "roles" / "mydb"

Nothing is run on any host: that a role converges, verifies and goes without a trace, only running it shows.
Its first program is asked for its version, as the role asks it, where it is installed on this machine; else
the test is skipped and says so.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from ruamel.yaml import YAML

from benchctl.spec import read_role
from benchctl.spec.share import shared
from benchctl.testing.scenarios import SCENARIOS

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.model.role import RoleMeta

ENTRIES = {
    "dbms": {"main", "start", "ready", "reset", "stop", "verify", "uninstall"},
    "loader": {"main", "ping", "prepare", "run", "verify", "uninstall"},
    "tuning": {"main", "snapshot", "verify", "restore"},
}
_MODULES = {path.stem for path in shared("roles").glob("bench_common/library/*.py")}
_WORDS = {"name", "when", "loop", "loop_control", "register", "changed_when", "failed_when", "check_mode"}
_WORDS |= {"tags", "vars", "environment", "delegate_to", "no_log", "become", "run_once"}
_FORBIDDEN = re.compile(r"ansible\.builtin\.(shell|raw)\b|ignore_errors|:\s*latest\b")
_SHELLS = {"sh", "ash", "bash", "dash", "ksh", "zsh", "fish", "busybox"}
_PREFIXES = ("/usr", "/usr/local")  # where distributions and people install programs
_FIND = shared("roles") / "bench_common" / "files" / "find_programs.py"
_COMPUTED = {"bench_cache"}  # its default depends on the host; the description says how


@cache
def load(path: Path) -> Any:  # noqa: ANN401 - any YAML
    """The content of a YAML file, read once."""
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def specs(role: Path) -> dict[str, Any]:
    """The argument specs of a role by entry point."""
    found: dict[str, Any] = load(role / "meta" / "argument_specs.yml")["argument_specs"]
    return found


def options(role: Path, entry: str) -> dict[str, Any]:
    """The variables of an entry point."""
    found: dict[str, Any] = specs(role)[entry]["options"]
    return found


def meta(role: Path) -> RoleMeta | None:
    """What the role says of itself; None for one that benchctl never names, such as bench_common."""
    there = (role / "meta" / "bench.yml").is_file()
    return read_role(role.name, (role.parent,)) if there else None


def wanted(role: Path) -> dict[str, Any]:
    """What the role asks bench_common to find, as its vars/main.yml has it; may be empty."""
    file = role / "vars" / "main.yml"
    found: dict[str, Any] = load(file).get(f"__{role.name}_wanted", {}) if file.is_file() else {}
    return found


def ask(prefix: str, asked: dict[str, Any]) -> dict[str, Any]:
    """What find_programs.py, which the role runs on hosts, finds below a prefix on this machine."""
    question = {
        "prefix": prefix,
        "programs": asked["programs"],
        "ask": asked["version_argv"],
        "status": asked.get("version_status", [0]),
    }
    argv = [sys.executable, "-I", str(_FIND), json.dumps(question)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def task_files(role: Path) -> list[Path]:
    """Every file of tasks."""
    return sorted(role.glob("tasks/*.yml"))


def variables(scenario: Path) -> dict[str, Any]:
    """The variables that a molecule scenario gives to its hosts."""
    found: Any = load(scenario)
    for key in ("provisioner", "inventory", "group_vars", "all"):
        found = found.get(key, {})
    return dict(found)


class RoleContract:
    """The suite; see the module."""

    without_scenarios: ClassVar[dict[str, str]] = {}  # role -> why molecule cannot run it
    versions_asked_by: ClassVar[str] = ""  # the test of yours that asks what this machine lacks

    @pytest.fixture
    def role(self) -> Path:
        """The role's folder, given by the class that inherits."""
        raise NotImplementedError

    def test_defaults_and_the_spec_of_main_have_the_same_keys_and_values(self, role: Path) -> None:
        defaults = load(role / "defaults" / "main.yml")
        main = options(role, "main")
        assert sorted(defaults) == sorted(main)
        assert {name: value for name, value in defaults.items() if name not in _COMPUTED} == {
            name: option["default"] for name, option in main.items() if name not in _COMPUTED
        }

    def test_every_entry_of_the_spec_is_a_file_and_every_option_is_typed(self, role: Path) -> None:
        for entry, spec in specs(role).items():
            assert (role / "tasks" / f"{entry}.yml").is_file(), entry
            assert spec["short_description"], entry
            for name, option in spec["options"].items():
                assert option.get("type"), f"{entry}.{name}"
                assert option.get("description"), f"{entry}.{name}"
                assert option["type"] != "list" or option.get("elements"), f"{entry}.{name}"

    def test_an_option_is_the_same_in_every_entry(self, role: Path) -> None:
        main = options(role, "main")
        for entry in specs(role):
            for name, option in options(role, entry).items():
                if name in main:
                    assert option["type"] == main[name]["type"], f"{entry}.{name}"
                    assert option.get("default") == main[name].get("default"), f"{entry}.{name}"

    def test_it_has_the_entries_of_its_kind_and_does_not_lie_about_its_name(self, role: Path) -> None:
        found = meta(role)
        assert found is None or found.name == role.name
        assert found is None or ENTRIES[found.kind] <= set(specs(role))

    def test_a_load_generator_measures_in_a_stage_and_names_no_metric_twice(self, role: Path) -> None:
        found = meta(role)
        if found is None or found.kind != "loader":
            return
        assert [stage.measured for stage in found.stages].count(True) == 1
        names = [metric.name for metric in found.metrics]
        assert len(set(names)) == len(names)
        assert [metric.name for metric in found.metrics if not metric.unit] == []

    def test_a_required_option_has_an_example(self, role: Path) -> None:
        """What `benchctl init --role` writes in its place."""
        found = meta(role)
        options = found.options if found is not None else {}
        without = [name for name, one in options.items() if one.required and one.example is None]
        assert not without, f"options {', '.join(without)}: required, without an example in meta/bench.yml"

    def test_options_that_make_an_instance_are_fields_of_it(self, role: Path) -> None:
        found = meta(role)
        if found is None or found.kind != "dbms":
            return
        made_of = {"install", "prepare"}
        install = {name: option for name, option in found.options.items() if option.scope in made_of}
        fields = options(role, "main")[f"{role.name}_instances"]["options"]
        defaults = load(role / "defaults" / "main.yml")
        assert set(install) == set(fields) - {"id", "listen"}  # where it listens follows from the hosts
        for name, option in install.items():
            plain = list(option.default) if isinstance(option.default, tuple) else option.default
            default = defaults[f"{role.name}_{name}"]
            assert (plain or type(default)()) == default, name
            assert list(option.choices) == fields[name].get("choices", []), name

    def test_options_that_install_a_load_generator_are_variables_of_it(self, role: Path) -> None:
        """Without a default: where an experiment says nothing, the hosts' variables count."""
        found = meta(role)
        if found is None or found.kind != "loader":
            return
        main = options(role, "main")
        install = {name: option for name, option in found.options.items() if option.scope == "install"}
        chosen = {name for name in ("source", "prefix", "version") if f"{role.name}_{name}" in main}
        assert chosen <= set(install), f"options of meta/bench.yml lack {', '.join(chosen - set(install))}"
        for name, option in install.items():
            assert f"{role.name}_{name}" in main, f"{name}: installs, and {role.name}_{name} is no variable"
            assert list(option.choices) == main[f"{role.name}_{name}"].get("choices", []), name
            assert option.default is None, f"{name}: with a default, a host's {role.name}_{name} never counts"

    def test_variables_carry_the_prefix_of_their_role(self, role: Path) -> None:
        public = "bench_" if role.name == "bench_common" else f"{role.name}_"
        defaults = load(role / "defaults" / "main.yml")
        assert [name for name in defaults if not name.startswith(public)] == []
        internal = role / "vars" / "main.yml"
        names = load(internal) if internal.is_file() else {}
        assert [name for name in names if not name.startswith(f"__{role.name}_")] == []

    def test_tasks_are_named_and_use_full_names_of_builtin_modules(self, role: Path) -> None:
        for path in task_files(role):
            for task in load(path):
                assert task.get("name"), f"{path}: {task}"
                modules = set(task) - _WORDS
                assert len(modules) == 1, f"{path}: {task}"
                (module,) = modules
                assert module.startswith("ansible.builtin.") or module in _MODULES, f"{path}: {task}"

    def test_tasks_of_an_entry_are_tagged_with_role_and_entry(self, role: Path) -> None:
        for path in task_files(role):
            if path.stem in specs(role):  # the others are parts of an entry, which gives them its tag
                for task in load(path):
                    tags = ([f"{role.name}_{path.stem}"], ["always"])
                    assert task.get("tags") in tags, f"{path}: {task['name']}"

    def test_no_text_of_it_runs_a_shell_or_fetches_the_latest(self, role: Path) -> None:
        texts = {path: path.read_text(encoding="utf-8") for path in task_files(role)}
        assert [str(path) for path, text in texts.items() if _FORBIDDEN.search(text)] == []

    def test_no_program_that_it_wants_is_a_shell_or_takes_code(self, role: Path) -> None:
        asked = wanted(role)
        shells = _SHELLS & set(asked.get("programs", ()))
        assert not shells, f"{role.name}: programs has {', '.join(shells)}: benchctl runs nothing by a shell"
        assert "-c" not in asked.get("version_argv", ()), f"{role.name}: version_argv runs code by -c"

    def test_its_program_tells_its_version_where_it_is_installed(self, role: Path) -> None:
        asked = wanted(role)
        if "programs" not in asked:
            return  # it asks otherwise, in tasks of its own
        decided = isinstance(asked["programs"], list) and "{{" not in str(
            asked["programs"] + asked["version_argv"]
        )
        answers = {prefix: ask(prefix, asked) for prefix in _PREFIXES} if decided else {}
        there = {prefix: answer for prefix, answer in answers.items() if not answer["missing"]}
        if not there and not self.versions_asked_by:
            pytest.skip(
                f"{', '.join(asked['programs'])}: not below {' or '.join(_PREFIXES)}: not asked for a version"
                if decided
                else f"{role.name}: which program is asked, Ansible decides on a host: it was not asked"
            )
        for prefix, answer in there.items():
            said = answer["failure"] or answer["banner"]
            assert not answer["failure"], f"{prefix}/bin/{asked['programs'][0]}: {said}"
            found = re.search(asked["version_pattern"], answer["banner"])
            assert found, f"version_pattern {asked['version_pattern']} finds nothing in {said!r}"
            assert found.groups(), f"version_pattern {asked['version_pattern']} has no group"

    def test_it_has_a_molecule_scenario_of_each_kind(self, role: Path) -> None:
        there = {path.parent.name for path in role.glob("molecule/*/molecule.yml")}
        if role.name in self.without_scenarios:
            assert not there
        else:
            assert set(SCENARIOS) <= there

    def test_the_alternative_scenario_changes_every_option_or_says_why_not(self, role: Path) -> None:
        if role.name in self.without_scenarios:
            return
        given = variables(role / "molecule" / "alternative" / "molecule.yml")
        unchanged = given.get("scenario_unchanged", {})
        defaults = load(role / "defaults" / "main.yml")
        changed = {name for name in defaults if name in given and given[name] != defaults[name]}
        assert changed | set(unchanged) == set(defaults)
        assert changed.isdisjoint(unchanged)
        assert all(isinstance(why, str) and why for why in unchanged.values())
