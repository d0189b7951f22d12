"""The fault list at the level of whole runs: one server and two hosts for loads, by the real command."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.whole import EXPERIMENT, PATIENCE, Site, Whole, ended, said, traces
from tests.lab.host import await_true

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.fixtures import Fresh
    from tests.lab.lab import Lab

pytestmark = pytest.mark.slow
CUTS = int(os.environ.get("BENCHCTL_TEST_CUTS", "8"))


@pytest.fixture(scope="module")
def site(lab: Lab) -> Iterator[Site]:
    made = Site(lab, ("server", "left", "right"))
    yield made
    made.close()


def check_finished(whole: Whole, count: int = 2) -> list[dict[str, Any]]:
    """All trials are there, each was done once, and no host keeps anything."""
    status = whole.status()
    assert (status["state"], status["trials_done"], status["trials_failed"]) == ("finished", count, {})
    assert whole.completed() == dict.fromkeys(range(1, count + 1), 1)
    trials = whole.trials()
    assert [trial["result"]["metrics"]["ops"]["value"] for trial in trials] == [
        2 * trial["ordinal"] for trial in trials
    ]
    whole.clean()
    return trials


@pytest.mark.parametrize("seconds", [5, 60])
def test_a_trial_outlives_a_cut_cable(lab: Lab, site: Site, whole: Whole, seconds: int) -> None:
    whole.prepare(lab, site.groups, length=f"{seconds + 2}s", go=True)
    _, left, right = site.hosts
    process = whole.start("run", "whole.yml", "--set=telemetry.hz=10", "--set=design.blocks=1")
    whole.await_load(left)
    left.drop_packets(seconds)
    code, output = ended(process)
    assert code == 0, output
    (trial,) = check_finished(whole, 1)
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
    check_finished(whole)


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
    check_finished(whole)


def test_a_clock_that_is_an_hour_ahead_changes_no_window(
    lab: Lab, site: Site, fresh: Fresh, whole: Whole
) -> None:
    ahead = fresh(realtime=3600, monotonic=5000)
    server, left, _ = site.hosts
    whole.prepare(lab, {"server": [server], "loader": [left, ahead]}, go=True, length="1s", together=True)
    whole.run("run", "whole.yml")
    for trial in check_finished(whole):
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
    check_finished(whole)


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


def test_two_runs_never_share_a_host(lab: Lab, site: Site, whole: Whole, tmp_path: Path) -> None:
    whole.prepare(lab, site.groups)
    server, left, right = site.hosts
    process = whole.start("run", "whole.yml")
    whole.await_load(left)
    first = whole.only_run.name
    (tmp_path / "other").mkdir()
    other = Whole(tmp_path / "other", whole.runtime)
    (other.workspace / "whole.yml").write_text((whole.workspace / "whole.yml").read_text())
    for shell in (whole, other):
        error = shell.run("run", "whole.yml", code=3).stderr
        assert first in error
        assert f"pid {process.pid}" in error
        assert "server: " in error
    assert [traces(host) != "" for host in (server, left, right)] == [True] * 3
    whole.go()
    code, output = ended(process)
    assert code == 0, output
    assert said(left, "ended") == ["1", "2"]
    whole.clean()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_controller_that_ends_in_mid_trial(lab: Lab, site: Site, whole: Whole, number: int) -> None:
    whole.prepare(lab, site.groups)
    _, left, right = site.hosts
    process = whole.start("run", "whole.yml")
    whole.await_load(left)
    whole.go(1)
    await_true(lambda: whole.completed()[1], "the first trial")
    whole.await_load(left, 2)
    process.send_signal(number)
    code, output = ended(process)
    if number == signal.SIGINT:
        assert code == 130, output
        whole.clean()
    else:
        assert "whole-run-load" in traces(left)
        assert "sleep 3600" in traces(site.hosts[0])
    (kept,) = whole.only_run.glob("trials/*/trial.json")
    before = kept.read_bytes()
    process = whole.start("resume", "latest")
    whole.await_load(left, 3)  # only now: the load that was left would come to its end too
    whole.go()
    code, output = ended(process)
    assert code == 0, output
    check_finished(whole)
    assert kept.read_bytes() == before
    assert said(left, "ended") == said(right, "ended") == ["1", "2"]


def test_cuts_at_random_instants_lose_no_trial_and_repeat_none(lab: Lab, site: Site, whole: Whole) -> None:
    count = CUTS
    whole.prepare(lab, site.groups, length="0.1s", go=True, together=True)
    process = whole.start("run", "whole.yml", f"--set=design.blocks={2 * count}")
    whole.await_load(site.hosts[1])
    instants, over, cuts = random.Random(5), threading.Event(), 0
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.extend(process.stdout or ()))
    reader.start()
    while cuts < CUTS and process.poll() is None:
        over.wait(instants.uniform(0, 1))
        host = instants.choice(site.hosts)
        host.cut_ssh()
        cuts += 1
    code = process.wait(PATIENCE + 4 * count)
    reader.join()
    output = "".join(heard)
    assert code == 0, output
    assert cuts == CUTS
    reconnects = output.count("is there again")
    assert reconnects > count / 2, f"{reconnects} reconnects after {cuts} cuts"  # some fall between two
    for trial in check_finished(whole, 2 * count):
        assert trial["attempt"] == 1


def check_refused(whole: Whole, text: str, code: int, *words: str) -> None:
    """A run that is refused is named, and leaves nothing: on no host, nor in the workspace."""
    (whole.workspace / "whole.yml").write_text(text, encoding="utf-8")
    error = whole.run("run", "whole.yml", code=code).stderr
    for word in words:
        assert word in error, error
    assert list(whole.workspace.glob("runs/*")) == []
    assert not any(host.shell("ls /root/began /pwned 2>/dev/null || true") for host in whole.hosts)
    whole.clean()


def altered(path: Path, **variables: object) -> Path:
    """The inventory with other variables of the host `left`."""
    inventory = json.loads(path.read_text())
    hosts = inventory["all"]["children"]["loader"]["hosts"]
    hosts["left"] = {**hosts["left"], **variables}
    changed = path.with_name(f"altered-{path.name}")
    changed.write_text(json.dumps(inventory))
    return changed


@pytest.mark.parametrize(
    ("variables", "word"),
    [
        ({"ansible_port": 9}, "left: "),
        ({"ansible_ssh_private_key_file": "/dev/null"}, "left: "),
        ({"ansible_python_interpreter": "/usr/bin/python4"}, "left: "),
    ],
)
def test_a_host_that_is_not_fit_changes_nothing_anywhere(
    lab: Lab, site: Site, whole: Whole, variables: dict[str, object], word: str
) -> None:
    whole.prepare(lab, site.groups)
    path = altered(lab.inventory(site.groups), **variables)
    check_refused(whole, inventory_named(whole, path), 3, word, "To do: ")


def inventory_named(whole: Whole, path: Path) -> str:
    lines = (whole.workspace / "whole.yml").read_text().splitlines(keepends=True)
    hosts = "hosts: {provider: inventory, path: %s, groups: {server: {count: 1}, loader: {count: 2}}}\n"
    return "".join(hosts % json.dumps(str(path)) if line.startswith("hosts: ") else line for line in lines)


HOSTILE = ["; touch /pwned", "$(touch /pwned)", "-oProxyCommand=touch /pwned", "a\nb", "ünï¢ode…", " "]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_address_is_refused(lab: Lab, site: Site, whole: Whole, text: str) -> None:
    whole.prepare(lab, site.groups)
    path = altered(lab.inventory(site.groups), ansible_host=text)
    (whole.workspace / "whole.yml").write_text(inventory_named(whole, path), encoding="utf-8")
    done = whole.run("run", "whole.yml", code=2)
    assert "left" in done.stderr
    assert list(whole.workspace.glob("runs/*")) == []
    assert not Path("/pwned").exists()


def test_hostile_words_and_paths_stay_what_they_are(lab: Lab, site: Site, whole: Whole) -> None:
    whole.prepare(lab, site.groups, go=True)
    hostile = [*HOSTILE, "--help", "'\"`", "%n%s", "\\"]
    text = (whole.workspace / "whole.yml").read_text()
    text = text.replace("sleep $2; sleep 0.3;", 'shift; shift; for word; do printf "<%s>" "$word" >&2; done;')
    text = text.replace(
        '- "{{ duration }}"', "\n".join(['- "0"', *(f"          - {json.dumps(word)}" for word in hostile)])
    )
    text = text.replace("printf '{\"ops\": %d}' $1", "printf '{\"ops\": 1}'").replace(
        "echo $1 >>", "echo 1 >>"
    )
    name = "; touch pwned\n–ü.txt"
    (whole.workspace / name).write_text("content")
    text = text.replace("group: loader\n", f"group: loader\n    files: [{json.dumps(name)}]\n", 1)
    (whole.workspace / "whole.yml").write_text(text, encoding="utf-8")
    whole.run("run", "whole.yml")
    for host in site.hosts[1:]:
        for path in whole.only_run.glob(f"trials/*/raw/{host.name}/stderr"):
            assert path.read_text() == "".join(f"<{word}>" for word in hostile)
    assert not any(host.shell("ls /pwned 2>/dev/null || true") for host in whole.hosts)
    whole.clean()
