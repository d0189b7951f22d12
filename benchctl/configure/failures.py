"""What a person needs of Ansible's events: which host, which role and task, and the message of the failure.

Pure functions over the events that ansible-runner hands out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

_FAILURES = ("runner_on_failed", "runner_item_on_failed", "runner_on_unreachable")
_LINES = 20


class Failure(NamedTuple):
    """One task that failed on one host."""

    host: str
    task: str  # "role : task"
    message: str

    def __str__(self) -> str:
        return f"{self.host}: {self.task}: {self.message}"


def task_name(event: dict[str, Any]) -> str:
    """Return "role : task", or the task alone outside of roles."""
    data = event.get("event_data") or {}
    role, task = data.get("role"), data.get("task") or "?"
    return f"{role} : {task}" if role else task


def failure(event: dict[str, Any]) -> Failure | None:
    """Return what failed, or None when the event is no failure that counts.

    A loop's summary is none: its items came before it.
    """
    data = event.get("event_data") or {}
    result = data.get("res") or {}
    if event.get("event") not in _FAILURES or data.get("ignore_errors") or "results" in result:
        return None
    return Failure(data.get("host") or "?", task_name(event), _message(result))


def _message(result: dict[str, Any]) -> str:
    """The task's own words: its message, then the last lines of what a command printed."""
    message = str(result.get("msg") or "failed without a message").strip()
    printed = str(result.get("stderr") or result.get("module_stderr") or result.get("stdout") or "").strip()
    lines = [line for line in printed.splitlines()[-_LINES:] if line.strip() and line.strip() not in message]
    return "\n    ".join([message, *lines])
