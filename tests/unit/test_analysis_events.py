"""What the DBMS did under load: read from real logs, placed in the window, shown on the series."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from benchctl.analysis import summarise, trial_events
from benchctl.analysis.events import read_log
from benchctl.model.measurement import Window
from benchctl.report import render
from benchctl.report.marks import MOST_ROWS, told
from benchctl.results.raw import ServerLog, host_folders, host_window, server_logs
from benchctl.results.store import RunStore
from benchctl.results.view import RunView
from tests import builders
from tests.unit.test_report_html import Page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchctl.model.measurement import Trial

CASES = Path(__file__).parents[1] / "cases" / "events"
START = datetime(2026, 11, 21, 15, 0, 0, tzinfo=UTC).timestamp()
SECONDS = 20
LOG = """\
2026-11-21 14:59:57.500 UTC [7] LOG:  checkpoint starting: immediate force wait
2026-11-21 14:59:57.600 UTC [7] LOG:  checkpoint complete: wrote 5 buffers (0.0%); 0 WAL file(s) added
2026-11-21 14:59:59.500 UTC [7] LOG:  checkpoint starting: time
2026-11-21 15:00:00.250 UTC [7] LOG:  checkpoint complete: wrote 9 buffers (0.0%); 0 WAL file(s) added
2026-11-21 15:00:03.200 UTC [7] LOG:  checkpoint starting: wal
2026-11-21 15:00:04.300 UTC [7] LOG:  checkpoint complete: wrote 812 buffers (0.0%); 0 WAL file(s) added
2026-11-21 15:00:05.000 UTC [8] LOG:  statement: SELECT 'LOG:  checkpoint starting: wal'
2026-11-21 15:00:19.900 UTC [7] LOG:  checkpoint starting: wal
2026-11-21 15:00:22.000 UTC [7] LOG:  checkpoint complete: wrote 3 buffers (0.0%); 0 WAL file(s) added
2026-11-21 15:00:23.000 UTC [7] LOG:  checkpoint starting: shutdown immediate
"""


def trial(ordinal: int = 1, after: Mapping[str, int] | None = None) -> Trial:
    """A trial whose load began a second before its window."""
    made, after = builders.trial(ordinal), dict(after or {})
    return replace(
        made,
        window=Window(start=START, end=START + SECONDS),
        load=replace(made.load, start=START - 1, end=START + SECONDS),
        result=replace(made.result, series={"throughput": tuple(100.0 + n for n in range(SECONDS))}),
        counters_before=dict.fromkeys(after, 0),
        counters_after=dict(after),
    )


def log(text: str = LOG, window: Window | None = None) -> ServerLog:
    return ServerLog("db", window or Window(start=START, end=START + SECONDS), text.splitlines())


def view(*trials: Trial, text: str = LOG) -> RunView:
    events = [event for one in trials for event in trial_events(one, [log(text)])]
    summary = summarise(
        builders.plan(), trials, run="r", state="finished", failed=0, planned=4, grade="B", events=events
    )
    return RunView(Path("r"), summary, builders.plan(), "name: test\n", trials, (), {}, 0.0, 1.0, "0")


@pytest.mark.parametrize("version", ["15", "18"])
def test_the_log_of_a_real_server_is_read(version: str) -> None:
    lines = (CASES / f"postgresql-{version}.log").read_text().splitlines()
    found = [
        [round(e.at - START, 3), None if e.seconds is None else round(e.seconds, 3), e.kind, e.text]
        for e in read_log(lines)
    ]
    assert found == json.loads((CASES / f"postgresql-{version}.json").read_text())


def test_events_are_placed_in_the_window_and_its_warmup() -> None:
    found = [(e.at, e.seconds, e.kind, e.text) for e in trial_events(trial(), [log()])]
    assert found == [
        (-0.5, 0.75, "checkpoint", "checkpoint_timeout had passed, 9 buffers"),
        (3.2, 1.1, "checkpoint", "enough WAL was written, 812 buffers"),
        (19.9, 2.1, "checkpoint", "enough WAL was written, 3 buffers"),
    ]


def test_the_clock_that_counts_is_that_of_the_servers_host() -> None:
    away = replace(trial(), window=Window(start=START + 3600, end=START + 3600 + SECONDS))
    away = replace(away, load=replace(away.load, start=START + 3599))
    assert [e.at for e in trial_events(away, [log()])] == [-0.5, 3.2, 19.9]


def test_a_checkpoint_that_the_log_does_not_end_has_no_length() -> None:
    (found,) = trial_events(
        trial(), [log("2026-11-21 15:00:03.200 UTC [7] LOG:  checkpoint starting: wal\n")]
    )
    assert (found.at, found.seconds) == (3.2, None)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "2026-11-21 15:00:03.200 CET [7] LOG:  checkpoint starting: wal",
        "[7] LOG:  checkpoint starting: wal",
        "\x00\ufffd garbage",
        "2026-11-21 15:00:03.200 UTC [7] LOG:  duration: 3.1 ms",
    ],
)
def test_other_lines_are_no_events(line: str) -> None:
    assert read_log([line, line]) == ()


def test_what_only_counters_know_has_no_time() -> None:
    counters = {"checkpointer.num_done": 2, "tables.autovacuums": 1, "wal.wal_bytes": 2_340_000}
    found = {e.kind: (e.at, e.count) for e in trial_events(trial(after=counters), [])}
    assert found == {"checkpoint": (None, 2), "vacuum": (None, 1), "wal": (None, 2_340_000)}
    logged = trial_events(trial(after=counters), [log()])
    assert [e.at for e in logged if e.kind == "checkpoint"] == [-0.5, 3.2, 19.9]


def test_a_trial_without_log_and_counters_has_no_events() -> None:
    assert trial_events(trial(), []) == ()
    assert "What the DBMS did" not in render(view(trial(), text=""), "terminal")


@pytest.mark.parametrize("form", ["terminal", "markdown", "html"])
def test_reports_say_when_a_checkpoint_happened_and_how_long_it_took(form: str) -> None:
    counters = {"wal.wal_bytes": 23_400_000}
    said = render(view(trial(1, counters), trial(2)), form)  # type: ignore[arg-type]
    plain = " ".join(said.replace("\\_", "_").replace("\N{NO-BREAK SPACE}", " ").split())
    assert "What the DBMS did under load" in plain
    assert "at 3.2 s, 1.1 s long" in plain
    assert "23.4 MB" in plain


def test_many_of_a_kind_are_told_as_one() -> None:
    one = trial_events(trial(), [log()])[1]
    many = [replace(one, at=float(second), seconds=0.5) for second in range(1, 12)]
    assert told(many) == ["11 checkpoints from 1.0 s to 11.0 s, 5.5 s in all"]
    assert len(told(many[:3])) == 3


def test_a_terminal_points_at_the_second() -> None:
    lines = render(view(trial(1), trial(2)), "terminal", width=100).splitlines()
    bars = next(line for line in lines if "█" in line)
    under = lines[lines.index(bars) + 1]
    first = next(at for at, character in enumerate(bars) if character in "▁▂▃▄▅▆▇█")
    assert [at - first for at, character in enumerate(under) if character == "^"] == [3, 19]


def test_the_plot_has_a_mark_on_the_trials_line_and_a_band_behind_it() -> None:
    page = Page(render(view(trial(1), trial(2, {"tables.autovacuums": 3}), text=LOG), "html"))
    series = json.loads(page.scripts[0])["series"]
    traces = {trace["name"]: trace for trace in series["data"]}
    assert traces["checkpoint"]["x"] == [0.0, 3.2, 19.9] * 2
    assert traces["checkpoint"]["y"][:3] == [100, pytest.approx(102.2), pytest.approx(118.9)]
    assert traces["autovacuum, time unknown"]["x"] == [SECONDS]
    assert "trial 2: 3 autovacuums" in traces["autovacuum, time unknown"]["text"][0]
    assert [(s["x0"], s["x1"]) for s in series["layout"]["shapes"]][:3] == [(0, 0.25), (3.2, 4.3), (19.9, 20)]


def test_wal_of_a_treatment_stands_in_the_legend() -> None:
    page = Page(render(view(trial(1, {"wal.wal_bytes": 1_000}), trial(3, {"wal.wal_bytes": 3_000})), "html"))
    names = [trace["name"] for trace in json.loads(page.scripts[0])["series"]["data"]]
    assert "fsync=on, 2 kB of WAL a trial" in names


def test_many_trials_with_checkpoints_make_a_table_that_is_folded() -> None:
    many = [replace(trial(2), ordinal=n, block=n) for n in range(1, MOST_ROWS + 2)]
    assert "What the DBMS did" not in render(view(*many), "terminal")
    assert "<summary>What the DBMS did under load</summary>" in render(view(*many), "html")


def test_logs_come_from_the_folders_of_the_hosts(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path / "one", experiment_text="name: test\n", plan=builders.plan())
    raw = store.raw_folder(1)
    for host in ("db", "load"):
        (raw / host).mkdir()
    (raw / "db" / "server.log").write_text(LOG)
    (raw / "db" / "host.samples").write_text(
        '{"schema": 2}\n{"t": 5.0, "warmup": true}\n{"t": 7.5}\n{"t": 8.0}\n{"t": 9.5}\n'
    )
    store.finish(trial())
    assert list(host_folders(store, trial())) == ["db", "load"]
    (found,) = server_logs(store, trial())
    assert (found.host, found.window) == ("db", Window(start=7.5, end=9.5))
    assert "\n".join(found.lines) + "\n" == LOG


@pytest.mark.parametrize(
    "samples", ["", "{}\n", '{"schema": 2}\n', '{"schema": 2}\n{"t": null}\n', "{}\nx\n"]
)
def test_without_samples_the_window_is_the_trials(tmp_path: Path, samples: str) -> None:
    otherwise = Window(start=1.0, end=2.0)
    (tmp_path / "host.samples").write_text(samples)
    assert host_window(tmp_path, otherwise) == otherwise
    assert host_window(tmp_path / "nowhere", otherwise) == otherwise
