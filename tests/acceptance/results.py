"""What the trials of a finished run say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def trials(run: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(run.glob("trials/*/trial.json"))]


def check_capacity(run: Path, host: str) -> None:
    """What the load generator reaches at most is kept with the run and with each trial, and judged."""
    known = json.loads((run / "hosts" / host / "capacity.json").read_text())
    for trial in trials(run):
        (load,) = (load for load in trial["loads"] if load["host"] == host)
        assert load["capacity"] == known[trial["treatment"]]
        reached = load["result"]["metrics"]["throughput"]["value"]
        (found,) = (f for f in trial["findings"] if (f["gate"], f["host"]) == ("loader_capacity", host))
        share = reached / load["capacity"]["throughput"]
        assert found["value"] == pytest.approx(share, rel=1e-3) or "is not known" in found["reason"]
