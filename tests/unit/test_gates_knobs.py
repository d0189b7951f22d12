"""The gate of tuned hosts: what drifted, where, and who may have been at it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from benchctl import gates
from benchctl.model.measurement import Finding, Window

if TYPE_CHECKING:
    from pathlib import Path

ROW = {"knob": "governor", "path": "/sys/p0", "wanted": "performance", "found": "powersave"}
QUIET = {"expected": 3, "places": 3, "drifts": 0, "drifted": []}


def judged(raw: Path, told: dict[str, Any] | None) -> Finding | None:
    if told is not None:
        (raw / "knobs.json").write_text(json.dumps(told))
    evidence = gates.read(
        raw,
        window=Window(start=0.0, end=1.0),
        load=None,
        server=None,
        result=None,
        context=gates.Context(shared_host=True, grade="D"),
    )
    return next((finding for finding in gates.judge(evidence) if finding.gate == "knobs"), None)


def test_a_host_without_tuning_has_no_such_finding(tmp_path: Path) -> None:
    assert judged(tmp_path, None) is None


def test_knobs_that_stay_are_ok(tmp_path: Path) -> None:
    found = judged(tmp_path, QUIET)
    assert found is not None
    assert (found.validity, found.value, found.limit) == ("ok", 0, 0)


def test_a_drift_makes_the_trial_invalid_even_where_much_is_forgiven(tmp_path: Path) -> None:
    around = {
        "processes": [{"pid": 7, "name": "tuned", "cpu": 0.2}],
        "units": ["tuned.service"],
        "logins": 1,
    }
    found = judged(tmp_path, {**QUIET, "drifts": 1, "drifted": [ROW], "around": around})
    assert found is not None
    assert (found.validity, found.value) == ("invalid", 1)
    assert found.reason == (
        "a knob was not as it was set: governor (/sys/p0: set to performance, found powersave);"
        " began in this trial: tuned (7); units started: tuned.service; logins: 1"
    )


def test_many_places_are_counted_and_one_that_is_gone_is_said(tmp_path: Path) -> None:
    rows = [{**ROW, "found": None}, *[ROW] * 4]
    found = judged(tmp_path, {**QUIET, "expected": 0, "drifts": 90, "drifted": rows})
    assert found is not None
    assert "found nothing)" in found.reason
    assert found.reason.endswith(", 2 more")
    assert found.value == 90


@pytest.mark.parametrize("text", ["{", "[]", '{"drifts": 0}'])
def test_what_cannot_be_read_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "knobs.json").write_text(text)
    found = judged(tmp_path, None)
    assert found is not None
    assert found.validity == "suspect"
    assert "not judged" in found.reason
