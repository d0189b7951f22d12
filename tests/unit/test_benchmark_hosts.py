"""Known hosts, clocks, sessions and fleets, without any connection."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from benchctl.agent.session import REPLIES_KEPT, Session
from benchctl.benchmark.clock import DRIFT, OUTLIERS, RECENT, ClockEstimate
from benchctl.benchmark.connection import merged
from benchctl.benchmark.fleet import Fleet
from benchctl.benchmark.known_hosts import label, look_up
from benchctl.errors import AgentError, HostKeyError, UnfitError, UnreachableError
from benchctl.testing.agent import FakeAgent

if TYPE_CHECKING:
    from pathlib import Path

KEY = base64.b64encode(b"key").decode()


@pytest.mark.parametrize(
    ("patterns", "name", "port", "found"),
    [
        ("h1", "h1", 22, True),
        ("H1", "h1", 22, True),
        ("h1,h2", "h2", 22, True),
        ("*.lab", "h1.lab", 22, True),
        ("*.lab,!h1.lab", "h1.lab", 22, False),
        ("!h1.lab,*.lab", "h1.lab", 22, False),
        ("h?", "h1", 22, True),
        ("h[12]", "h1", 22, False),
        ("h1", "h1", 2222, False),
        ("[h1]:2222", "h1", 2222, True),
        ("[h1]:*", "h1", 2222, True),
        ("|1|nonsense|x", "h1", 22, False),
        ("|1|", "h1", 22, False),
        ("|1|bHdfx7XJFCXyWHjq+VpKNvZnFbU=|Ml9pvYymk8UDeb2TMUqhrLtG/mQ=", "h1", 22, True),  # of ssh-keygen -H
        ("|1|bHdfx7XJFCXyWHjq+VpKNvZnFbU=|Ml9pvYymk8UDeb2TMUqhrLtG/mQ=", "h2", 22, False),
    ],
)
def test_names_match_as_ssh_has_it(
    tmp_path: Path, patterns: str, name: str, port: int, *, found: bool
) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(f"# a comment\n\n{patterns} ssh-ed25519 {KEY} somebody@somewhere\n")
    known = look_up([tmp_path / "nowhere", path], name, port)
    assert known.keys == ((("ssh-ed25519", b"key"),) if found else ())


def test_markers_and_garbage(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_bytes(
        b"h1 ssh-ed25519\nh1 ssh-ed25519 %%%\n\xff\xfe\n@what h1 ssh-rsa " + KEY.encode() + b"\n"
        b"@revoked * ssh-rsa " + KEY.encode() + b"\n@cert-authority *.lab,h1 ssh-rsa " + KEY.encode() + b"\n"
    )
    known = look_up([path], "h1", 22)
    assert known.keys == ()
    assert known.revoked == {b"key"}
    assert known.authorities == (f"{path}:6",)


def test_labels() -> None:
    assert (label("H1", 22), label("::1", 2222)) == ("h1", "[::1]:2222")


def test_the_shortest_round_trip_tells_the_offset() -> None:
    clock = ClockEstimate()
    clock.add(10.0, 10.5, 110.4)
    clock.add(11.0, 11.002, 111.001)
    found = clock.at(11.002)
    assert found.offset == pytest.approx(100.0)
    assert found.uncertainty == pytest.approx(0.001)
    assert clock.round_trip == pytest.approx(0.5)
    assert clock.at(111.002).uncertainty == pytest.approx(0.001 + 100 * DRIFT)


def test_a_request_of_a_session_is_executed_once_and_its_reply_kept() -> None:
    session = Session()
    assert session.admit(1) is None
    assert session.admit(1) == {}
    session.finish(1, {"id": 1, "ok": True})
    assert session.admit(1) == {"id": 1, "ok": True}
    for number in range(2, REPLIES_KEPT + 3):
        assert session.admit(number) is None
        session.finish(number, {"id": number})
    old = session.admit(1)
    assert old is not None
    assert old["ok"] is False
    assert "answered long ago" in old["error"]


def test_a_fleet_asks_all_and_names_all_that_fail(tmp_path: Path) -> None:
    agents = {name: FakeAgent(tmp_path / name, host=name) for name in ("a", "b", "c")}
    fleet = Fleet(agents)
    assert list(fleet.each("stamps", {"want": {}}, timeout=1)) == ["a", "b", "c"]
    assert list(fleet.each("stamps", {"want": {}}, hosts=["b"], timeout=1)) == ["b"]
    agents["a"].script("stamps", AgentError("a: no"))
    agents["c"].script("stamps", AgentError("c: no"))
    with pytest.raises(AgentError, match="a: no\nc: no"):
        fleet.each("stamps", {"want": {}}, timeout=1)
    assert fleet["b"].calls.count(("stamps", {"want": {}})) == 3  # type: ignore[attr-defined]


def test_errors_of_many_hosts_are_of_the_kind_they_share() -> None:
    same = merged([UnreachableError("a"), UnreachableError("b")])
    assert (type(same), str(same.args[0])) == (UnreachableError, "a\nb")
    assert type(merged([UnreachableError("a"), HostKeyError("b")])) is UnfitError
    assert isinstance(merged([UnfitError("a"), KeyboardInterrupt()]), KeyboardInterrupt)


def test_a_round_trip_that_was_slow_by_chance_does_not_count_among_many() -> None:
    clock = ClockEstimate()
    for number in range(RECENT):
        clock.add(number, number + (0.5 if number < OUTLIERS else 0.002), number + 100.0)
    assert clock.round_trip == pytest.approx(0.002)
    clock.add(9.0, 9.5, 109.0)
    clock.add(10.0, 10.5, 110.0)
    clock.add(11.0, 11.5, 111.0)
    assert clock.round_trip == pytest.approx(0.5)
