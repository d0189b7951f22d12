"""`runs diff` over several hosts: which of them differs, also when they are called otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchctl.model.host import Host, Inventory
from benchctl.provision import to_ansible
from benchctl.results.difference import compare_runs
from tests.recorded import FACTS, record_run

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.results.store import RunStore


def run(tmp_path: Path, name: str, **kernels: str) -> RunStore:
    """A run on hosts of these names and kernels: the first is the DBMS's, the others drive the load."""
    store = record_run(tmp_path, name, {"on": [1.0], "off": [1.0]})
    (store.path / "hosts" / "localhost" / "fingerprint.json").unlink()
    for host, kernel in kernels.items():
        store.save_fingerprint(host, {**FACTS, "kernel.release": kernel})
    hosts = tuple(Host(name=host, transport="pipe") for host in kernels)
    store.save_inventory(to_ansible(Inventory(groups={"dbms": hosts[:1], "loader": hosts[1:]})))
    return store


def differing(one: RunStore, two: RunStore) -> dict[str, tuple[object, object]]:
    groups = compare_runs(one, two, key=("kernel.",), knobs=("sysctl.",))
    return {
        d.path: (d.a, d.b) for group in groups for d in group.differences if group.name.startswith("host")
    }


def test_the_host_that_differs_is_named(tmp_path: Path) -> None:
    one = run(tmp_path, "one", db="6.1", l1="6.8", l2="6.8")
    two = run(tmp_path, "two", db="6.1", l1="6.8", l2="6.9")
    assert differing(one, two) == {"l2: kernel.release": ("6.8", "6.9")}


def test_hosts_of_other_names_are_compared_in_their_places(tmp_path: Path) -> None:
    one = run(tmp_path, "one", db="6.1", l1="6.8")
    two = run(tmp_path, "two", a_loader_first="6.1", z="6.9")
    assert differing(one, two) == {"loader[0]: l1, z: kernel.release": ("6.8", "6.9")}


def test_a_host_that_one_run_lacks_differs_in_all_its_facts(tmp_path: Path) -> None:
    one = run(tmp_path, "one", db="6.1", l1="6.8")
    two = run(tmp_path, "two", db="6.1", l1="6.8", l2="6.8")
    found = differing(one, two)
    assert found["loader[1]: none, l2: kernel.release"] == (None, "6.8")
    assert {path.partition(":")[0] for path in found} == {"loader[1]"}
