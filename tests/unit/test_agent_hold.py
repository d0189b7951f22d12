from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from benchctl.agent import birth, cgroup, hold, probe, surroundings, task
from benchctl.agent.context import Context
from benchctl.agent.refusal import RefusalError
from benchctl.agent.tree import Tree, below, walk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

forks = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # of a process with threads


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Context]:
    monkeypatch.setenv("BENCHCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/x")
    found = Context(f"hold-{os.getpid()}", supervised=False)
    yield found
    for name in found.tasks:
        task.cancel(found, name)
        found.tasks[name].done.wait(20)


def launch(context: Context, argv: list[str]) -> dict[str, object]:
    return task.launch(context, "t1", argv, str(context.work / "t1"), limit=20, hold=True)


@forks
def test_where_ptrace_is_refused_a_task_is_spawned_at_its_instant(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold, "_ptrace", lambda *_: -1)
    assert launch(context, ["touch", "began"]) == {"pid": 0, "held": "spawn"}
    assert not (context.work / "t1/began").exists()
    at = time.monotonic() + 0.05
    task.go(context, "t1", at)
    result = task.await_(context, "t1")
    assert result["exit"] == 0
    assert result["began"] >= at
    assert (context.work / "t1/began").exists()


@forks
def test_where_a_process_cannot_wait_for_its_exec_it_is_spawned_at_its_instant(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(birth, "POSSIBLE", False)
    assert launch(context, ["touch", "began"]) == {"pid": 0, "held": "spawn"}
    task.go(context, "t1", time.monotonic())
    assert task.await_(context, "t1")["exit"] == 0


@pytest.mark.parametrize(
    ("argv", "why"),
    [(["no-such-program"], "No such file"), (["/etc/passwd"], "Permission denied"), (["a\0b"], "NUL")],
)
def test_what_cannot_be_executed_is_refused_and_leaves_nothing_open(
    context: Context, argv: list[str], why: str
) -> None:
    birth._nameless_fifo()  # noqa: SLF001 - the one handle that stays
    before = os.listdir("/proc/self/fd")  # noqa: PTH208 - numbers
    with pytest.raises(RefusalError, match=why):
        launch(context, argv)
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208 - same


def test_a_held_program_has_its_own_session_folder_and_files_and_has_done_nothing(context: Context) -> None:
    (context.work).mkdir(parents=True, exist_ok=True)
    found = launch(context, ["sh", "-c", "pwd; echo err >&2; read x; exec ps -o sid= -p $$"])
    assert found["held"] == "ptrace"
    assert (context.work / "t1/stdout").read_bytes() == b""
    task.go(context, "t1", time.monotonic())
    assert task.await_(context, "t1")["exit"] == 0
    folder, session = (context.work / "t1/stdout").read_text().splitlines()
    assert (folder, int(session)) == (str(context.work / "t1"), found["pid"])
    assert (context.work / "t1/stderr").read_text() == "err\n"


@forks
def test_a_task_that_is_still_to_be_spawned_is_cancelled(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold, "_ptrace", lambda *_: -1)
    launch(context, ["touch", "began"])
    task.cancel(context, "t1")
    result = task.await_(context, "t1")
    assert (result["exit"], result["cancelled"], result["end"]) == (-9, True, result["start"])


@forks
def test_what_gets_its_rights_at_exec_is_executed_after_the_hold(tmp_path: Path) -> None:
    program = tmp_path / "program"
    shutil.copy("/bin/true", program)
    program.chmod(0o755)
    assert hold.holdable([str(program), "-a"], {}) == [str(program), "-a"]
    assert hold.holdable(["program"], {"PATH": str(tmp_path)}) == ["program"]
    program.chmod(0o4755)
    assert hold.holdable([str(program), "-a"], {}) == ["/usr/bin/env", "--", str(program), "-a"]
    assert hold.holdable(["program"], {"PATH": str(tmp_path)}) == ["/usr/bin/env", "--", "program"]
    assert hold.holdable(["program"], {"PATH": "/nowhere"}) == ["program"]


def test_priorities_and_timers_are_given_back() -> None:
    before = os.sched_getscheduler(0)
    with hold.precedence():
        at = time.monotonic() + 0.02
        hold.sleep_until(at)
        assert time.monotonic() >= at
    assert os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == before & ~os.SCHED_RESET_ON_FORK


def test_a_tree_is_summed_up() -> None:
    pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    try:
        found = below(walk(), os.getpid())
        assert {os.getpid(), pid} <= found
        tree = Tree(os.getpid())
        read = tree.read()  # it noticed the child by itself
        assert read["rss"] > 1_000_000
        assert read["cpu"] == pytest.approx(tree.read_cpu(), abs=0.2)
        assert read["ctxt"] > 0
        tree.follow(set(range(10_000, 11_000)))
        assert tree.read() == {"cpu": None}
        assert tree.read_cpu() is None
        tree.close()
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def test_a_tree_that_is_gone_is_nothing() -> None:
    tree = Tree(2**22 + 1)
    assert tree.read()["cpu"] == 0
    tree.close()


def test_interrupts_are_summed_up_by_cpu() -> None:
    found = surroundings.interrupts()
    assert found is not None
    assert found["cpu0"] > 0


def test_units_and_logins_are_systemds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    units, sessions = tmp_path / "units", tmp_path / "sessions"
    monkeypatch.setattr(surroundings, "UNITS", str(units))
    monkeypatch.setattr(surroundings, "SESSIONS", sessions)
    assert surroundings.units() is None
    for folder, names in (
        (units, ("invocation:ssh.service", "log-level-max:x")),
        (sessions, ("c1", "c1.ref")),
    ):
        folder.mkdir()
        for name in names:
            (folder / name).touch()
    assert surroundings.units() == ["ssh.service"]
    assert surroundings.logins() == 1


def test_sensors_are_named_by_chip_and_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "_HWMON", tmp_path / "hwmon")
    monkeypatch.setattr(surroundings, "_CPUFREQ", tmp_path / "cpufreq")
    for chip in ("hwmon0", "hwmon1"):
        folder = tmp_path / "hwmon" / chip
        folder.mkdir(parents=True)
        (folder / "name").write_text("nvme\n")
        (folder / "temp1_input").write_text("41000\n")
    (tmp_path / "hwmon/hwmon0/temp2_input").write_text("no number\n")
    (tmp_path / "hwmon/hwmon0/temp1_label").write_text("Composite\n")
    policy = tmp_path / "cpufreq/policy0"
    policy.mkdir(parents=True)
    (policy / "scaling_cur_freq").write_text("2400000\n")
    sensors = surroundings.Sensors()
    assert sensors.read() == ({"policy0": 2400000}, {"nvme/Composite": 41000, "nvme/temp1": 41000})
    sensors.close()


def test_the_kernel_log_counts_what_is_new() -> None:
    log = surroundings.KernelLog()
    news = log.news()
    log.close()
    assert news is None or news["count"] >= 0  # none where this user may not read it


def test_a_log_is_read_from_its_last_start(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    assert probe.last_start(log) == 0
    log.write_bytes(b"old\n" + probe.mark("a") + b"ready\n" + probe.mark("a") + b"new\n")
    assert log.read_bytes()[probe.last_start(log) :] == b"new\n"
    assert probe.since_start(log.read_text()) == "new\n"
    assert probe.since_start("no mark\n") == "no mark\n"
    ask = probe.of({"log": "ready"}, log)
    assert ask is not None
    assert "no line" in ask(1.0)
    with log.open("ab") as file:
        file.write(b"rea")
    assert "no line" in ask(1.0)
    with log.open("ab") as file:
        file.write(b"dy")
    assert ask(1.0) == ""


def test_a_marker_is_found_in_a_log_that_begins_with_it(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_bytes(probe.mark("a") + b"first\n")
    assert log.read_bytes()[probe.last_start(log) :] == b"first\n"


def test_a_supervisor_whose_thread_is_in_a_task_s_cgroup_is_no_member_of_it(tmp_path: Path) -> None:
    found = cgroup.Cgroups(tmp_path)
    folder = found.home("t1")
    assert folder is not None
    (folder / "cgroup.procs").write_text(f"{os.getpid()}\n1\n")
    assert found.members("t1") == [1]
