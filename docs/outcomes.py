"""What became of each knob on the generated machines and on a virtual machine with a kernel of its own.

Owns the table's words. The machines are those of the tests; the VM's answers were recorded by its test.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchctl.agent import tuning
from benchctl.agent.knobs import KNOBS
from benchctl.agent.profiles import PROFILES
from benchctl.agent.tuning_journal import Journal
from tests.machines import MACHINES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchctl.agent.machine import Machine

PROFILE = "repeatable"
RECORDED = Path(__file__).parents[1] / "tests" / "cases" / "outcomes" / "vm.json"
MADE_BY = "tests/acceptance/test_tuning_vm.py"
_HEAD = {"run": "docs", "profile": PROFILE, "kept": False, "program": ""}


def outcomes() -> dict[str, dict[str, str]]:
    """Return by host, then by knob, what became of it; the VM is the last host."""
    found = {name: of_machine(make()) for name, make in MACHINES.items()}
    return {**found, "vm": json.loads(RECORDED.read_text("utf-8"))}


def of_machine(machine: Machine) -> dict[str, str]:
    """Tune a machine with the profile, and say of the other knobs only whether it has them."""
    there = tuning.snapshot(machine)["knobs"]
    with tempfile.TemporaryDirectory() as folder:
        rows = tuning.tune(machine, Journal(Path(folder)), PROFILES[PROFILE], _HEAD)["knobs"]
    return words(there, rows)


def words(snapshot: list[dict[str, Any]], rows: list[dict[str, Any]]) -> dict[str, str]:
    """Make the replies of `snapshot` and `tune` one word for each knob."""
    has = {row["knob"]: "has it" if row["places"] else "" for row in snapshot}
    return {**has, **{row["knob"]: _outcome(row) for row in rows}}


def only_real(found: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the knobs that are acted on and that the VM does not have: generated machines stand for them."""
    return [
        name for name, knob in KNOBS.items() if knob.acts and found["vm"].get(name) in {"", "unsupported"}
    ]


def _outcome(row: Mapping[str, Any]) -> str:
    counts = {outcome: count for outcome, count in row["counts"].items() if count}
    places = sum(counts.values())
    outcome = row["outcome"]
    return f"{outcome} {counts[outcome]}/{places}" if len(counts) > 1 else outcome
