"""`benchctl hosts plan`: the picture of a host, for few and for many CPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from click import BadParameter

from benchctl.agent import cpu_plan, topology
from benchctl.agent.forms import cpus
from benchctl.cli import hosts_plan, hosts_select
from tests.machines import MACHINES, arm_cppc, cloud_vm, intel_active, two_sockets
from tests.unit.test_agent_topology import cores
from tests.unit.test_cli_knobs import Cli, cli

if TYPE_CHECKING:
    from tests.kernel import KernelTree

__all__ = ["cli"]
BOTH = ("dbms", "loader")
CPU = "sys/devices/system/cpu"


def picture(machine: KernelTree, *roles: str) -> list[str]:
    machine.roles = roles
    return list(hosts_plan.drawn("db1", cpu_plan.picture(machine)))


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("roles", [("dbms",), ("loader",), BOTH])
def test_every_core_of_every_machine_is_drawn_once_in_80_columns(name: str, roles: tuple[str, ...]) -> None:
    machine = MACHINES[name]()
    lines = picture(machine, *roles)
    assert max(map(len, lines)) <= 80
    drawn = " ".join(line for line in lines if line.startswith("  [")).replace("[", "").split("]")
    shown = [int(cpu) for cell in drawn if cell.strip() for cpu in cell.split()[1].split("+")]
    assert sorted(shown) == sorted(cpus(machine.text(f"/{CPU}/online")))


def test_a_small_machine_with_threads() -> None:
    assert picture(intel_active(), *BOTH) == [
        "# db1: 1 socket, 1 node, 4 cores, 8 CPUs",
        "socket 0, node 0",
        "  [H 0+4] [D 1+5] [D 2+6] [L 3+7]",
        "H housekeeping  0,4",
        "D dbms          1-2,5-6",
        "L loader        3,7",
    ]


def test_the_network_cards_node_is_told_and_comes_first() -> None:
    lines = picture(two_sockets(), *BOTH)
    assert "socket 1, node 1, the network card's" in lines
    assert lines[-2] == "D dbms          2-5,16-31,34-37,48-63"
    assert picture(arm_cppc(), "loader")[-1] == "L loader        2-15"


def test_128_cpus_are_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "read_cores", lambda _: cores(64, threads=2, nodes=2))
    lines = picture(two_sockets(), *BOTH)
    assert max(map(len, lines)) <= 80
    assert len(lines) < 24


def test_a_machine_that_is_too_small_is_told_why_and_what_that_means() -> None:
    lines = picture(cloud_vm(), *BOTH)
    assert "  [H 0] [. 1]" in lines
    assert "  2 cores for housekeeping and dbms, loader: every part wants one of its own" in lines
    assert "unsupported here" in lines[-2]
    assert picture(cloud_vm(), "dbms")[-1] == "D dbms          1"


def test_a_single_core_has_no_housekeeping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "read_cores", lambda _: cores(1, threads=2))
    lines = picture(cloud_vm(), "dbms")
    assert "  [. 0+1]" in lines
    assert "  1 core: housekeeping would leave nothing to measure on" in lines


def test_the_command_draws_this_machine(cli: Cli) -> None:
    for cpu in range(3):
        folder = cli.root / CPU / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "core_cpus_list").write_text(f"{cpu}\n")
    (cli.root / CPU / "online").write_text("0-2\n")
    code, out, _ = cli.run("hosts", "plan", "--roles", "loader,dbms")
    assert code == 0
    assert "  [H 0] [D 1] [L 2]" in out.splitlines()
    told: dict[str, Any] = cli.json("hosts", "plan")
    assert told["hosts"]["localhost"]["parts"] == {"dbms": "1-2"}
    assert cli.run("hosts", "plan", "--roles", "dbms,disk")[0] == 2


def test_roles_are_named_in_the_plans_order() -> None:
    assert hosts_select.roles_of("loader, dbms") == BOTH
    with pytest.raises(BadParameter, match="name dbms, loader or both"):
        hosts_select.roles_of(",")
