"""The verbs around a run through the real executable, on one real run: while it goes on, and afterwards."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import time
from typing import TYPE_CHECKING

import pytest

import benchctl
from tests.acceptance.conftest import PROGRAM, QUICK, Shell

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.postgres, pytest.mark.ansible, pytest.mark.slow]
PATIENCE = 180.0  # seconds


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def in_a_trial(shell: Shell) -> bool:
    paths = list(shell.workspace.glob("runs/*/journal.jsonl"))
    return bool(paths) and '"service.start","phase":"done"' in paths[0].read_text()


def test_the_verbs_around_a_run(shell: Shell) -> None:
    running = shell.start("run", "quickstart", *QUICK, "--force")  # with a call of Ansible to show
    try:
        wait_for(lambda: in_a_trial(shell) or running.poll() is not None)
        while_it_goes_on(shell)
        out, _ = running.communicate(timeout=PATIENCE)
    finally:
        if running.poll() is None:
            running.kill()
            running.communicate()
    assert running.returncode == 0, out
    logs_of_a_finished_run(shell)
    hand_on(shell)
    compare_and_remove(shell)
    clean(shell)


def while_it_goes_on(shell: Shell) -> None:
    """What would harm the run is refused; its logs can be followed to its end, from the host itself."""
    assert "is running" in shell.run("runs", "rm", "latest", "--yes", code=1).stderr
    assert "is running" in shell.run("runs", "export", "latest", code=1).stderr
    assert "holds this host" in shell.run("clean", "--yes", code=3).stderr
    wait_for(lambda: "ready to accept" in shell.run("logs", "latest", "--host", "localhost").stdout)
    followed = shell.run("logs", "latest", "--follow").stdout.splitlines()
    assert "run.started" in followed[0]
    assert followed[-1].split()[1:] == ["run.ended", "note", "state=finished"]


def logs_of_a_finished_run(shell: Shell) -> None:
    assert "ready to accept connections" in shell.run("logs", "latest", "--host", "localhost").stdout
    assert "tps = " in shell.run("logs", "latest", "--trial", "4").stdout
    assert "PLAY RECAP" in shell.run("logs", "latest", "--ansible").stdout
    entries = json.loads(shell.run("logs", "latest", "--json").stdout)["entries"]
    assert [entry["act"] for entry in entries if entry["phase"] == "note"] == ["run.started", "run.ended"]
    line = f"{PROGRAM} logs latest | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=shell.workspace,
        env=shell.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)


def hand_on(shell: Shell) -> None:
    """An archive, unpacked elsewhere, is a run that reports the same."""
    name = shell.run("runs", "export", "latest").stdout.strip()
    there = shell.workspace / "elsewhere" / "runs"
    with tarfile.open(shell.workspace / name) as archive:
        archive.extractall(there, filter="data")
    (copy,) = there.iterdir()
    subprocess.run(["sha256sum", "--check", "--quiet", "MANIFEST.sha256"], cwd=copy, check=True)
    before = (copy / "summary.json").read_bytes()
    shell.run("report", str(copy), "--recompute")
    assert (copy / "summary.json").read_bytes() == before
    assert len(benchctl.load(str(copy)).trials) == 4


def compare_and_remove(shell: Shell) -> None:
    (one,) = (shell.workspace / "runs").iterdir()
    two = one.with_name("another")
    shutil.copytree(one, two)
    plan = json.loads((two / "plan.json").read_text())
    plan["experiment"]["workload"]["options"]["clients"] = 8
    (two / "plan.json").write_text(json.dumps(plan))
    groups = json.loads(shell.run("runs", "diff", one.name, "another", "--json").stdout)["groups"]
    differing = {group["name"]: group["differences"] for group in groups if group["differences"]}
    assert differing == {"experiment": [{"path": "workload.clients", "a": 4, "b": 8}]}
    shell.run("runs", "rm", "another", one.name, "--yes")
    assert list((shell.workspace / "runs").iterdir()) == []


def clean(shell: Shell) -> None:
    items = json.loads(shell.run("clean", "--json").stdout)["items"]
    assert {item["kind"] for item in items} == {"image", "instance", "capacity"}
    shell.run("clean", "--yes")
    assert list(shell.cache.glob("images/*")) + list(shell.cache.glob("instances/*")) == []
    shell.nothing_left()
    again = shell.run("run", "quickstart", *QUICK, "--set=design.blocks=1", "--json", code=0)
    assert json.loads(again.stdout)["state"] == "finished"


def test_a_first_experiment_from_init_runs(shell: Shell) -> None:
    file = shell.run("init", "first", "--factor", "workload.clients=1,2", "--blocks", "2").stdout.strip()
    shell.run("validate", file)
    short = ("--set=workload.scale=1", "--set=workload.warmup=0s", "--set=workload.duration=1s")
    told = json.loads(shell.run("run", file, *short, "--json").stdout)
    assert told["trials"]["planned"] == 4
    assert {row["factor"] for row in told["comparisons"]} == {"workload.clients"}
    shell.nothing_left()
