"""A load on one host from launch to result, as the executor does it, for tests of the agent itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchctl.benchmark.protocol import Agent

LIMIT = 30.0


def run(
    agent: Agent,
    task: str,
    argv: Sequence[str],
    *,
    window: Mapping[str, float] | None = None,
    hz: float = 1,
    service: str | None = None,
    **given: Any,
) -> dict[str, Any]:
    """Launch a task, watch it over `window` {warmup, duration} if there is one, and return its result."""
    cwd = f"{agent.hello['work']}/trials/{task}"
    given = {"limit": LIMIT, "cwd": cwd, "service": service, **given}
    agent.call("launch", timeout=LIMIT, task=task, argv=list(argv), **given)
    if window is not None:
        watched = {"watch": task, "task": task, "service": service, "cwd": cwd, "hz": hz}
        start = agent.call("clock", timeout=LIMIT)["m"]
        agent.call("watch", timeout=LIMIT, start=start, **watched, **window)
    result = agent.call("await", timeout=LIMIT, task=task)
    agent.call("unwatch", timeout=LIMIT, watch=task)
    return result
