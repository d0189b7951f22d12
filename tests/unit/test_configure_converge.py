"""When Ansible is started, what it is told, and when it is not needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from benchctl.configure import Call, Converged, converge
from benchctl.configure.stamps import stamps
from benchctl.configure.variables import parts_by_host, role_variables
from benchctl.errors import AgentError, BenchctlError, ConnectionLostError, ConvergeError, UnfitError
from benchctl.model.experiment import Become, Dbms, Experiment, InventoryHosts, Secret, Value, Workload
from benchctl.model.host import Host, Inventory
from benchctl.model.plan import Instance, Plan, Treatment
from benchctl.plan import make
from benchctl.spec.load import parse
from benchctl.spec.share import shared
from benchctl.testing.playbooks import FakePlaybookRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from benchctl.model.record import Scalar

LOCAL = (Host(name="localhost", transport="pipe"),)
HERE = Inventory(groups={"dbms": LOCAL, "loader": LOCAL})
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

    def __init__(self, cache: str = "/c") -> None:
        self.hello = {"cache": cache}
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


class Hosts:
    """The agents of several hosts."""

    def __init__(self, **hosts: Host1) -> None:
        self.hosts = hosts

    def __getitem__(self, host: str) -> Host1:
        return self.hosts[host]

    def stream(
        self,
        op: str,
        args: Callable[[str], dict[str, Any]],
        *,
        hosts: Iterable[str] | None = None,
        timeout: float,
    ) -> Iterator[tuple[str, dict[str, Any] | BenchctlError]]:
        for host in self.hosts if hosts is None else hosts:
            try:
                yield host, self.hosts[host].call(op, timeout=timeout, **args(host))
            except BenchctlError as error:
                yield host, error

    def each(
        self,
        op: str,
        args: Callable[[str], dict[str, Any]],
        *,
        hosts: Iterable[str] | None = None,
        timeout: float,
    ) -> dict[str, dict[str, Any]]:
        asked = self.hosts if hosts is None else hosts
        return {host: self.hosts[host].call(op, timeout=timeout, **args(host)) for host in asked}

    def take(self, call: Call) -> None:
        for host in self.hosts.values():
            host.take(call)


@pytest.fixture
def host() -> Host1:
    return Host1()


@pytest.fixture
def runner(host: Host1) -> FakePlaybookRunner:
    return FakePlaybookRunner(effect=host.take)


@pytest.fixture
def act(host: Host1, runner: FakePlaybookRunner, tmp_path: Path) -> Callable[..., Converged]:
    def run(plan: Plan, *, force: bool = False) -> Converged:
        fleet = Hosts(localhost=host)
        return converge(plan, HERE, fleet, runner, run_dir=tmp_path, force=force, on_event=lambda _text: None)

    return run


PLAN = make_plan({"version": "18"}, {"version": "18", "prefix": "/opt/pg"})


def test_a_new_host_is_converged_and_an_equal_one_is_not(
    act: Callable[..., Converged], runner: FakePlaybookRunner
) -> None:
    assert act(PLAN).ansible
    again = act(PLAN)
    assert not again.ansible
    assert len(runner.calls) == 1
    assert again.descriptors["localhost"] == {
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
        converge(PLAN, HERE, Hosts(localhost=host), runner, run_dir=tmp_path, on_event=lambda _text: None)
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
        converge(PLAN, HERE, Hosts(localhost=host), runner, run_dir=tmp_path, on_event=lambda _text: None)


def test_variables_carry_what_was_given_and_nothing_else() -> None:
    plan = make_plan({"version": "18", "prefix": None, "initdb": ("-k",)})  # type: ignore[dict-item]
    assert role_variables(plan, HERE, {"pgbench": "h"}) == {
        "bench_stamps": {"pgbench": "h"},
        "bench_dbms_roles": ["postgresql"],
        "bench_loader_roles": ["pgbench"],
        "bench_stage_roles": {"localhost": []},
        "bench_addresses": {"localhost": "127.0.0.1"},
        "bench_loader_addresses": [],
        "postgresql_instances": [{"id": "postgresql-0", "version": "18", "initdb": ("-k",)}],
    }


def test_what_stages_install_goes_to_the_hosts_of_their_groups_and_listens_where_they_say() -> None:
    text = """
name: case
hosts: {groups: {db: {count: 1}, app: {count: 2}}}
design: {blocks: 1}
metrics: [{name: seconds, better: lower}]
stages:
  - {name: one, group: db, install: {role: redis}}
  - {name: two, group: app, install: {role: redis_benchmark}}
  - {name: load, group: app, measure: {duration: 5s}, tasks: [{run: x}]}
"""
    hosts = {name: Host(name=name, transport="ssh", options={"address": name}) for name in ("d", "a1", "a2")}
    inventory = Inventory(groups={"db": (hosts["d"],), "app": (hosts["a1"], hosts["a2"])})
    plan = make(
        parse(text.replace("hosts: {", "hosts: {provider: lab, "), shared("experiments") / "case.yml")
    )
    (instance,) = plan.instances
    assert parts_by_host(plan, inventory) == {
        "d": (instance.id,),
        "a1": ("redis_benchmark",),
        "a2": ("redis_benchmark",),
    }
    found = role_variables(plan, inventory, {})
    assert (found["bench_dbms_roles"], found["bench_loader_roles"]) == ([], [])
    assert found["bench_stage_roles"] == {
        "d": ["redis"],
        "a1": ["redis_benchmark"],
        "a2": ["redis_benchmark"],
    }
    (described,) = found["redis_instances"]
    assert (described["id"], described["source"]) == (instance.id, "package")
    assert set(stamps(plan, inventory, ROLES)) == {instance.id, "redis_benchmark"}


WORKLOAD = """
name: case
dbms: {role: redis}
workload: {role: go_ycsb, source: prefix, prefix: /opt/mine, version: "1.0", clients: 4}
"""
STAGES = """
name: case
metrics: [{name: throughput, better: higher}]
stages:
  - {name: one, group: loader, install: {role: go_ycsb, source: prefix, prefix: /opt/mine, version: "1.0"}}
  - {name: two, group: dbms, install: {role: go_ycsb, source: prefix, prefix: /opt/mine, version: "1.0"}}
  - {name: load, group: loader, measure: {duration: 5s}, tasks: [{run: x, parse: {role: go_ycsb}}]}
"""


@pytest.mark.parametrize("text", [WORKLOAD, STAGES])
def test_where_a_load_generator_comes_from_goes_to_its_role_and_into_its_stamp(text: str) -> None:
    def made(said: str) -> Plan:
        return make(parse(said, shared("experiments") / "case.yml"))

    plan, unsaid = made(text), made(text.replace(', source: prefix, prefix: /opt/mine, version: "1.0"', ""))
    assert plan.loaders == {"go_ycsb": {"source": "prefix", "prefix": "/opt/mine", "version": "1.0"}}
    chosen = {"go_ycsb_source": "prefix", "go_ycsb_prefix": "/opt/mine", "go_ycsb_version": "1.0"}
    before, after = role_variables(unsaid, HERE, {}), role_variables(plan, HERE, {})
    assert {name: after[name] for name in after.keys() - before.keys()} == chosen
    wanted = stamps(plan, HERE, ROLES)["go_ycsb"]
    assert wanted != stamps(unsaid, HERE, ROLES)["go_ycsb"]
    assert wanted != stamps(made(text.replace("/opt/mine", "/opt/other")), HERE, ROLES)["go_ycsb"]


def test_a_plan_without_a_system_under_test_names_no_role_for_it() -> None:
    plan = make_plan(loaders=("command", "pgbench", "command"))
    variables = role_variables(plan, HERE, {})
    assert (variables["bench_dbms_roles"], variables["bench_loader_roles"]) == ([], ["command", "pgbench"])
    assert parts_by_host(plan, HERE) == {"localhost": ("command", "pgbench")}


def copy_roles(folder: Path) -> Path:
    for role in ("postgresql", "pgbench"):
        (folder / role / "tasks").mkdir(parents=True)
        (folder / role / "tasks" / "main.yml").write_text("---\n")
    return folder


def test_a_stamp_changes_with_files_names_and_options(tmp_path: Path) -> None:
    roles = (copy_roles(tmp_path),)
    before = stamps(PLAN, HERE, roles)
    assert stamps(PLAN, HERE, roles) == before
    assert len(set(before.values())) == 3
    other = stamps(make_plan({"version": "17"}), HERE, roles)
    assert other["postgresql-0"] != before["postgresql-0"]
    assert other["pgbench"] != before["pgbench"], "where it comes from follows the server"
    (tmp_path / "postgresql" / "tasks" / "main.yml").write_text("--- \n")
    assert all(stamps(PLAN, HERE, roles)[name] != value for name, value in before.items())


def test_bytecode_is_no_input_of_a_stamp(tmp_path: Path) -> None:
    roles = (copy_roles(tmp_path),)
    before = stamps(PLAN, HERE, roles)
    (tmp_path / "postgresql" / "__pycache__").mkdir()
    (tmp_path / "postgresql" / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert stamps(PLAN, HERE, roles) == before


def test_a_role_of_ones_own_wins_and_one_that_is_nowhere_is_named(tmp_path: Path) -> None:
    own = copy_roles(tmp_path / "own")
    assert stamps(PLAN, HERE, (own, *ROLES)) != stamps(PLAN, HERE, ROLES)
    with pytest.raises(ConvergeError, match="the role wrk is in none of "):
        stamps(make_plan(loaders=("wrk",)), HERE, ROLES)


def ssh(name: str, address: str, **options: Scalar) -> Host:
    return Host(name=name, transport="ssh", options={"address": address, **options})


DB = ssh("db1", "10.0.0.1", private_address="192.168.0.1", become=True)
LOADERS = (ssh("l1", "10.0.0.2", become=True), ssh("l2", "10.0.0.3", become=True))
LAB = Inventory(groups={"dbms": (DB,), "loader": LOADERS})


def lab_plan(secret: Secret | None = None) -> Plan:
    plan = make_plan({"version": "18"})
    hosts = InventoryHosts(path="/lab/hosts.yml", become=Become(enabled=True, password=secret))
    return replace(plan, experiment=replace(plan.experiment, hosts=hosts))


@pytest.fixture
def lab() -> Hosts:
    return Hosts(db1=Host1("/db"), l1=Host1("/one"), l2=Host1("/two"))


def nothing_wrong(_hosts: tuple[Host, ...], _password: str | None) -> None:
    """A preflight that finds every host fit."""


def test_each_host_gets_what_belongs_there_in_a_folder_of_its_own(lab: Hosts, tmp_path: Path) -> None:
    runner = FakePlaybookRunner(effect=lab.take)
    done = converge(
        lab_plan(),
        LAB,
        lab,
        runner,
        run_dir=tmp_path,
        become_password="sesame",  # noqa: S106
        on_event=lambda _text: None,
        preflight=nothing_wrong,
    )
    assert done.descriptors == {
        "db1": {
            "postgresql-0": "/db/instances/postgresql-0/descriptor.json",
            "pgbench": "/db/loaders/pgbench/descriptor.json",
        },
        "l1": {"pgbench": "/one/loaders/pgbench/descriptor.json"},
        "l2": {"pgbench": "/two/loaders/pgbench/descriptor.json"},
    }
    (call,) = runner.calls
    hosts = call.inventory["all"]["hosts"]
    assert [hosts[name]["bench_cache"] for name in ("db1", "l1", "l2")] == ["/db", "/one", "/two"]
    assert call.variables["bench_addresses"] == {"db1": "192.168.0.1", "l1": "10.0.0.2", "l2": "10.0.0.3"}
    assert call.variables["bench_loader_addresses"] == ["10.0.0.2", "10.0.0.3"]
    assert call.variables["postgresql_instances"][0]["listen"] == "{{ bench_addresses[inventory_hostname] }}"
    assert (str(call.access.inventory), call.access.become_password) == ("/lab/hosts.yml", "sesame")
    again = converge(lab_plan(), LAB, lab, runner, run_dir=tmp_path, on_event=lambda _text: None)
    assert (again.ansible, len(runner.calls)) == (False, 1)


def test_one_host_that_differs_is_named_and_enough(lab: Hosts, tmp_path: Path) -> None:
    runner = FakePlaybookRunner(effect=lab.take)
    told: list[str] = []

    def act() -> Converged:
        return converge(
            lab_plan(), LAB, lab, runner, run_dir=tmp_path, on_event=told.append, preflight=nothing_wrong
        )

    act()
    lab["l2"].stamps["pgbench"] = "old"
    assert act().ansible
    assert "Ansible converges, because these are new or changed on l2: pgbench" in told
    lab["l1"].problems["/one/loaders/pgbench/descriptor.json"] = ["pgbench: other sha256"]
    assert act().ansible
    assert "Ansible converges, because l1: pgbench: other sha256" in told


def test_addresses_are_inputs_of_stamps_only_over_a_network() -> None:
    moved = Inventory(groups={"dbms": (DB,), "loader": (LOADERS[0], ssh("l2", "10.0.0.9"))})
    assert stamps(PLAN, LAB, ROLES) != stamps(PLAN, moved, ROLES)
    assert stamps(PLAN, HERE, ROLES) == stamps(
        PLAN, Inventory(groups={"dbms": (DB,), "loader": (DB,)}), ROLES
    )


def test_sudo_that_is_refused_stops_before_anything_is_changed(
    lab: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[tuple[str, ...], str | None]] = []

    def refuse(hosts: tuple[Host, ...], password: str | None) -> None:
        asked.append((tuple(host.name for host in hosts), password))
        raise UnfitError("l1: sudo: no")

    monkeypatch.setenv("SUDO", "sesame")
    runner = FakePlaybookRunner()
    with pytest.raises(UnfitError, match="l1: sudo: no"):
        converge(
            lab_plan(Secret(env="SUDO")),
            LAB,
            lab,
            runner,
            run_dir=tmp_path,
            become_password="asked for",  # noqa: S106
            on_event=lambda _text: None,
            preflight=refuse,
        )
    assert asked == [(("db1", "l1", "l2"), "sesame")]
    assert runner.calls == []
