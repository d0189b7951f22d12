"""Who gets which CPUs: whole cores, one node first, a reason where it cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchctl.agent.forms import cpu_list, cpu_mask, cpus
from benchctl.agent.topology import Core, PlanError, housekeeping, network_node, plan, read_cores
from tests.kernel import CPU
from tests.machines import MACHINES, arm_cppc, cloud_vm, intel_active, two_sockets

if TYPE_CHECKING:
    from tests.kernel import KernelTree

BOTH = ("dbms", "loader")


def cores(count: int, *, threads: int = 1, nodes: int = 1) -> list[Core]:
    per_node = -(-count // nodes)
    return [
        Core(frozenset(n + count * thread for thread in range(threads)), n // per_node, n // per_node)
        for n in range(count)
    ]


@pytest.mark.parametrize("name", MACHINES)
def test_every_online_cpu_is_in_one_core(name: str) -> None:
    machine = MACHINES[name]()
    found = read_cores(machine)
    assert sorted(cpu for core in found for cpu in core.cpus) == sorted(cpus(machine.text(f"{CPU}/online")))


def test_sockets_nodes_and_threads_are_known() -> None:
    found = read_cores(two_sockets())
    assert len(found) == 32
    assert found[0] == Core(frozenset({0, 32}), 0, 0)
    assert found[31] == Core(frozenset({31, 63}), 1, 1)
    assert network_node(two_sockets()) == 1
    assert network_node(intel_active()) is None


def test_a_cpu_that_is_offline_is_in_no_core() -> None:
    machine: KernelTree = intel_active()
    machine.write(f"{CPU}/smt/control", "off")
    assert [core.cpus for core in read_cores(machine)] == [frozenset({n}) for n in range(4)]


def test_one_role_gets_all_but_housekeeping() -> None:
    made = plan(read_cores(intel_active()), ("dbms",))
    assert made.housekeeping == {0, 4}
    assert made.parts == {"dbms": {1, 2, 3, 5, 6, 7}}


def test_a_loader_beside_the_dbms_gets_a_third_on_the_far_node() -> None:
    made = plan(read_cores(two_sockets()), BOTH, prefer=0)
    assert made.housekeeping == {0, 1, 32, 33}
    assert len(made.parts["dbms"]) == 40
    assert len(made.parts["loader"]) == 20
    assert made.parts["loader"] <= {*range(16, 32), *range(48, 64)}


def test_the_node_of_the_network_card_comes_first() -> None:
    made = plan(cores(8, nodes=2), BOTH, prefer=1)
    assert made.parts["dbms"] >= {4, 5, 6, 7}
    assert made.parts["loader"] <= {1, 2, 3}


def test_small_hosts_are_planned_or_refused_with_the_reason() -> None:
    assert plan(read_cores(cloud_vm()), ("dbms",)).parts == {"dbms": {1}}
    with pytest.raises(PlanError, match="2 cores for housekeeping and dbms, loader: every part wants one"):
        plan(read_cores(cloud_vm()), BOTH)
    with pytest.raises(PlanError, match="1 core for housekeeping and dbms"):
        plan(cores(1, threads=2), ("dbms",))
    with pytest.raises(PlanError, match="1 core: housekeeping would leave nothing"):
        housekeeping(cores(1, threads=2))
    assert housekeeping(read_cores(cloud_vm())) == {0}
    assert plan(cores(3), BOTH).parts == {"dbms": {1}, "loader": {2}}
    assert len(plan(read_cores(arm_cppc()), ("loader",)).housekeeping) == 2


@given(
    st.integers(3, 70), st.integers(1, 2), st.integers(1, 4), st.sampled_from([("dbms",), ("loader",), BOTH])
)
def test_parts_are_whole_cores_that_never_overlap(
    count: int, threads: int, nodes: int, roles: tuple[str, ...]
) -> None:
    given_cores = cores(count, threads=threads, nodes=nodes)
    made = plan(given_cores, roles)
    sets = [made.housekeeping, *made.parts.values()]
    assert sum(map(len, sets)) == len(frozenset().union(*sets)) == count * threads
    assert all(sets)
    for core in given_cores:
        assert sum(bool(core.cpus & part) for part in sets) == 1


@given(st.frozensets(st.integers(0, 200), min_size=1))
def test_lists_and_masks_mean_the_same_cpus(numbers: frozenset[int]) -> None:
    assert cpus(cpu_list(numbers)) == numbers
    mask = cpu_mask(numbers)
    assert int(mask.replace(",", ""), 16) == sum(1 << number for number in numbers)
    assert all(len(chunk) == 8 for chunk in mask.split(",")[1:])
