"""Fetch host-level facts and files through the agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchctl.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from benchctl.benchmark.connection import Agent

FINGERPRINT_LIMIT = 30.0  # seconds
FILES_LIMIT = 60.0


def fetch_fingerprint(agent: Agent) -> dict[str, Any]:
    """Everything that describes the host, as the agent reads it; absent facts are None."""
    facts: dict[str, Any] = agent.call("fingerprint", timeout=FINGERPRINT_LIMIT)["facts"]
    return facts


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
