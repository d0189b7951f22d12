"""From Ansible's events to what a person needs."""

from __future__ import annotations

from typing import Any

from benchctl.configure.ansible import _Listener
from benchctl.configure.failures import failure, task_name


def event(kind: str, result: dict[str, Any], **data: Any) -> dict[str, Any]:
    return {"event": kind, "event_data": {"host": "h1", "role": "r", "task": "Do it", "res": result, **data}}


def test_a_failure_says_where_and_what_the_command_printed() -> None:
    found = failure(event("runner_on_failed", {"msg": "non-zero return code", "stderr": "one\ntwo\n"}))
    assert str(found) == "h1: r : Do it: non-zero return code\n    one\n    two"


def test_only_the_end_of_a_long_output_is_kept() -> None:
    stderr = "\n".join(map(str, range(1000)))
    found = failure(event("runner_on_failed", {"msg": "m", "stderr": stderr}))
    assert found is not None
    assert found.message.splitlines()[1].strip() == "980"


def test_an_unreachable_host_is_a_failure() -> None:
    assert failure(event("runner_on_unreachable", {"msg": "no route"})) is not None


def test_what_is_ignored_or_fine_or_a_loops_summary_is_none() -> None:
    assert failure(event("runner_on_failed", {"msg": "m"}, ignore_errors=True)) is None
    assert failure(event("runner_on_ok", {"changed": True})) is None
    assert failure(event("runner_on_failed", {"msg": "One or more items failed", "results": []})) is None
    assert failure({"event": "verbose"}) is None


def test_a_failure_without_words_says_so() -> None:
    assert str(failure(event("runner_on_failed", {}))).endswith("failed without a message")


def test_a_task_outside_of_roles_has_its_own_name_only() -> None:
    assert task_name({"event_data": {"task": "Do it"}}) == "Do it"


def test_a_task_that_takes_long_is_told_before_it_begins() -> None:
    told: list[str] = []
    listener = _Listener(told.append)
    for task in ("Look for it on the host", "Make on the controller, once: go-ycsb 1.0.1, two minutes"):
        listener.hear({"event": "playbook_on_task_start", "event_data": {"task": task}})
    assert told == ["Make on the controller, once: go-ycsb 1.0.1, two minutes"]
