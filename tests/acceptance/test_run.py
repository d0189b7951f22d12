"""The main job through the real executable: real Ansible, real PostgreSQL, real pgbench."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import benchctl
from tests.acceptance.conftest import FAST, QUICK, Shell
from tests.needs import wheel_prefix

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.postgres, pytest.mark.ansible, pytest.mark.slow]
PATIENCE = 180.0


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def journal(shell: Shell) -> list[dict[str, object]]:
    paths = list(shell.workspace.glob("runs/*/journal.jsonl"))
    lines = paths[0].read_text().splitlines() if paths else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def in_second_trial(shell: Shell) -> bool:
    """The second trial's load is under way: its server runs."""
    trials = [e for e in journal(shell) if e["act"] == "trial" and e["phase"] == "meant"]
    return len(trials) >= 2 and any("bin/pgbench" in line for line in shell.processes())


def test_the_quickstart_ends_with_a_verdict_and_leaves_nothing(cold_shell: Shell) -> None:
    shell = cold_shell
    done = shell.run("run", "quickstart", *QUICK, "--json")
    result = json.loads(done.stdout)
    assert result["state"] == "finished"
    assert result["trials"]["planned"] == 4
    assert result["comparisons"][0]["metric"] == "throughput"
    assert result["comparisons"][0]["paired"] is True
    path = shell.workspace / result["path"]
    assert (path / "report.html").stat().st_size < 6_000_000
    shell.nothing_left()

    frames = benchctl.load(str(path))
    assert len(frames.trials) == 4
    assert frames.samples.groupby("ordinal").size().min() > 10
    assert set(frames.trials["dbms.settings.synchronous_commit"]) == {"on", "off"}
    for number in (1, 2):
        settings = json.loads((path / f"trials/000{number}/trial.json").read_text())["server"]
        assert settings["settings"]["synchronous_commit"] == settings["wanted"]["synchronous_commit"]
    subprocess.run(["sha256sum", "--check", "--quiet", "MANIFEST.sha256"], cwd=path, check=True)

    before = (path / "summary.json").read_bytes()
    shell.run("report", "latest", "--recompute")
    assert (path / "summary.json").read_bytes() == before
    for form in ("markdown", "csv", "json", "html"):
        shell.run("report", "latest", "--format", form)
    assert "finished" in shell.run("status", "latest").stdout
    assert result["run"] in shell.run("runs", "list").stdout

    again = shell.run("-v", "run", "quickstart", *QUICK)
    assert "Ansible was not started" in again.stderr
    starts = [e for e in journal(shell) if e["act"] == "step.configure"]
    assert len(starts) == 2, "one configure step, and no Ansible call in any trial"


def test_an_experiment_chooses_where_its_load_generator_comes_from(shell: Shell, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.symlink_to(wheel_prefix())  # its programs look for their libraries beside the wheel
    told = [*QUICK, "--set=design.blocks=1", "--set=workload.source=prefix", f"--set=workload.prefix={mine}"]
    assert f"prefix={mine}" in "".join(shell.run("plan", "quickstart", *told).stdout.split())
    result = json.loads(shell.run("run", "quickstart", *told, "--json", code={0, 4}).stdout)
    path = shell.workspace / result["path"]
    trials = [json.loads(file.read_text()) for file in path.glob("trials/*/trial.json")]
    assert {trial["load"]["argv"][0] for trial in trials} == {str(mine / "bin" / "pgbench")}
    (version,) = {trial["loader_version"] for trial in trials}
    refused = shell.run("run", "quickstart", *told, '--set=workload.version="17"', code=1)
    assert f"PostgreSQL 17 is wanted, but {mine}/bin has {version}" in " ".join(refused.stderr.split())
    again = shell.run("-v", "run", "quickstart", *QUICK, "--set=design.blocks=1", code={0, 4})
    assert "Ansible converges, because these are new or changed: pgbench" in again.stderr
    shell.nothing_left()


def test_step_by_step_is_the_same_as_at_once(shell: Shell) -> None:
    run = shell.run("provision", "quickstart", *QUICK).stdout.strip()
    for step in ("configure", "benchmark", "collect", "destroy"):
        shell.run(step, run)
    assert json.loads(shell.run("status", run, "--json").stdout)["trials_done"] == 4
    shell.run("destroy", run)
    shell.nothing_left()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_stops_undoes_and_keeps_what_is_done(shell: Shell, number: int, code: int) -> None:
    process = shell.start("run", "quickstart", *QUICK, "--set=workload.duration=3s")
    wait_for(lambda: in_second_trial(shell))
    process.send_signal(number)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, output
    shell.nothing_left()
    shell.run("resume", "latest")
    assert json.loads(shell.run("status", "latest", "--json").stdout)["trials_done"] == 4
    shell.nothing_left()


def test_a_killed_controller_is_resumed_without_losing_a_trial(shell: Shell) -> None:
    process = shell.start("run", "quickstart", *QUICK, "--set=workload.duration=3s")
    wait_for(lambda: in_second_trial(shell))
    process.kill()
    process.communicate()
    (run,) = shell.workspace.glob("runs/*")
    first = (run / "trials/0001/trial.json").read_bytes()
    assert "interrupted" in shell.run("status", "latest").stdout
    shell.run("resume", "latest")
    assert (run / "trials/0001/trial.json").read_bytes() == first
    shell.nothing_left()


def test_a_killed_supervisor_ends_the_run_by_name_and_nothing_is_left(shell: Shell) -> None:
    process = shell.start("run", "quickstart", *QUICK, "--set=workload.duration=3s")
    wait_for(lambda: in_second_trial(shell))
    (supervisor,) = [pid for pid, line in shell.marked() if " supervise " in line]
    os.kill(supervisor, signal.SIGKILL)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, output
    assert "the connection to the agent ended" in output
    shell.nothing_left()


def test_a_second_run_on_this_machine_is_refused_with_the_owner(shell: Shell) -> None:
    process = shell.start("run", "quickstart", *QUICK, "--set=workload.duration=30s")
    wait_for(lambda: list(shell.lease.glob("*.json")))
    done = shell.run("run", "quickstart", *QUICK, code=3)
    assert f"pid {process.pid}" in done.stderr
    assert "with --wait waits for it" in done.stderr
    assert len(json.loads(shell.run("runs", "list", "--json").stdout)["runs"]) == 1
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    shell.nothing_left()


def test_a_server_that_dies_at_its_start_shows_its_last_words(shell: Shell) -> None:
    absent = "--set=dbms.settings.shared_preload_libraries=not_there"
    done = shell.run("run", "quickstart", *QUICK, absent, code=1)
    assert 'could not access file "not_there"' in done.stderr
    shell.nothing_left()


def test_settings_that_the_server_does_not_take_are_told_before_anything_is_built(shell: Shell) -> None:
    wrong = ("--set=dbms.settings.shared_buffers=wrong", "--set=dbms.settings.work_men=4MB")
    said = shell.run("run", "quickstart", *QUICK, *wrong, code=2).stderr
    assert 'invalid value for parameter "shared_buffers": "wrong"' in said
    assert (
        "dbms.settings.work_men: the server on localhost does not take it (did you mean 'work_mem'?)" in said
    )
    assert "data image" not in said
    assert "trial 1" not in said
    shell.nothing_left()


def test_an_own_program_is_measured_without_a_dbms(shell: Shell) -> None:
    (shell.workspace / "mine.yml").write_text(FAST)
    result = json.loads(shell.run("run", "mine.yml", "--json", "--set=design.blocks=3").stdout)
    assert result["comparisons"][0]["effect"] == 0
    assert Path(shell.workspace / result["path"] / "report.html").exists()
    shell.nothing_left()


SLEEPER = """
name: sleeper
workload:
  role: command
  run: sleep 2
design: {blocks: 2}
metrics: [{name: seconds, better: lower}]
"""


def test_a_second_signal_leaves_now_and_says_how_to_undo(shell: Shell) -> None:
    process = shell.start("run", "quickstart", *QUICK, "--set=workload.duration=3s")
    wait_for(lambda: in_second_trial(shell))
    (supervisor,) = [pid for pid, line in shell.marked() if " supervise " in line]
    os.kill(supervisor, signal.SIGSTOP)  # the way back has to wait for it
    try:
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        told = ""
        while "again: leave now" not in told:
            told += process.stdout.readline()
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=PATIENCE)
    finally:
        os.kill(supervisor, signal.SIGCONT)
    assert process.returncode == 130
    (run,) = shell.workspace.glob("runs/*")
    assert f"benchctl destroy runs/{run.name}" in output
    assert shell.processes() != []
    shell.run("destroy", f"runs/{run.name}")
    shell.nothing_left()


def test_waiting_for_a_host_that_another_run_holds(shell: Shell) -> None:
    (shell.workspace / "sleeper.yml").write_text(SLEEPER)
    first = shell.start("run", "sleeper.yml")
    wait_for(lambda: list(shell.lease.glob("*.json")))
    done = shell.run("run", "sleeper.yml", "--wait", "--json")
    assert "waiting:" in done.stderr
    assert f"pid {first.pid}" in done.stderr
    assert json.loads(done.stdout)["state"] == "finished"
    first.communicate(timeout=PATIENCE)
    assert first.returncode == 0
    shell.nothing_left()


def test_a_large_run_is_asked_about_before_anything_is_made(shell: Shell) -> None:
    done = shell.run("run", "quickstart", "--set=design.blocks=9999", code=2)
    assert "2 treatments, 19998 trials, about 48h" in done.stderr
    assert "--yes" in done.stderr
    assert not (shell.workspace / "runs").exists()
