"""Hosts under load: the common start, each load generator, telemetry and latencies without JavaScript."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from benchctl.analysis import summarise
from benchctl.analysis.hosts import host_metrics, start_summary, typical
from benchctl.model.measurement import Finding
from benchctl.report import panels, render
from benchctl.report.words import Names
from benchctl.results.detail import TrialDetail
from benchctl.results.telemetry import Channel
from tests import builders
from tests.unit.near_data import SECONDS, detail, trial, view
from tests.unit.report_data import HOSTILE
from tests.unit.test_report_html import MOST_BYTES, Page

PAIR = ("load1", "load2")


def drawn(page: str) -> list[tuple[str, str]]:
    """Title and content of each panel."""
    return re.findall(r'<div class="panel"><p><b>(.*?)</b>(.*?)</svg>', page)


def places(panel: str) -> list[list[tuple[float, float]]]:
    """The points of each line of a panel."""
    paths = re.findall(r' d="M([^"]*)"', panel)
    return [[(float(x), float(y)) for x, y in (p.split() for p in path.split("L"))] for path in paths]


def test_how_the_loads_began_is_summed_up() -> None:
    found = start_summary([trial(n, PAIR) for n in (1, 2, 3, 4)])
    assert found is not None
    assert (found.trials, found.worst_trial, found.late) == (4, 4, 0)
    assert found.spread_median == pytest.approx(50e-6)
    assert found.spread_worst == pytest.approx(80e-6)
    assert found.overlap == pytest.approx(1 - 80e-6 / SECONDS)
    assert start_summary([trial(1, ("load1",)), builders.trial(2)]) is None


def test_each_load_generator_has_means_of_its_own() -> None:
    trials = [trial(n, PAIR) for n in (1, 3)]
    trials.append(replace(trial(5, PAIR), validity="invalid"))
    found = {(m.host, m.metric): m for m in host_metrics(builders.plan(), trials)}
    assert set(PAIR) == {host for host, _ in found}
    first = found["load1", "throughput"]
    values = [t.loads[0].result.metrics["throughput"].value or 0 for t in trials[:2]]
    assert first.mean == pytest.approx((values[0] * values[1]) ** 0.5)
    assert first.n == 2


def test_a_percentile_that_one_trial_does_not_carry_has_no_mean() -> None:
    trials = [trial(1, PAIR), trial(3, PAIR, p99=False)]
    found = {(m.host, m.metric): m for m in host_metrics(builders.plan(), trials)}
    assert (found["load1", "latency_p99"].mean, found["load1", "latency_p99"].n) == (None, 1)


def test_the_typical_trial_is_valid_and_nearest_to_the_median() -> None:
    plan = builders.plan(blocks=3)
    trials = [builders.trial(n, throughput=float(x)) for n, x in ((1, 10), (3, 300), (5, 20))]
    assert [t.ordinal for t in typical(plan, trials)] == [5]
    trials[2] = replace(trials[2], validity="invalid")
    assert [t.ordinal for t in typical(plan, trials)] == [1]
    assert [t.ordinal for t in typical(plan, [replace(t, validity="invalid") for t in trials[:1]])] == [1]


@pytest.mark.parametrize("form", ["terminal", "markdown", "html"])
def test_reports_tell_the_skew_and_each_load_generator(form: str) -> None:
    said = " ".join(render(view(near=False), form).replace("\N{NO-BREAK SPACE}", " ").split())  # type: ignore[arg-type]
    assert "began within 0.05 ms of each other" in said
    assert "worst 0.08 ms, trial 4" in said
    assert "load2" in said
    assert "together" in said


def test_a_run_with_one_load_generator_says_nothing_of_skew() -> None:
    assert "Hosts under load" not in render(view(("load1",), near=False), "terminal")
    assert "of each other" not in render(view(("load1",)), "html")


def test_the_panels_need_no_script_and_lie_on_one_time_axis() -> None:
    text = render(view(), "html")
    Page(text)  # well formed
    assert len(text.encode()) < MOST_BYTES
    articles = text.split('<article class="near">')[1:]
    assert [re.findall(r"<h3>(.*?)</h3>", article)[0] for article in articles] == [
        "Trial 1, fsync=on",
        "Trial 2, fsync=off",
    ]
    for article in articles:
        titles = [title for title, _ in drawn(article)]
        assert titles[:5] == [
            "Throughput, per second", "CPU busy", "CPUs used", "Memory of the DBMS&#x27;s processes, summed",
            "Disk",
        ]  # fmt: skip
        assert titles[-1] == "Service time of single requests"
    found = dict(drawn(articles[0]))
    assert [len(line) for line in places(found["Throughput, per second"])] == [SECONDS] * 3
    assert places(found["Throughput, per second"])[0][0][0] == pytest.approx(1000 * 0.5 / SECONDS, abs=1)
    assert places(found["CPU busy"])[0][0][0] == pytest.approx(1000 * 0.5 / SECONDS, abs=1)  # no warm-up


def test_a_checkpoint_is_a_band_in_every_panel_of_its_trial() -> None:
    first, second = render(view(), "html").split('<article class="near">')[1:]
    assert "<rect" not in first
    telemetry = [panel for title, panel in drawn(second) if "requests" not in panel]
    expected = f'<rect x="{7.4 / SECONDS * 1000:.0f}" width="{3.2 / SECONDS * 1000:.0f}"'
    assert all(expected in panel for panel in telemetry)
    assert "checkpoint at 7.4 s, 3.2 s long" in second


def test_throughput_of_all_is_the_sum_and_the_scale_fits() -> None:
    (panel,) = [body for title, body in drawn(render(view(), "html")) if title.startswith("Thr")][:1]
    together, one, two = places(panel)
    assert all(0 <= y <= 100 for line in (together, one, two) for _, y in line)
    assert [100 - y for _, y in together] == pytest.approx(
        [200 - a - b for (_, a), (_, b) in zip(one, two, strict=True)], abs=0.2
    )


def test_ten_samples_a_second_become_as_many_points_as_can_be_seen() -> None:
    run = view()
    times = tuple(n / 10 for n in range(6001))
    many = Channel("db1", "cpu.busy", "ratio", times, tuple(0.5 for _ in times))
    long = replace(run.trials[0], window=replace(run.trials[0].window, end=run.trials[0].window.start + 600))
    run = run._replace(trials=(long, *run.trials[1:]), details=(TrialDetail(1, (many,), ()),))
    (line,) = places(dict(drawn(panels.render(run, Names(run))))["CPU busy"])
    assert 100 < len(line) <= panels.MOST_POINTS
    assert {y for _, y in line} == {50}


def test_many_hosts_are_cut_to_what_colours_can_tell_apart() -> None:
    run = view(tuple(f"load{n}" for n in range(1, 17)))
    text = panels.render(run, Names(run))
    assert "10 more load generators are in telemetry.parquet" in text
    assert set(re.findall(r'class="(h\d)"', text)) == {f"h{n}" for n in range(panels.MOST_HOSTS)}


def test_disks_are_summed_and_cards_that_are_none_left_out() -> None:
    run = view()
    names = ("disk.sda.write_bytes", "disk.sdb.write_bytes", "net.lo.tx_bytes", "net.veth0.tx_bytes")
    found = tuple(Channel("db1", name, "B/s", (1.0, 2.0), (1e6, 1e6)) for name in names)
    run = run._replace(details=(TrialDetail(1, found, ()),))
    panel = dict(drawn(panels.render(run, Names(run))))
    assert "db1 written 2 MB/s" in panel["Disk"]
    assert "Network" not in panel


def test_hostile_names_stay_text() -> None:
    run = view()
    bad = tuple(channel._replace(host=HOSTILE) for channel in run.details[0].channels)
    run = run._replace(details=(TrialDetail(1, bad, ()), run.details[1]))
    text = render(run, "html")
    Page(text)
    assert "<script>alert" not in text


def test_a_trial_without_telemetry_and_latencies_shows_its_throughput() -> None:
    run = view()._replace(details=(TrialDetail(1, (), ()),))
    assert [title for title, _ in drawn(panels.render(run, Names(run)))] == ["Throughput, per second"]


def test_a_latency_curve_ends_where_the_sample_does() -> None:
    few = detail(trial(1, PAIR)).latencies[0]._replace(shares=(0.5,), milliseconds=(2.0,))
    run = view()._replace(details=(TrialDetail(1, (), (few,)),))
    panel = dict(drawn(panels.render(run, Names(run))))["Service time of single requests"]
    assert places(panel) == [[(0, 50)]]


def test_findings_of_several_hosts_are_one_trial_and_name_their_host() -> None:
    finding = Finding(
        gate="steal", validity="suspect", value=0.1, limit=0.01, unit="ratio", reason="", host=""
    )
    three = tuple(
        replace(finding, host=host, value=value, reason="CPU time was stolen", validity=validity)
        for host, value, validity in (
            ("db1", 0.1, "suspect"),
            ("load1", 0.3, "suspect"),
            ("load2", 0.0, "ok"),
        )
    )
    trials = [replace(trial(n, PAIR), findings=three) for n in (1, 2)]
    made = summarise(builders.plan(), trials, run="r", state="finished", failed=0, planned=4, grade="B")
    (gate,) = made.gates
    assert (gate.trials, gate.worst_trial, gate.reason) == (2, 1, "load1: CPU time was stolen")
    said = render(view()._replace(summary=made, trials=tuple(trials)), "html")
    assert "db1: CPU time was stolen; load1: CPU time was stolen" in said


def test_the_same_run_gives_the_same_bytes() -> None:
    assert render(view(), "html") == render(view(), "html")
