"""The shipped chain by one command: Cassandra, KairosDB, two loaders; every point is read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.results import trials
from tests.acceptance.test_stages import services
from tests.needs import maven

if TYPE_CHECKING:
    from tests.acceptance.conftest import Shell
    from tests.lab.fixtures import Fresh

pytestmark = [pytest.mark.ansible, pytest.mark.slow]

SHIPPED = Path(__file__).parents[2] / "experiments" / "kairosdb.yml"
WINDOWS = ("measure: {warmup: 5s, duration: 20s}", "measure: {warmup: 1s, duration: 4s}")
BUSY = {"overlap", "steady_overlap"}  # what other tests beside this one may do to four seconds
LIMIT = 1500.0  # seconds; it is done in three minutes where nothing else runs


def test_the_shipped_chain(cold_shell: Shell, fresh: Fresh) -> None:
    maven()
    text = SHIPPED.read_text(encoding="utf-8")
    assert WINDOWS[0] in text
    (cold_shell.workspace / "kairosdb.yml").write_text(text.replace(*WINDOWS), encoding="utf-8")
    counts = {"dbms": 1, "kairosdb": 1, "loader": 2}
    hosts = {
        group: [fresh(name=f"{group}-{number}") for number in range(1, count + 1)]
        for group, count in counts.items()
    }
    groups = {group: {"count": count} for group, count in counts.items()}
    loaders = [host.name for host in hosts["loader"]]
    path = str(fresh.lab.inventory(hosts))
    where = json.dumps({"provider": "inventory", "path": path, "groups": groups})

    cold_shell.run(
        "run", "kairosdb.yml", f"--set=hosts={where}", "--set=design.blocks=1", code={0, 4}, limit=LIMIT
    )
    (run,) = (cold_shell.workspace / "runs").iterdir()

    found = trials(run)
    assert [trial["ordinal"] for trial in found[:2]] == [1, 2]  # a block is made up where one does not count
    for trial in found:
        assert [load["host"] for load in trial["loads"]] == loaders
        grave = {finding["gate"] for finding in trial["findings"] if finding["validity"] == "invalid"}
        assert grave <= BUSY, trial["findings"]
        metrics = {name: quantity["value"] for name, quantity in trial["result"]["metrics"].items()}
        assert metrics["throughput"] > 0
        assert metrics["latency_mean"] is not None
        assert trial["start"]["spread"] >= 0
        assert sum(read_back(run, trial["ordinal"], host) for host in loaders) == metrics["points"]
    assert services(run) == [
        ("start", "cassandra.1"),
        ("start", "kairosdb.1"),
        ("stop", "kairosdb.1"),
        ("stop", "cassandra.1"),
    ]
    for members in hosts.values():
        assert all(host.shell("pgrep -f '[j]ava .*-cp' || true").strip() == "" for host in members)


def read_back(run: Path, ordinal: int, host: str) -> int:
    """What a loader counted, which was found in the database."""
    said = run / "trials" / f"{ordinal:04d}" / "raw" / host / "stages" / "read-back" / "1.stdout"
    found = json.loads(said.read_text())
    assert found["pointsReadBack"] == found["pointsCounted"] > 0
    return int(found["pointsCounted"])
