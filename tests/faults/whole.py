"""Whole runs on hosts of the lab: the real command, an experiment whose loads wait for a word, what stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.acceptance.conftest import PROGRAM, Shell
from tests.lab.host import await_true

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.lab.host import LabHost
    from tests.lab.lab import Lab

PATIENCE = 90.0
DRIVER = Path(__file__).with_name("driver.py")

# The load says that it began, waits for the file /lab/go, or go-ORDINAL, which the test makes from outside,
# and says that it is at its end. With LENGTH 0 and the file there it is a load of nothing.
EXPERIMENT = """
name: whole
hosts: {provider: inventory, path: PATH, groups: {server: {count: 1}, loader: {count: 2}}}
stages:
  - name: base
    group: server
    tasks:
      - {name: first, kind: service, run: [sh, -c, echo first is up; exec sleep 3600], ready: {log: is up}}
      - {name: second, kind: service, run: [sh, -c, echo second is up; exec sleep 3600], ready: {log: is up}}
  - name: load
    group: loader
    start: START
    measure: {warmup: 0s, duration: LENGTH}
    tasks:
      - run:
          - sh
          - -c
          - >-
            echo $1 >> /root/began; until [ -e /lab/go -o -e /lab/go-$1 ]; do sleep 0.02; done;
            sleep $2; sleep 0.3;
            echo $1 >> /root/ended; printf '{"ops": %d}' $1
          - whole-run-load
          - "{{ trial.ordinal }}"
          - "{{ duration }}"
        parse: {json: true}
        units: {ops: 1/s}
        timeout: 2m
design: {blocks: 2}
metrics: [{name: ops, better: higher}]
"""

# Every trace of a run on a host: files, sockets, the lease, processes, units, cgroups.
TRACES = r"""
ls -d /root/.cache/benchctl/runs/* /tmp/benchctl-0/* /run/user/0/benchctl/* /tmp/benchctl-lease/lease.json
for process in /proc/[0-9]*; do
  tr '\0' '\n' < $process/environ | grep -q '^BENCHCTL_RUN=' && tr '\0' ' ' < $process/cmdline
done
systemctl list-units --all --plain --no-legend 'benchctl-*'
own=$(sed -n 's/^[^:]*:name=systemd:\|^0:://p' /proc/1/cgroup | sed 's,/init.scope$,,' | head -1)
find /sys/fs/cgroup -type d -path "*${own%/}/bench.slice/*"
true
"""


def traces(host: LabHost) -> str:
    return host.shell(f"({TRACES}) 2>/dev/null").strip()


class Site:
    """Hosts for the runs of one module: a server, and two for loads."""

    def __init__(self, lab: Lab, names: Sequence[str]) -> None:
        self.lab = lab
        self.hosts = [lab.fresh(name) for name in names]

    @property
    def groups(self) -> dict[str, list[LabHost]]:
        server, *loaders = self.hosts
        return {"server": [server], "loader": loaders}

    def mend(self) -> None:
        """Make all hosts reachable again, whatever a failed test left of them."""
        for host in self.hosts:
            host.restore_packets()
            if not host.answers():
                host.revive_sshd()

    def close(self) -> None:
        self.lab.remove(*(host.name for host in self.hosts))


class Whole(Shell):
    """The command in a workspace of the test's own, with an experiment on hosts of the lab."""

    def __init__(self, folder: Path, runtime: Path) -> None:
        super().__init__(folder, runtime)
        self.environment.pop("SSH_AUTH_SOCK", None)
        self.hosts: list[LabHost] = []
        self.children: list[subprocess.Popen[str]] = []

    def start(self, *words: str) -> subprocess.Popen[str]:
        self.children.append(super().start(*words))
        return self.children[-1]

    def close(self) -> None:
        """End what a failed test left, so that the next one finds the hosts free."""
        for child in self.children:
            if child.poll() is None:
                child.kill()
                child.wait()
            if child.stdout is not None:
                child.stdout.close()
        if any(traces(host) for host in self.hosts):
            for run in self.workspace.glob("runs/*"):
                subprocess.run([PROGRAM, "destroy", run], env=self.environment, check=False)

    def prepare(
        self,
        lab: Lab,
        groups: Mapping[str, Sequence[LabHost]],
        text: str = EXPERIMENT,
        *,
        length: str = "0.2s",
        go: bool = False,
        together: bool = False,
    ) -> None:
        """Write whole.yml for these hosts, and forget what earlier runs said there.

        Loads that begin together are tried again when a busy host was late; the others begin once.
        """
        self.hosts = [host for members in groups.values() for host in members]
        for host in self.hosts:
            host.shell("rm -f /root/began /root/ended")
            for word in host.folder.glob("go*"):
                word.unlink()
        if go:
            self.go()
        text = text.replace("PATH", str(lab.inventory(groups))).replace("LENGTH", length)
        text = text.replace("START", "together" if together else "free")
        (self.workspace / "whole.yml").write_text(text, encoding="utf-8")

    def go(self, ordinal: int | None = None) -> None:
        """Let the loads come to their end, or that of one trial."""
        for host in self.hosts:
            (host.folder / ("go" if ordinal is None else f"go-{ordinal}")).touch()

    def drive(self, *words: str, **limits: float) -> subprocess.Popen[str]:
        """Start the command with other limits than its own, for faults that it waits minutes for."""
        given = [f"{name}={value}" for name, value in limits.items()]
        process = subprocess.Popen(
            [sys.executable, str(DRIVER), *given, "--", *words],
            cwd=self.workspace,
            env=self.environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.children.append(process)
        return process

    def await_load(self, host: LabHost, count: int = 1) -> None:
        """Wait until so many loads have begun there."""
        await_true(lambda: len(said(host, "began")) >= count, f"load {count} on {host.name}", PATIENCE)

    @property
    def only_run(self) -> Path:
        (run,) = self.workspace.glob("runs/*")
        return run

    def entries(self) -> list[dict[str, Any]]:
        found = list(self.workspace.glob("runs/*/journal.jsonl"))
        lines = found[0].read_text().splitlines() if found else []
        return [json.loads(line) for line in lines if line.endswith("}")]

    def completed(self) -> Counter[int]:
        """How often each trial came to its end."""
        entries = self.entries()
        ordinals = {e["seq"]: e["data"]["ordinal"] for e in entries if (e["act"], e["phase"]) == TRIAL_MEANT}
        return Counter(ordinals[e["of"]] for e in entries if (e["act"], e["phase"]) == TRIAL_DONE)

    def trials(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted(self.only_run.glob("trials/*/trial.json"))]

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("status", "latest", "--json").stdout)
        return found

    def check_finished(self, count: int = 2) -> list[dict[str, Any]]:
        """All trials are there, each was done once, and no host keeps anything; return the trials."""
        status = self.status()
        assert (status["state"], status["trials_done"], status["trials_failed"]) == ("finished", count, {})
        assert self.completed() == dict.fromkeys(range(1, count + 1), 1)
        trials = self.trials()
        assert [trial["result"]["metrics"]["ops"]["value"] for trial in trials] == [
            2 * trial["ordinal"] for trial in trials
        ]
        self.clean()
        return trials

    def clean(self, *, but: Sequence[LabHost] = ()) -> None:
        """Nothing of any run is on the hosts, nor here."""
        for host in self.hosts:
            if host not in but:
                with suppress(TimeoutError):
                    await_true(lambda host=host: not traces(host), "clean", 10)  # type: ignore[misc]
                found = traces(host)
                assert not found, f"{host.name}: {found}"
        if not but:  # the processes of the hosts are this machine's too
            await_true(lambda: not self.processes(), "no process here", 10)


TRIAL_MEANT, TRIAL_DONE = ("trial", "meant"), ("trial", "done")


def said(host: LabHost, name: str) -> list[str]:
    """The ordinals of loads in the order in which they began, or ended, on a host."""
    return host.shell(f"cat /root/{name} 2>/dev/null || true").split()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the command; its exit code and all it said."""
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert "Traceback" not in output, output
    return process.returncode, output
