"""Fetch host-level facts and files through the agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchctl.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from benchctl.benchmark.fleet import Fleet
    from benchctl.benchmark.protocol import Agent

FINGERPRINT_LIMIT = 30.0  # seconds
FILES_LIMIT = 60.0


def fetch_fingerprints(fleet: Fleet) -> dict[str, dict[str, Any]]:
    """Everything that describes each host, as its agent reads it, side by side; absent facts are None."""
    found = fleet.each("fingerprint", timeout=FINGERPRINT_LIMIT)
    return {host: reply["facts"] for host, reply in found.items()}


def fetch_logs(agent: Agent, work: str, instances: Iterable[str], folder: Path) -> int:
    """Fetch the servers' logs to <folder>/<instance>/; return how many files came."""
    fetched = 0
    for instance in instances:
        try:
            files = agent.call("files", timeout=FILES_LIMIT, dir=f"{work}/{instance}")["files"]
        except AgentError:
            continue  # the instance never started in this run
        for entry in files:
            if "/" not in entry["path"] and entry["path"].endswith(".log"):
                (folder / instance).mkdir(parents=True, exist_ok=True)
                agent.fetch(f"{work}/{instance}/{entry['path']}", folder / instance / entry["path"])
                fetched += 1
    return fetched
