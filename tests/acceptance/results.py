"""What the trials of a finished run say."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from docs.catalogue import RECORDED

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.host import LabHost


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


def outcome(
    run: Path, driver: LabHost, dbms: str, load: dict[str, Any], primary: str = "throughput"
) -> dict[str, Any]:
    """What docs/reference/catalogue.md has of a pair: the last trial's figures, and what came before took."""
    last = trials(run)[-1]
    server = last.get("server") or {}
    loader, metrics = load["role"], last["result"]["metrics"]
    shown = {name: value for name, value in load.items() if name != "role" and not isinstance(value, dict)}
    return {
        "dbms": dbms,
        "loader": loader,
        "options": shown,
        "dbms_version": server.get("version", ""),
        "loader_version": last["result"]["version"] or _version(driver, run, loader),
        "primary": metrics[primary],
        "p99": metrics.get("latency_p99"),
        "validity": last["validity"],
        "install": _seconds(run, "step.configure"),
        "prepare": _seconds(run, "image"),
        "reset": last["phases"].get("reset"),
    }


def record(what: dict[str, Any]) -> None:
    """Keep it for the table, where BENCHCTL_TEST_RECORD says so."""
    if "BENCHCTL_TEST_RECORD" not in os.environ:
        return
    known = json.loads(RECORDED.read_text("utf-8")) if RECORDED.exists() else {}
    RECORDED.parent.mkdir(parents=True, exist_ok=True)
    known[f"{what['dbms']} {what['loader']}"] = what
    RECORDED.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n", "utf-8")


def _version(host: LabHost, run: Path, loader: str) -> str:
    path = json.loads((run / "descriptors.json").read_text())[host.name][loader]
    return str(json.loads(host.shell(f"cat {path}")).get("version", ""))


def _seconds(run: Path, act: str) -> float | None:
    """How long an act took, by the journal; none when it was not done."""
    entries = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    begun = {
        entry["seq"]: entry["time"] for entry in entries if (entry["act"], entry["phase"]) == (act, "meant")
    }
    spent = [entry["time"] - begun[entry["of"]] for entry in entries if entry["of"] in begun]
    return round(sum(spent), 1) if spent else None
