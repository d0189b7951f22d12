"""A ring of lines: what it keeps, what it drops, what it tells."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchctl import gates
from benchctl.agent import sampler
from benchctl.agent.ring import Ring
from benchctl.model.measurement import Window
from benchctl.results.telemetry import channels

if TYPE_CHECKING:
    from pathlib import Path

LINE = 10  # bytes, with its end


def lines(count: int) -> list[str]:
    return [f"{number:09d}" for number in range(count)]


def ring(
    path: Path, written: list[str], limit: int, staying: set[str]
) -> tuple[dict[str, object], list[str]]:
    made = Ring(path, {"schema": 2}, limit)
    for line in written:
        made.add(line, stays=line in staying)
    made.close()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    head, *found = path.read_text().splitlines()
    told = json.loads(head)
    assert told["schema"] == 2
    assert told["limit"] == limit
    assert told.get("dropped", 0) == made.dropped
    return told, found


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 19])
def test_what_has_room_is_all_there(tmp_path: Path, count: int) -> None:
    told, found = ring(tmp_path / "f", lines(count), 20 * LINE, set())
    assert found == lines(count)
    assert "dropped" not in told


@pytest.mark.parametrize("count", [21, 40, 333, 1000])
@pytest.mark.parametrize("limit", [6 * LINE, 20 * LINE, 100 * LINE])
def test_the_oldest_make_room_and_are_counted(tmp_path: Path, count: int, limit: int) -> None:
    told, found = ring(tmp_path / "f", lines(count), limit, set())
    assert found == lines(count)[-len(found) :]
    assert len(found) + int(str(told.get("dropped", 0))) == count
    assert sum(len(line) + 1 for line in found) <= limit
    assert len(found) * LINE >= min(count * LINE, limit // 2 - LINE)


@pytest.mark.parametrize("at", [0, 3, 500, 999])
def test_what_stays_is_there_in_its_order(tmp_path: Path, at: int) -> None:
    written = lines(1000)
    staying = {written[at], written[999]}
    _, found = ring(tmp_path / "f", written, 20 * LINE, staying)
    assert staying <= set(found)
    assert found == sorted(set(found))
    assert len(found) <= 21


def test_a_line_larger_than_the_ring_is_there_alone(tmp_path: Path) -> None:
    _, found = ring(tmp_path / "f", ["a" * 500, "b" * 500, "c" * 500], 100, set())
    assert found[-1] == "c" * 500
    assert len(found) <= 2


def test_gates_and_telemetry_read_what_a_full_sampler_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "LEAST", 40_000)
    monkeypatch.setattr(sampler, "LARGE", 10)
    made = sampler.Sampler(tmp_path / "host.samples", None, expected=100)
    for number in range(100):
        made.take(None, edge=number in {5, 99}, warmup=number < 5)
    made.close()
    window = Window(start=0.0, end=1.0)
    context = gates.Context(shared_host=True, grade="D")
    evidence = gates.read(tmp_path, window=window, load=None, server=None, result=None, context=context)
    assert evidence.problem == ""
    assert (evidence.first["edge"], evidence.last["edge"]) == (True, True)
    assert "units" in evidence.first
    assert evidence.dropped == 100 - len(evidence.samples)  # the warm-up has gone too
    found = {finding.gate: finding for finding in gates.judge(evidence)}
    assert (found["samples_dropped"].validity, found["samples_dropped"].value) == (
        "suspect",
        evidence.dropped,
    )
    assert found["steal"].value is not None
    switches = next(one for one in channels("h", tmp_path) if one.name == "cpu.context_switches")
    assert 1 <= len(switches.times) < len(evidence.samples)


def test_the_file_never_outgrows_its_limit_while_it_grows(tmp_path: Path) -> None:
    made = Ring(tmp_path / "f", {}, 50 * LINE)
    for line in lines(2000):
        made.add(line)
        there = sum(path.stat().st_size for path in tmp_path.iterdir())
        assert there <= 50 * LINE + 50  # and the head
    made.close()
