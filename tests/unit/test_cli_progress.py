"""What a terminal shows of a run over several hosts: each one's phase, or what it waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchctl.cli.progress import Standing, make_listener
from benchctl.model.event import StepStarted, TrialEnded, TrialFailed, TrialPhase
from tests.builders import plan, trial

if TYPE_CHECKING:
    import pytest


def phase(name: str, *hosts: str, expected: float | None = None) -> TrialPhase:
    return TrialPhase(ordinal=3, phase=name, expected=expected, hosts=hosts)


def test_each_host_has_its_phase_or_what_it_waits_for() -> None:
    standing = Standing()
    standing.hear(StepStarted(step="benchmark"))
    standing.hear(phase("load", "l1", "l2", expected=30.0))
    assert standing.now == "trial 3: load (30s)"
    assert standing.hosts == {"l1": "load (30s)", "l2": "load (30s)"}
    standing.hear(phase("stop", "db"))
    assert standing.hosts == {
        "l1": "waits for db: stop",
        "l2": "waits for db: stop",
        "db": "stop",
    }
    standing.hear(phase("evaluate"))
    assert set(standing.hosts.values()) == {"waits for this machine: evaluate"}


def test_a_long_list_of_hosts_is_cut() -> None:
    standing = Standing()
    standing.hear(phase("load", "one"))
    standing.hear(phase("fetch", *(f"h{number}" for number in range(9))))
    assert standing.hosts["one"] == "waits for h0, h1, h2, …: fetch"


def test_a_terminal_has_a_line_for_each_host(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with make_listener(plan(), done=0, verbose=False) as listener:
        listener(phase("load", "l1", "l2", expected=30.0))
        listener(phase("stop", "db"))
    shown = capsys.readouterr().err
    assert "waits for db: stop" in shown
    assert "l2" in shown


def test_elsewhere_phases_are_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with make_listener(plan(), done=0, verbose=False) as listener:
        listener(StepStarted(step="benchmark"))
        listener(phase("load", "l1", "l2"))
    assert capsys.readouterr().err == "benchmark …\n"


def test_trials_beyond_the_plan_are_called_made_up(capsys: pytest.CaptureFixture[str]) -> None:
    with make_listener(plan(), done=3, verbose=False) as listener:
        listener(TrialFailed(ordinal=4, reason="it died"))
        listener(TrialEnded(trial=trial(5), seconds=1.0))
        listener(TrialFailed(ordinal=6, reason="it hung"))
    first, second, third = capsys.readouterr().err.splitlines()
    assert first == "  trial 4/4 failed: it died"
    assert second.startswith("  trial 5, made up  ")
    assert third == "  trial 6, made up failed: it hung"


def test_trials_that_fail_alike_show_the_servers_log_once(capsys: pytest.CaptureFixture[str]) -> None:
    reason = "A service did not start, or died.\nhere: db ended with 1\n  its last lines:\n    at {}"
    with make_listener(plan(), done=0, verbose=False) as listener:
        for number in (1, 2, 3):
            what = reason if number < 3 else reason.replace("db", "other")
            listener(TrialFailed(ordinal=number, reason=what.format(number)))
    said = capsys.readouterr().err
    assert "trial 2/4 failed: as before: here: db ended with 1\n" in said
    assert "at 1" in said
    assert "at 2" not in said
    assert "at 3" in said
