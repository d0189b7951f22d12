"""The fault list at the level of whole runs: one server and two hosts for loads, by the real command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.faults.whole import EXPERIMENT, Site, Whole, ended, said, traces

if TYPE_CHECKING:
    from tests.faults.whole import Site, Whole
    from tests.lab.fixtures import Fresh
    from tests.lab.lab import Lab

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seconds", [5, 60])
def test_a_trial_outlives_a_cut_cable(lab: Lab, site: Site, whole: Whole, seconds: int) -> None:
    whole.prepare(lab, site.groups, length=f"{seconds + 2}s", go=True)
    _, left, right = site.hosts
    process = whole.start("run", "whole.yml", "--set=telemetry.hz=10", "--set=design.blocks=1")
    whole.await_load(left)
    left.drop_packets(seconds)
    code, output = ended(process)
    assert code == 0, output
    (trial,) = whole.check_finished(1)
    assert said(left, "ended") == said(right, "ended") == ["1"]
    assert trial["attempt"] == 1
    for load in trial["loads"]:
        samples = whole.only_run / "trials/0001/raw" / load["host"] / "host.samples"
        instants = [json.loads(line)["t"] for line in samples.read_text().splitlines()[1:]]
        within = [t for t in instants if load["window"]["start"] <= t <= load["window"]["end"]]
        assert len(within) > 5 * seconds  # of ten in each second: nothing was lost with the connection


def test_a_host_whose_sshd_is_gone_for_good_fails_the_trial_and_is_cleaned_later(
    lab: Lab, site: Site, whole: Whole
) -> None:
    whole.prepare(lab, site.groups)
    _, left, _ = site.hosts
    process = whole.drive("run", "whole.yml", RECONNECT_LIMIT=3.0)
    whole.await_load(left)
    left.kill_sshd()
    code, output = ended(process)
    assert code == 1, output
    assert "left: the connection to the agent" in output
    assert "not cleaned: left; 2 of 3 hosts are clean" in output
    assert f"benchctl destroy {whole.only_run.name}" in output
    whole.clean(but=[left])
    assert "whole-run-load" in traces(left)
    status = whole.status()
    assert status["state"] == "failed"
    assert list(status["trials_failed"]) == ["1"]
    assert "left: " in status["trials_failed"]["1"]
    left.revive_sshd()
    whole.run("destroy", "latest")
    whole.clean()
    whole.go()
    whole.run("resume", "latest")
    whole.check_finished()


def test_a_host_that_was_powered_off_and_started_again(lab: Lab, site: Site, whole: Whole) -> None:
    whole.prepare(lab, site.groups)
    _, left, _ = site.hosts
    process = whole.start("run", "whole.yml")
    whole.await_load(left)
    left.power_off()
    left.start()
    code, output = ended(process)
    assert code == 1, output
    assert "is gone: the host was restarted" in output, output
    whole.clean()
    whole.go()
    whole.run("resume", "latest")
    whole.check_finished()


def test_a_clock_that_is_an_hour_ahead_changes_no_window(
    lab: Lab, site: Site, fresh: Fresh, whole: Whole
) -> None:
    ahead = fresh(realtime=3600, monotonic=5000)
    server, left, _ = site.hosts
    whole.prepare(lab, {"server": [server], "loader": [left, ahead]}, go=True, length="1s", together=True)
    whole.run("run", "whole.yml")
    for trial in whole.check_finished():
        begins = {load["host"]: load["window"]["start"] for load in trial["loads"]}
        assert round((begins[ahead.name] - begins["left"]) / 60) == 60
        assert all(
            load["window"]["end"] - load["window"]["start"] == pytest.approx(1) for load in trial["loads"]
        )
        assert trial["window"]["start"] == pytest.approx(begins["left"], abs=60)
        assert trial["start"]["overlap"] > 0.5


def test_a_load_that_is_killed_fails_its_trial_and_no_other(lab: Lab, site: Site, whole: Whole) -> None:
    whole.prepare(lab, site.groups)
    _, left, right = site.hosts
    process = whole.start("run", "whole.yml")
    whole.await_load(right)
    whole.await_load(left)
    right.shell("kill -KILL $(pgrep -f whole-run-loa[d])")
    code, output = ended(process)
    assert code == 1, output
    failed = whole.status()["trials_failed"]
    assert list(failed) == ["1"]
    assert "right: " in failed["1"]
    assert "killed by SIGKILL" in failed["1"]
    assert "left: " not in failed["1"]  # it was ended for the other's sake
    whole.clean()
    whole.go()
    whole.run("resume", "latest")
    whole.check_finished()


def test_a_load_killed_for_memory_is_said_to_be_killed(
    lab: Lab, site: Site, fresh: Fresh, whole: Whole
) -> None:
    small = fresh(memory="160m")
    server, left, _ = site.hosts
    greedy = EXPERIMENT.replace(
        "sleep $2; sleep 0.3;",
        "[ $(hostname) = left ] || exec python3 -c 'held = [bytearray(1 << 28)]'; sleep $2;",
    )
    whole.prepare(lab, {"server": [server], "loader": [left, small]}, greedy, go=True, length="5s")
    error = whole.run("run", "whole.yml", code=1).stderr
    assert f"{small.name}: " in error
    assert "killed by SIGKILL" in error
    whole.clean()


UNREADY = EXPERIMENT.replace(
    "exec sleep 3600], ready: {log: is up}}\n  - name: load",
    "exec sleep 3600], ready: {log: never, timeout: 1s}}\n  - name: load",
)


def test_a_service_that_never_becomes_ready(lab: Lab, site: Site, whole: Whole) -> None:
    assert "never" in UNREADY
    whole.prepare(lab, site.groups, UNREADY, go=True)
    error = whole.run("run", "whole.yml", code=1).stderr
    for words in (
        "server: ",
        "stage base, task second",
        "base.second was not ready within 1 s",
        "second is up",
    ):
        assert words in error
    whole.clean()
    stops = [
        e["data"]["instance"] for e in whole.entries() if (e["act"], e["phase"]) == ("service.stop", "meant")
    ]
    assert stops == ["base.second", "base.first"]
    logs = whole.only_run / "hosts/server/logs/base"
    assert (logs / "first.log").read_text().endswith("first is up\n")
    assert (logs / "second.log").read_text().endswith("second is up\n")


FAILING = EXPERIMENT.replace(
    "  - name: load\n",
    """  - name: prepare
    group: loader
    tasks:
      - run: [sh, -c, "if [ $(hostname) = left ]; then echo out of luck >&2; exit 7; fi; exec sleep 3600"]
  - name: load
""",
)


def test_a_task_that_fails_on_one_host_ends_the_stage_on_all(lab: Lab, site: Site, whole: Whole) -> None:
    whole.prepare(lab, site.groups, FAILING, go=True)
    error = whole.run("run", "whole.yml", code=1).stderr
    for words in ("left: stage prepare, task 1 ended with exit code 7", "out of luck"):
        assert words in error
    assert "right: " not in error
    whole.clean()
    assert said(site.hosts[1], "began") == []
