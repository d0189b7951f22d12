"""The shipped example of stages with the real command: on this machine, and on hosts with a real Redis."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.host import await_true

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.conftest import Shell
    from tests.lab.host import LabHost
    from tests.lab.lab import Lab

ROOT = Path(__file__).parents[2]
EXAMPLE = str(ROOT / "experiments" / "stages-example.yml")
SHORT = ("--set=design.blocks=1",)
LOCAL = ("--set=hosts={provider: local}", *SHORT)
TOY = Path(__file__).parents[1] / "cases" / "stages" / "redis-server"


@pytest.fixture
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The example's own ports on this machine, for one test at a time in whichever process."""
    with (tmp_path_factory.getbasetemp().parent / "stages-example.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def toy(cold_shell: Shell, tmp_path: Path, ports: None) -> Path:
    """A redis-server that knows what the gateway asks of it, first on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "redis-server"
    program.write_text(f"#!{sys.executable}\n{TOY.read_text(encoding='utf-8')}", encoding="utf-8")
    program.chmod(0o755)
    cold_shell.environment["PATH"] = f"{folder}:{os.environ['PATH']}"
    return program


def only_run(shell: Shell) -> Path:
    (found,) = (shell.workspace / "runs").iterdir()
    return found


def trials(run: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(run.glob("trials/*/trial.json"))]


def services(run: Path) -> list[tuple[str, str]]:
    """Each start and stop that was done, in order."""
    entries = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    meant = {e["seq"]: e for e in entries if e["phase"] == "meant" and e["act"].startswith("service.")}
    done = [e["of"] for e in entries if e["phase"] == "done" and e["of"] in meant]
    return [(meant[seq]["act"].partition(".")[2], meant[seq]["data"]["instance"]) for seq in done]


def test_on_this_machine(cold_shell: Shell, toy: Path) -> None:
    cold_shell.run("run", EXAMPLE, *LOCAL)
    run = only_run(cold_shell)
    first, second = trials(run)
    assert first["result"]["metrics"]["throughput"]["value"] > 0
    assert {first["levels"]["connections"], second["levels"]["connections"]} == {"shared", "own"}
    assert services(run) == [
        ("start", "database.redis"),
        ("start", "gateway.1"),
        ("stop", "gateway.1"),
        ("start", "gateway.1"),
        ("stop", "gateway.1"),
        ("stop", "database.redis"),
    ]
    logs = run / "hosts" / "localhost" / "logs"
    assert "Ready to accept connections" in (logs / "database" / "redis.log").read_text()
    assert "round_trip" in (logs / "ping" / "1.stdout").read_text()
    cold_shell.nothing_left()


def test_a_gateway_that_finds_no_redis_fails_the_trial_and_leaves_nothing(
    cold_shell: Shell, toy: Path
) -> None:
    lie = 'print("Ready to accept connections", flush=True); import time; time.sleep(60)\n'
    toy.write_text(f"#!{sys.executable}\n{lie}", encoding="utf-8")
    done = cold_shell.run("run", EXAMPLE, *LOCAL, "--set=design.on_failure=stop", code=1)
    assert "stage gateway, task 1" in done.stderr
    assert "Connect call failed" in done.stderr
    run = only_run(cold_shell)
    assert services(run)[-1] == ("stop", "database.redis")
    cold_shell.nothing_left()


def test_ctrl_c_stops_every_service(cold_shell: Shell, toy: Path) -> None:
    with cold_shell.start("run", EXAMPLE, *LOCAL) as process:
        pinged = "runs/*/hosts/*/logs/ping/1.stdout"
        await_true(lambda: any(cold_shell.workspace.glob(pinged)), "the stage ping", 60)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert services(only_run(cold_shell))[-2:] == [("stop", "gateway.1"), ("stop", "database.redis")]
    cold_shell.nothing_left()


def test_a_run_whose_controller_was_killed_is_resumed(cold_shell: Shell, toy: Path) -> None:
    with cold_shell.start("run", EXAMPLE, *LOCAL) as process:
        first = "runs/*/trials/0001/trial.json"
        await_true(lambda: any(cold_shell.workspace.glob(first)), "the first trial", 120)
        process.kill()
        process.communicate(timeout=60)
    run = only_run(cold_shell)
    assert ("start", "database.redis") in services(run)
    assert ("stop", "database.redis") not in services(run)
    cold_shell.run("resume", "latest")
    assert [trial["ordinal"] for trial in trials(run)] == [1, 2]
    assert services(run)[-1] == ("stop", "database.redis")
    cold_shell.nothing_left()


FAULTY = """
name: faulty
stages:
  - {name: service, group: one, tasks: [{name: it, run: SERVICE, kind: service, ready: {READY, timeout: 1s}}]}
  - name: load
    group: one
    measure: {duration: 1s}
    tasks:
      - {shell: true, run: 'sleep 3; echo "{\\"ops\\": 1}"', parse: {json: true}, units: {ops: 1/s}}
design: {blocks: 1}
metrics: [{name: ops, better: higher}]
"""


def faulty(shell: Shell, service: str, ready: str) -> str:
    """Run an experiment whose service does not do; return what is said of it."""
    text = FAULTY.replace("SERVICE", service).replace("READY", ready)
    (shell.workspace / "faulty.yml").write_text(text, encoding="utf-8")
    done = shell.run("run", "faulty.yml", code=1)
    shell.nothing_left()
    return done.stderr


def test_a_service_that_never_becomes_ready(cold_shell: Shell) -> None:
    said = faulty(cold_shell, "[sh, -c, 'echo still waiting; sleep 60']", "log: ^ready")
    assert "stage service, task it" in said
    assert "service.it was not ready within 1 s" in said
    assert "still waiting" in said


def test_a_service_that_dies_under_load(cold_shell: Shell) -> None:
    said = faulty(cold_shell, "[sh, -c, 'echo ready; sleep 1; echo out of luck; exit 9']", "log: ^ready")
    assert "localhost: service.it ended by itself in mid-trial" in said
    assert "out of luck" in said


def test_on_hosts_with_redis(cold_shell: Shell, lab: Lab) -> None:
    dbms, gateway, *loaders = lab.hosts(4)
    hosts = lab.inventory({"dbms": [dbms], "gateway": [gateway], "loader": loaders})
    cold_shell.run("run", EXAMPLE, *SHORT, f"--set=hosts.path={hosts}")
    run = only_run(cold_shell)
    for trial in trials(run):
        assert [load["host"] for load in trial["loads"]] == [host.name for host in loaders]
        parts = [load["result"]["metrics"]["throughput"]["value"] for load in trial["loads"]]
        assert trial["result"]["metrics"]["throughput"]["value"] == pytest.approx(sum(parts))
        assert trial["result"]["metrics"]["latency_mean"]["value"] > 0
        assert trial["result"]["metrics"]["latency_p99"]["value"] is None  # percentiles are never averaged
        assert trial["start"]["spread"] >= 0
        assert trial["host"] == dbms.name
    assert (run / "hosts" / dbms.name / "logs" / "database" / "redis.log").exists()
    assert all(not processes(host) for host in (dbms, gateway, *loaders))


def test_one_host_of_many_fails_a_stage_that_starts_together(cold_shell: Shell, lab: Lab) -> None:
    members = lab.hosts(3)
    hosts = lab.inventory({"one": members})
    command = 'if [ "$INDEX" = 1 ]; then echo no luck >&2; exit 5; fi; exec sleep 271'
    task = f"""{{shell: true, run: '{command}', env: {{INDEX: "{{{{ host.index }}}}"}}, timeout: 5m}}"""
    text = (
        FAULTY.replace(
            "group: one, tasks: [{name: it, run: SERVICE, kind: service, ready: {READY, timeout: 1s}}]",
            f"group: one, start: together, tasks: [{task}]",
        )
        + f"hosts: {{provider: inventory, path: {hosts}, groups: {{one: {{count: 3}}}}}}\n"
    )
    (cold_shell.workspace / "faulty.yml").write_text(text, encoding="utf-8")
    said = cold_shell.run("run", "faulty.yml", code=1).stderr
    assert f"{members[1].name}: stage service, task 1 ended with exit code 5" in said
    assert "no luck" in said
    assert [host.shell("pgrep -f '[s]leep 271' || true").strip() for host in members] == ["", "", ""]


def processes(host: LabHost) -> str:
    """What still runs of the example."""
    return host.shell("pgrep -af '[r]edis-server .*6390|[g]ateway.py|[l]oad.py' || true").strip()
