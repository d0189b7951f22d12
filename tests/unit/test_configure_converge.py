"""When Ansible is started, what it is told, and when it is not needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from benchctl.configure import Converged, converge
from benchctl.configure.stamps import stamps
from benchctl.configure.variables import descriptor_paths, role_variables
from benchctl.errors import AgentError, ConnectionLostError, ConvergeError
from benchctl.model.experiment import Dbms, Experiment, Value, Workload
from benchctl.model.host import Host, Inventory
from benchctl.model.plan import Instance, Plan, Treatment
from benchctl.spec.share import shared
from benchctl.testing.playbooks import Call, FakePlaybookRunner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HERE = Inventory(groups={"dbms": (Host(name="localhost", transport="pipe"),)})
ROLES = (shared("roles"),)


def make_plan(*options: dict[str, Value], loaders: tuple[str, ...] = ("pgbench",)) -> Plan:
    dbms = Dbms(role="postgresql")
    instances = tuple(
        Instance(id=f"postgresql-{number}", role="postgresql", group="dbms", options=given)
        for number, given in enumerate(options)
    )
    treatments = tuple(
        Treatment(
            id=f"t{number:02}",
            levels={},
            dbms=dbms,
            workload=Workload(role=loader),
            instance=None,
            image=None,
        )
        for number, loader in enumerate(loaders)
    )
    return Plan(
        experiment=Experiment(name="e", dbms=dbms, workload=Workload(role=loaders[0])),
        origins={},
        factors=(),
        instances=instances,
        images=(),
        treatments=treatments,
        stages=(),
        trials=(),
        expected_seconds=0,
    )


class Host1:
    """A host's stamps and descriptors, as an agent tells of them."""

    def __init__(self) -> None:
        self.stamps: dict[str, str] = {}
        self.problems: dict[str, list[str]] = {}
        self.failure: Exception | None = None

    def call(self, op: str, *, timeout: float, **args: Any) -> dict[str, Any]:
        assert timeout > 0
        if op == "stamps":
            want = args["want"]
            return {"differ": [name for name, value in want.items() if self.stamps.get(name) != value]}
        assert op == "verify"
        if self.failure:
            raise self.failure
        return {"problems": self.problems.get(args["descriptor"], [])}

    def take(self, call: Call) -> None:
        """What the roles do."""
        self.stamps.update(call.variables["bench_stamps"])
        self.problems.clear()


@pytest.fixture
def host() -> Host1:
    return Host1()


@pytest.fixture
def runner(host: Host1) -> FakePlaybookRunner:
    return FakePlaybookRunner(effect=host.take)


@pytest.fixture
def act(host: Host1, runner: FakePlaybookRunner, tmp_path: Path) -> Callable[..., Converged]:
    def run(plan: Plan, *, force: bool = False) -> Converged:
        return converge(
            plan, HERE, host, runner, run_dir=tmp_path, cache="/c", force=force, on_event=lambda _text: None
        )

    return run


PLAN = make_plan({"version": "18"}, {"version": "18", "prefix": "/opt/pg"})


def test_a_new_host_is_converged_and_an_equal_one_is_not(
    act: Callable[..., Converged], runner: FakePlaybookRunner
) -> None:
    assert act(PLAN).ansible
    again = act(PLAN)
    assert not again.ansible
    assert len(runner.calls) == 1
    assert again.descriptors == {
        "postgresql-0": "/c/instances/postgresql-0/descriptor.json",
        "postgresql-1": "/c/instances/postgresql-1/descriptor.json",
        "pgbench": "/c/loaders/pgbench/descriptor.json",
    }


def test_force_converges_an_equal_host(act: Callable[..., Converged], runner: FakePlaybookRunner) -> None:
    act(PLAN)
    assert act(PLAN, force=True).ansible
    assert len(runner.calls) == 2


def test_a_changed_binary_converges(
    act: Callable[..., Converged], host: Host1, runner: FakePlaybookRunner
) -> None:
    act(PLAN)
    host.problems["/c/loaders/pgbench/descriptor.json"] = ["pgbench: other sha256"]
    assert act(PLAN).ansible
    assert len(runner.calls) == 2


def test_a_plan_with_another_instance_converges_and_the_way_back_does_not(
    act: Callable[..., Converged], runner: FakePlaybookRunner
) -> None:
    act(PLAN)
    act(make_plan({"version": "17"}))
    assert len(runner.calls) == 2
    act(make_plan({"version": "17"}))
    assert len(runner.calls) == 2


def test_what_the_roles_left_must_verify(host: Host1, tmp_path: Path) -> None:
    host.failure = AgentError("localhost: no such descriptor")
    runner = FakePlaybookRunner()
    with pytest.raises(ConvergeError, match="no such descriptor") as caught:
        converge(PLAN, HERE, host, runner, run_dir=tmp_path, cache="/c", on_event=lambda _text: None)
    assert str(tmp_path / "ansible" / "configure") in caught.value.remedy


def test_a_lost_connection_is_not_taken_for_a_changed_host(
    act: Callable[..., Converged], host: Host1, runner: FakePlaybookRunner
) -> None:
    act(PLAN)
    host.failure = ConnectionLostError("localhost: gone")
    with pytest.raises(ConnectionLostError):
        act(PLAN)
    assert len(runner.calls) == 1


def test_a_playbook_that_fails_is_told_as_it_is(host: Host1, tmp_path: Path) -> None:
    runner = FakePlaybookRunner(failures={"site": "localhost: postgresql : Require the wheel: none"})
    with pytest.raises(ConvergeError, match="Require the wheel"):
        converge(PLAN, HERE, host, runner, run_dir=tmp_path, cache="/c", on_event=lambda _text: None)


def test_variables_carry_what_was_given_and_nothing_else() -> None:
    plan = make_plan({"version": "18", "prefix": None, "initdb": ("-k",)})  # type: ignore[dict-item]
    assert role_variables(plan, "/c", {"pgbench": "h"}) == {
        "bench_cache": "/c",
        "bench_stamps": {"pgbench": "h"},
        "bench_dbms_roles": ["postgresql"],
        "bench_loader_roles": ["pgbench"],
        "postgresql_instances": [{"id": "postgresql-0", "version": "18", "initdb": ("-k",)}],
    }


def test_a_plan_without_a_system_under_test_names_no_role_for_it() -> None:
    plan = make_plan(loaders=("command", "pgbench", "command"))
    variables = role_variables(plan, "/c", {})
    assert (variables["bench_dbms_roles"], variables["bench_loader_roles"]) == ([], ["command", "pgbench"])
    assert list(descriptor_paths(plan, "/c")) == ["command", "pgbench"]


def copy_roles(folder: Path) -> Path:
    for role in ("postgresql", "pgbench"):
        (folder / role / "tasks").mkdir(parents=True)
        (folder / role / "tasks" / "main.yml").write_text("---\n")
    return folder


def test_a_stamp_changes_with_files_names_and_options(tmp_path: Path) -> None:
    roles = (copy_roles(tmp_path),)
    before = stamps(PLAN, roles)
    assert stamps(PLAN, roles) == before
    assert len(set(before.values())) == 3
    other = stamps(make_plan({"version": "17"}), roles)
    assert other["postgresql-0"] != before["postgresql-0"]
    assert other["pgbench"] == before["pgbench"]
    (tmp_path / "postgresql" / "tasks" / "main.yml").write_text("--- \n")
    assert all(stamps(PLAN, roles)[name] != value for name, value in before.items())


def test_bytecode_is_no_input_of_a_stamp(tmp_path: Path) -> None:
    roles = (copy_roles(tmp_path),)
    before = stamps(PLAN, roles)
    (tmp_path / "postgresql" / "__pycache__").mkdir()
    (tmp_path / "postgresql" / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert stamps(PLAN, roles) == before


def test_a_role_of_ones_own_wins_and_one_that_is_nowhere_is_named(tmp_path: Path) -> None:
    own = copy_roles(tmp_path / "own")
    assert stamps(PLAN, (own, *ROLES)) != stamps(PLAN, ROLES)
    with pytest.raises(ConvergeError, match="the role wrk is in none of "):
        stamps(make_plan(loaders=("wrk",)), ROLES)
