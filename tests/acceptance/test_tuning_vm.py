"""Tuning on a kernel of its own: what a host is set to before is what it is set to after, byte for byte.

Whatever ends it: the command itself, kill -9 at any step of the journal, or the mains. One VM for the file;
what is compared, and what is left out, is in tests/lab/snapshot.py. BENCHCTL_TEST_STEPS is how many steps an
act is killed at (999: all), BENCHCTL_TEST_CUTS how many the power is cut at (6: all; without it, what kills
commands and whole VMs is left out).
BENCHCTL_TEST_RECORD writes down what became of each knob, for the documentation.
"""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.agent import build
from benchctl.agent.forms import same
from benchctl.agent.knobs import KNOBS
from benchctl.agent.profiles import PROFILES
from benchctl.benchmark.connection import connect
from benchctl.model.host import Host
from docs import outcomes
from tests.acceptance.conftest import PROGRAM
from tests.lab import snapshot
from tests.lab.host import await_true
from tests.lab.own_vm import NAME, OwnVm
from tests.lab.steps import PAUSED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow
STEPS = int(os.environ.get("BENCHCTL_TEST_STEPS", "2"))
CUTS = int(os.environ.get("BENCHCTL_TEST_CUTS", "0"))
CUT_AT = (20, 2, 1, 8, 35, 50)  # steps; 1 is half of the journal's text, 2 all of it
LIMIT = 600.0
TTL = 30.0  # seconds for which a killed run may come back: to begin takes a VM some of them
ENDED = "1 acts of tuning ended with their boot: nothing to restore"
TORN = "ends in the middle of a line"
SET = ("applied", "already")
AGENT, JOURNAL = "/root/agent.pyz", "/var/lib/benchctl/tuning.jsonl"
ON_DEMAND = pytest.mark.skipif(
    not CUTS, reason="takes ten minutes on an emulated VM: BENCHCTL_TEST_CUTS=1 runs it, 6 all of it"
)
STEPPING = f"cd /root; PYTHONPATH={AGENT} setsid python3 -m tests.lab.steps"
WRAPPER = "/root/python-that-stops"
# In Python's place: the supervisor of a run stops at a step, all else goes on as ever.
STOPPING = f"""#!/bin/bash
if [[ $3 == supervise ]]; then
  cd /root
  PYTHONPATH=$2 exec /usr/bin/python3 -m tests.lab.steps pause $(cat /root/step) "${{@:3}}"
fi
exec -a {WRAPPER} /usr/bin/python3 "$@"
"""
# Units as Debian's packages bring them: one at work, one that waits, one that nobody has started.
UNITS = {
    "cron.service": "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n",
    "man-db.timer": "[Timer]\nOnBootSec=30d\n[Install]\nWantedBy=timers.target\n",
    "man-db.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
    "unattended-upgrades.service": "[Service]\nExecStart=/bin/sleep infinity\n",
}


class Bed:
    """The VM with what the tests need on it, and the command that they run."""

    def __init__(self, vm: OwnVm, folder: Path) -> None:
        self.vm = vm
        self.environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("BENCHCTL_")},
            "BENCHCTL_CACHE": str(folder / "cache"),
        }
        vm.ssh("mkdir -p /root/tests/lab")
        for name in ("snapshot", "steps"):
            vm.upload(Path(snapshot.__file__).with_name(f"{name}.py"), f"/root/tests/lab/{name}.py")
        vm.put(WRAPPER, STOPPING)
        for name, text in UNITS.items():
            vm.put(f"/usr/lib/systemd/system/{name}", text)
        vm.upload(build.zipapp(folder / "cache"), AGENT)
        vm.ssh(f"chmod +x {WRAPPER}; systemctl enable --now --quiet cron.service man-db.timer")

    def hosts(self, verb: str, code: int = 0) -> dict[str, Any]:
        """What `benchctl hosts VERB` tells of the VM."""
        done = subprocess.run(self._command(verb), **self._run, timeout=LIMIT, check=False)
        assert done.returncode == code, f"{verb}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return dict(json.loads(done.stdout)["hosts"][NAME])

    def snapshot(self) -> dict[str, str]:
        return dict(json.loads(self.vm.ssh("python3 /root/tests/lab/snapshot.py")))

    def agent(self, verb: str) -> dict[str, Any]:
        """What the agent's program says on the host, without a controller."""
        return dict(json.loads(self.vm.ssh(f"python3 {AGENT} {verb}", check=False)))

    def knobs(self) -> dict[str, Any]:
        """What the knobs that are acted on are set to: some show in no file."""
        rows = {row["knob"]: row["values"] for row in self.agent("snapshot")["knobs"]}
        return {name: values for name, values in rows.items() if KNOBS[name].acts}

    def journal(self) -> list[list[Any]]:
        """The entries; none without a file."""
        lines = self.vm.ssh(f"cat {JOURNAL} 2>/dev/null || true").splitlines()
        return [line["entry"] for line in map(json.loads, lines) if "entry" in line]

    def kill_command(self, step: int) -> None:
        """Kill `hosts tune` and the agent it tunes by, when the agent has done so many steps."""
        self._stop_at(step)
        plain = self.vm.inventory.read_text("utf-8")
        self.vm.inventory.write_text(plain.replace("/usr/bin/python3", WRAPPER), "utf-8")
        command = subprocess.Popen(self._command("tune"), **self._run)
        try:
            self._kill_stopped(command.kill, lambda: _said(command))
        finally:
            command.kill()
            command.communicate()
            self.vm.inventory.write_text(plain, "utf-8")

    def kill_run(self, step: int) -> None:
        """Kill the agent of a run that tunes for its own time, and let nobody come back to it."""
        self._stop_at(step)
        host = Host(name=NAME, transport="ssh", options={**self.vm.options(), "python": WRAPPER})
        agent = connect(host, "guarded", owner="tests", ttl=TTL)
        asked = agent.submit("tune", values=PROFILES["repeatable"])
        self._kill_stopped(agent.close, lambda: f"{asked.result(LIMIT)}" if asked.done else "")

    def stop_by_hand(self, step: int) -> None:
        """Let the agent's program tune by itself, and stop for good when it has done so many steps."""
        self._stop_at(step)
        self.vm.ssh(f"{STEPPING} pause {step} tune repeatable </dev/null >/root/log 2>&1 &")
        self._await_stop()

    def _stop_at(self, step: int) -> None:
        self.vm.ssh(f"rm -f {PAUSED}; echo {step} > /root/step")

    def _await_stop(self, ended: Callable[[], str] = str) -> str:
        """The pid of what has stopped; an error with what `ended` says of whoever ended before it stopped."""

        def look() -> str:
            said = ended()
            assert not said, said
            return self.vm.ssh(f"cat {PAUSED} 2>/dev/null", check=False).strip()

        try:
            return await_true(look, "it stops", LIMIT)
        except TimeoutError as error:
            there = self.vm.ssh("ps -e -o pid,stat,etime,args --sort=start_time | tail -n 20", check=False)
            raise AssertionError(f"{error}\n{there}\n{self.journal()}") from error

    def _kill_stopped(self, controller: Callable[[], None], ended: Callable[[], str]) -> None:
        pid = self._await_stop(ended)
        controller()
        self.vm.ssh(f"kill -KILL {pid}")

    def _command(self, verb: str) -> list[str]:
        return [PROGRAM, "hosts", verb, "--inventory", str(self.vm.inventory), "--json"]

    @property
    def _run(self) -> dict[str, Any]:
        pipe = subprocess.PIPE
        return {"env": self.environment, "text": True, "stdout": pipe, "stderr": pipe}


def _said(command: subprocess.Popen[str]) -> str:
    """What a command said that has ended; "" while it goes on."""
    return "" if command.poll() is None else f"it ended: {command.communicate()}"


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("vm")
    vm = OwnVm(folder, "test-tuning-vm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCHCTL_CACHE", str(folder / "cache"))
        try:
            vm.boot(patch)
            yield Bed(vm, folder)
        finally:
            vm.close()


def differences(before: dict[str, str], after: dict[str, str]) -> list[tuple[str, str | None, str | None]]:
    return [(path, before.get(path), after.get(path)) for path in snapshot.changed(before, after)]


def named(journal: str) -> set[str]:
    """The places of the entries that are whole, with what the kernel changes along with them."""
    found: set[str] = set()
    for line in journal.splitlines():
        with suppress(ValueError):
            entry = json.loads(line).get("entry")
            found |= {entry[3], *entry[6]} if entry else set()
    return found


def strays(bed: Bed, moved: list[str]) -> list[str]:
    """What changed and no entry of the journal names, nor shows the same."""
    names = {path for entry in bed.journal() for path in (entry[3], *entry[6])}
    real = bed.vm.ssh("xargs -n 1 realpath --", text="\n".join(name for name in names if name[0] == "/"))
    places = {*names, *real.split()}
    return [path for path in moved if not snapshot.explained(path, places)]


def test_a_host_is_given_back_byte_for_byte(bed: Bed) -> None:
    assert bed.hosts("verify")["places"] == 0  # and what a first connection of a boot leaves is there
    before, knobs = bed.snapshot(), bed.knobs()
    assert before["unit cron.service"] == "loaded active running"
    assert before["unit man-db.timer"] == "loaded active waiting"
    there = bed.agent("snapshot")["knobs"]
    rows = {row["knob"]: row for row in bed.hosts("tune")["knobs"]}
    assert_as_recorded(outcomes.words(there, list(rows.values())))
    assert [name for name, row in rows.items() if row["outcome"] == "failed"] == []
    for name in ("swappiness", "thp", "timers", "services", "wakeup_latency"):
        assert rows[name]["outcome"] == "applied", rows[name]
    tuned = bed.snapshot()
    changed = snapshot.changed(before, tuned)
    assert strays(bed, changed) == []
    assert missing(bed, changed) == []
    found = bed.hosts("verify")
    assert found["drifts"] == 0
    assert found["places"] == sum(rows[name]["counts"].get(word, 0) for name in rows for word in SET)
    undone = bed.hosts("restore")
    assert (undone["left"], undone["failed"], undone["gone"], undone["problems"]) == ([], [], [], [])
    assert differences(before, bed.snapshot()) == []
    assert bed.knobs() == knobs
    assert bed.journal() == []


def assert_as_recorded(found: dict[str, str]) -> None:
    """The documentation says of each knob what this VM says; how many places it has may differ."""
    if os.environ.get("BENCHCTL_TEST_RECORD"):
        outcomes.RECORDED.parent.mkdir(exist_ok=True)
        outcomes.RECORDED.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    recorded = outcomes.outcomes()["vm"]
    assert {name: plain(text) for name, text in found.items()} == {
        name: plain(text) for name, text in recorded.items()
    }, "record it anew: BENCHCTL_TEST_RECORD=1, then `make docs`"


def plain(outcome: str) -> str:
    """An outcome without its counts; whether it was so before depends on how far the boot is."""
    word = outcome.partition(" ")[0]
    return "set" if word in SET else word


def missing(bed: Bed, changed: list[str]) -> list[str]:
    """The files that the journal says were changed, and nothing changed there."""
    said = [
        path
        for _, kind, form, path, old, new, _ in bed.journal()
        if kind == "file" and not same(form, old, new)
    ]
    real = bed.vm.ssh("xargs -n 1 realpath --", text="\n".join(said)).split()
    return [path for path in real if path not in changed and not path.startswith("/proc/irq/")]


@ON_DEMAND
@pytest.mark.parametrize("who", ["command", "guard"])
def test_a_killed_controller_and_agent_leave_a_host_that_is_given_back(bed: Bed, who: str) -> None:
    before = bed.snapshot()
    if who == "command":
        bed.kill_command(step=30)
        assert bed.agent("drift")["drifts"] > 0  # in the middle: some are set, and some are not
        bed.hosts("restore")
    else:
        bed.kill_run(step=40)
        await_true(lambda: not bed.journal(), "the guard gives back", LIMIT)
    await_true(lambda: "supervise" not in bed.vm.ssh("ps -e -o args"), "no agent is left")
    assert differences(before, bed.snapshot()) == []


def test_kill_9_at_any_step_is_undone(bed: Bed) -> None:
    said = bed.vm.ssh(f"{STEPPING} loop {STEPS}", limit=4 * 3600)
    told = [json.loads(line) for line in said.splitlines()]
    assert {row["act"] for row in told} == {"tune", "restore"}
    assert [row for row in told if row["wrong"]] == []
    assert max(row["changed"] for row in told) > 40


@ON_DEMAND
@pytest.mark.parametrize("step", CUT_AT[: max(CUTS, 1)])
def test_a_power_cut_undoes_all_and_the_journal_says_so(bed: Bed, step: int) -> None:
    before = bed.snapshot()
    bed.stop_by_hand(step)
    there = bed.vm.ssh(f"cat {JOURNAL}")
    bed.vm.cut_power()
    assert bed.vm.ssh(f"cat {JOURNAL}") == there  # what was synced is there, to the last byte
    await_true(
        lambda: bed.vm.ssh("systemctl is-system-running", check=False).strip() == "running",
        "it has booted",
        LIMIT,
    )
    booted = bed.snapshot()  # another boot numbers devices anew: what the journal names is compared
    names = named(there)
    assert [row for row in differences(before, booted) if snapshot.explained(row[0], names)] == []
    undone = bed.agent("restore")
    assert (undone["restored"], undone["left"], undone["failed"], undone["gone"]) == (0, [], [], [])
    assert ENDED in undone["problems"]
    assert [TORN in one for one in undone["problems"]].count(True) == (step == 1)
    outcomes = {row["knob"]: row["outcome"] for row in bed.agent("tune repeatable")["knobs"]}
    assert outcomes["swappiness"] == "applied"
    assert bed.agent("restore")["failed"] == []
    assert differences(booted, bed.snapshot()) == []
