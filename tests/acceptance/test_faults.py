"""Faults through the real executable: a clear error, the right exit code, nothing lost, nothing left."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from benchctl.agent import layout
from tests.acceptance.conftest import FAST, PROGRAM, QUICK, Shell
from tests.needs import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.postgres, pytest.mark.ansible, pytest.mark.slow]
ONE_BLOCK = (*QUICK, "--set=design.blocks=1", "--set=design.min_blocks=1")
PATIENCE = 300.0
NOBODY = 65534

T = TypeVar("T")


def wait_for(condition: Callable[[], T]) -> T:
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)
    return found


def only_run(shell: Shell) -> Path:
    (run,) = shell.workspace.glob("runs/*")
    return run


def entries(shell: Shell, act: str, phase: str) -> list[dict[str, Any]]:
    paths = list(shell.workspace.glob("runs/*/journal.jsonl"))
    lines = paths[0].read_text().splitlines() if paths else []
    found = [json.loads(line) for line in lines if line.endswith("}")]
    return [entry for entry in found if (entry["act"], entry["phase"]) == (act, phase)]


def find(shell: Shell, words: str) -> int:
    """The process of this run whose command line has these words."""
    return next((pid for pid, line in shell.marked() if words in line), 0)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    finally:
        if process.poll() is None:
            process.kill()
    assert "Traceback" not in output
    return process.returncode, output


def done(shell: Shell) -> int:
    return int(json.loads(shell.run("status", "latest", "--json").stdout)["trials_done"])


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A tmpfs over the folder, which needs root."""
    need("root", "run as root, which may mount", available=os.getuid() == 0)
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0
    need("root", "a container needs CAP_SYS_ADMIN to mount", available=mounted)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    return filler


def test_a_disk_that_fills_in_mid_trial_ends_the_run_and_the_run_goes_on_later(shell: Shell) -> None:
    with small_disk(shell.workspace, "16m"):
        process = shell.start("run", "quickstart", *ONE_BLOCK)
        wait_for(lambda: len(entries(shell, "service.start", "done")) == 2)
        filler = fill(shell.workspace)
        code, output = ended(process)
        assert code == 1, output
        assert "No space left on device" in output
        assert "a defect" not in output
        shell.nothing_left()
        first = (only_run(shell) / "trials/0001/trial.json").read_bytes()
        filler.unlink()
        shell.run("resume", "latest")
        assert done(shell) == 2
        assert (only_run(shell) / "trials/0001/trial.json").read_bytes() == first
        shell.nothing_left()


def test_a_disk_of_the_host_that_is_full_is_said_in_one_line(shell: Shell, warm_cache: Path) -> None:
    shutil.rmtree(shell.cache)
    with small_disk(shell.cache, "100m"):
        shutil.copytree(warm_cache, shell.cache, symlinks=True, dirs_exist_ok=True)
        error = shell.run("run", "quickstart", *ONE_BLOCK, code=3).stderr
        assert "no space left: the copy of the data image needs" in error
        assert "are free; free some, or set BENCHCTL_CACHE" in error
        assert max(map(len, error.splitlines())) < 500
        shell.nothing_left()


def test_a_workspace_that_cannot_be_written_is_said_before_anything_happens(shell: Shell) -> None:
    (shell.workspace / "runs").write_text("not a folder")
    error = shell.run("run", "quickstart", *ONE_BLOCK, code=3).stderr
    assert "the run directory cannot be made" in error
    assert "--workspace" in error
    shell.nothing_left()


def test_a_runtime_folder_too_deep_for_sockets_is_named_with_the_remedy(shell: Shell) -> None:
    deep = shell.runtime / ("d" * 90)
    error = shell.run("run", "quickstart", *ONE_BLOCK, code=3, XDG_RUNTIME_DIR=str(deep)).stderr
    assert f"{deep}/benchctl" in error
    assert "too long for sockets" in error
    assert "To do: XDG_RUNTIME_DIR wants a short path" in error
    shell.nothing_left()


def test_a_socket_that_somebody_else_holds_is_told_in_the_server_s_own_words(shell: Shell) -> None:
    """No port can be in use, since servers have private sockets; a name in their folder can be taken."""
    run = shell.run("provision", "quickstart", *ONE_BLOCK).stdout.strip()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(shell.runtime))
        private = layout.runtime_folder(run)
    private.mkdir(parents=True, mode=0o700)
    with socket.socket(socket.AF_UNIX) as taken, socket.socket(socket.AF_UNIX) as stale:
        taken.bind(str(private / ".s.PGSQL.54321"))
        stale.bind(str(private / "sock"))  # the supervisor's own, of a run that crashed
        lock = private / ".s.PGSQL.54321.lock"
        lock.write_text(f"{os.getpid()}\n/elsewhere\n{int(time.time())}\n54321\n{private}\n")
        error = shell.run("resume", run, code=1).stderr
    assert 'lock file "' in error
    assert "already exists" in error
    shell.nothing_left()
    shell.run("resume", run)
    assert done(shell) == 2
    shell.nothing_left()


def test_a_dbms_or_loader_killed_in_each_phase_costs_that_trial_at_most(shell: Shell) -> None:
    wanted = ("--set=design.blocks=5", "--set=design.min_blocks=5")
    process = shell.start("run", "quickstart", *QUICK, *wanted)
    struck = [
        strike(shell, 1, ("service.start", "meant"), "bin/postgres -D"),
        strike(shell, 3, ("service.start", "done"), "bin/postgres -D"),
        strike(shell, 5, ("service.start", "done"), "bin/postgres -D", once="bin/pgbench"),
        strike(shell, 7, ("service.start", "done"), "bin/pgbench"),
        strike(shell, 9, ("service.stop", "meant"), "bin/postgres -D"),
    ]
    code, output = ended(process)
    assert all(struck), struck
    assert code in {0, 4}, output
    failed = json.loads(shell.run("status", "latest", "--json").stdout)["trials_failed"]
    assert {"1", "3", "5", "7"} <= set(failed) | {"9"} <= {"1", "3", "5", "7", "9"}
    assert "in mid-trial" in failed["5"]
    assert "killed by SIGKILL" in failed["7"]
    shell.nothing_left()
    shell.run("resume", "latest")
    assert done(shell) == 10
    shell.nothing_left()


def strike(shell: Shell, ordinal: int, after: tuple[str, str], words: str, *, once: str = "") -> int:
    """kill -9 a process in a trial, after its entry of the journal, and when `once` runs too."""
    wait_for(lambda: len(entries(shell, "trial", "meant")) >= ordinal)
    before = len(
        [e for e in entries(shell, *after) if e["seq"] < entries(shell, "trial", "meant")[ordinal - 1]["seq"]]
    )
    wait_for(lambda: len(entries(shell, *after)) > before)
    if once:
        wait_for(lambda: find(shell, once))
    pid = wait_for(lambda: find(shell, words))
    os.kill(pid, signal.SIGKILL)
    return pid


def test_a_supervisor_frozen_and_thawed_in_mid_trial_goes_on(shell: Shell) -> None:
    process = shell.start("run", "quickstart", *ONE_BLOCK)
    wait_for(lambda: entries(shell, "service.start", "done"))  # before it pgbench runs for no trial
    loader = wait_for(lambda: find(shell, "bin/pgbench"))
    supervisor = find(shell, " supervise ")
    os.kill(supervisor, signal.SIGSTOP)
    try:
        stat = Path(f"/proc/{loader}/stat")
        wait_for(lambda: not stat.exists() or stat.read_text().rpartition(") ")[2].startswith("Z"))
    finally:
        os.kill(supervisor, signal.SIGCONT)
    code, output = ended(process)
    assert code in {0, 4}, output
    assert done(shell) == 2
    shell.nothing_left()


@pytest.mark.parametrize("closed", ["stdout", "stderr", "both"])
def test_nobody_reading_changes_neither_the_run_nor_its_exit_code(shell: Shell, closed: str) -> None:
    once = shell.workspace / "once"
    (shell.workspace / "mine.sh").write_text(f"mkdir {once} && echo '{{\"throughput\": 12.5}}'")
    text = FAST.replace("printf '{\"throughput\": 12.5}\\n'", f"sh {shell.workspace}/mine.sh")
    (shell.workspace / "mine.yml").write_text(text)
    reading, writing = os.pipe()
    os.close(reading)
    ways: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    ways |= {name: writing for name in ways if closed in {name, "both"}}
    process = subprocess.Popen(
        [PROGRAM, "run", "mine.yml"], cwd=shell.workspace, env=shell.environment, **ways
    )
    os.close(writing)
    assert process.wait(PATIENCE) == 1, "as many trials failed in a row as there are treatments"
    assert done(shell) == 1
    assert (only_run(shell) / "report.html").exists()
    shell.nothing_left()


def test_streams_that_are_closed_from_the_start_change_nothing(shell: Shell) -> None:
    (shell.workspace / "mine.yml").write_text(FAST)
    command = f"exec {PROGRAM} run mine.yml <&- >&- 2>&-"
    subprocess.run(["sh", "-c", command], cwd=shell.workspace, env=shell.environment, check=True)
    assert done(shell) == 2
    shell.nothing_left()


def test_after_a_reboot_the_run_goes_on_and_says_so(shell: Shell) -> None:
    process = shell.start("run", "quickstart", *ONE_BLOCK)
    wait_for(lambda: len(entries(shell, "service.start", "done")) == 2)
    process.kill()
    process.communicate()
    for pid, _ in shell.marked():  # a reboot ends all processes and empties the runtime folder
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not [line for line in shell.processes() if line])
    shutil.rmtree(shell.runtime / "benchctl")
    (record,) = shell.lease.glob("*.json")
    journal = only_run(shell) / "journal.jsonl"
    boot = json.loads(record.read_text())["boot_id"]
    for path in (record, journal):
        path.write_text(path.read_text().replace(boot, "another-boot"))
    begun = len(entries(shell, "trial", "meant"))
    shell.run("resume", "latest")
    assert done(shell) == 2
    first = entries(shell, "trial", "meant")[begun]["data"]["ordinal"]  # 1, where it failed on a busy host
    notes = json.loads((only_run(shell) / "summary.json").read_text())["notes"]
    assert f"the host was rebooted before trial {first}" in notes
    shell.nothing_left()


def test_two_resumes_at_once_are_one(shell: Shell) -> None:
    run = shell.run("provision", "quickstart", *ONE_BLOCK, "--set=workload.duration=3s").stdout.strip()
    first = shell.start("resume", run)
    wait_for(lambda: entries(shell, "connect", "done"))
    error = shell.run("resume", run, code=1).stderr
    assert "another benchctl works on this run" in error
    assert "status" in error
    code, output = ended(first)
    assert (code, done(shell)) == (0, 2), output
    shell.nothing_left()


def test_a_copy_elsewhere_reports_the_same_and_names_what_was_tampered_with(
    shell: Shell, warm_run: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "else where\n" / warm_run.name
    shutil.copytree(warm_run, copy)
    shell.run("report", str(copy), "--recompute")
    assert (copy / "summary.json").read_bytes() == (warm_run / "summary.json").read_bytes()
    log = min(copy.glob("trials/0001/raw/localhost/tx.*"))  # one for each thread
    os.truncate(log, log.stat().st_size // 2)
    error = shell.run("report", str(copy), "--recompute", code=1).stderr
    assert str(log) in error
    assert f"{log} is not what the trials left" in shell.run("runs", "show", str(copy)).stderr
    (copy / "MANIFEST.sha256").unlink()
    assert str(log) in shell.run("report", str(copy), "--recompute", code=1).stderr


def test_a_clock_stepped_by_an_hour_makes_the_trial_invalid(
    shell: Shell, warm_run: Path, tmp_path: Path
) -> None:
    copy = tmp_path / warm_run.name
    shutil.copytree(warm_run, copy)
    (copy / "MANIFEST.sha256").unlink()
    samples = copy / "trials/0001/raw/localhost/host.samples"
    head, *lines = map(json.loads, samples.read_text().splitlines())
    lines[-1]["t"] += 3600
    samples.write_text("".join(json.dumps(line) + "\n" for line in (head, *lines)))
    trial = copy / "trials/0001/trial.json"
    content = json.loads(trial.read_text())
    content["files"]["raw/localhost/host.samples"] = hashlib.sha256(samples.read_bytes()).hexdigest()
    trial.write_text(json.dumps(content))
    shell.run("report", str(copy), "--recompute")
    summary = json.loads((copy / "summary.json").read_text())
    assert summary["trials"]["invalid"] == 1
    (gate,) = [gate for gate in summary["gates"] if gate["gate"] == "clock_step"]
    assert (gate["validity"], gate["worst_trial"]) == ("invalid", 1)
    assert "the wall clock was set while measuring" in gate["reason"]


@pytest.mark.parametrize(("name", "schema"), [("plan.json", 0), ("trials/0001/trial.json", 1)])
def test_a_run_of_another_schema_is_refused_by_every_verb(
    shell: Shell, warm_run: Path, tmp_path: Path, name: str, schema: int
) -> None:
    copy = tmp_path / warm_run.name
    shutil.copytree(warm_run, copy)
    content = json.loads((copy / name).read_text())
    (copy / name).write_text(json.dumps(content | {"schema": schema}))
    verbs = [("report",), ("runs", "show"), *([("resume",), ("status",)] if name == "plan.json" else [])]
    for verb in verbs:
        error = shell.run(*verb, str(copy), code=1).stderr
        assert f"{name}: its schema is {schema}; benchctl" in error
        assert "To do: use the benchctl that made the run" in error
    shell.nothing_left()


def test_a_run_directory_that_is_read_only_can_be_read_and_says_what_it_refuses(
    shell: Shell, warm_run: Path
) -> None:
    need("root", "run as root, which may become another user", available=os.getuid() == 0)
    copy = shell.runtime / warm_run.name  # pytest's folders are closed to others
    shell.runtime.chmod(0o755)
    shutil.copytree(warm_run, copy)
    as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", PROGRAM]
    environment = shell.environment | {"HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [*as_nobody, *words]
        return subprocess.run(
            command, cwd=shell.runtime, env=environment, capture_output=True, text=True, check=False
        )

    assert run("report", str(copy)).returncode == 0
    assert run("status", str(copy)).returncode == 0
    for words, name in (
        (("benchmark",), "journal.jsonl"),
        (("destroy",), "journal.jsonl"),
        (("report", "--recompute"), ".summary.json.tmp"),
        (("report", "--format=html"), ".report.html.tmp"),
    ):
        refused = run(*words, str(copy))
        assert refused.returncode == 1, refused.stderr
        assert f"{name}: Permission denied" in refused.stderr
        assert "To do: " in refused.stderr
    shutil.rmtree(copy)
    shell.nothing_left()


ODD = {
    "posix locale": {"LC_ALL": "POSIX", "LANG": "POSIX"},
    "locale that is not there": {"LC_ALL": "de_DE.UTF-8", "LANGUAGE": "de"},
    "no home": {"HOME": "", "USER": "", "LOGNAME": ""},
}


@pytest.mark.parametrize("odd", ODD)
def test_surroundings_change_nothing(shell: Shell, odd: str, tmp_path: Path) -> None:
    shell.environment |= ODD[odd]
    for name, value in ODD[odd].items():
        if not value:
            del shell.environment[name]
    temporary = shell.runtime / "t ü\u2003x"
    temporary.mkdir()
    shell.environment["TMPDIR"] = str(temporary)
    del shell.environment["XDG_RUNTIME_DIR"]  # sockets go to the temporary folder then
    shell.workspace = tmp_path / "work\nspace – ü"
    experiments = shell.workspace / "experiments"
    experiments.mkdir(parents=True)
    (experiments / "own.yml").write_text(FAST)
    experiments.chmod(0o555)
    done_first = shell.run("run", "experiments/own.yml")
    assert "throughput" in done_first.stdout
    if odd == "posix locale":  # one of them with everything real
        shell.run("run", "quickstart", *ONE_BLOCK, "--force")
    shell.run("report", "latest", PYTHONIOENCODING="iso8859-5")  # most of what a report draws is not in it
    experiments.chmod(0o755)
    assert [path for path in temporary.rglob("*") if not path.is_dir()] == []
    shell.nothing_left()


def test_a_name_too_long_for_a_folder_is_an_error_of_the_file(shell: Shell) -> None:
    (shell.workspace / "long.yml").write_text(FAST.replace("name: mine", f"name: {'n' * 300}"))
    error = shell.run("run", "long.yml", code=2).stderr
    assert "long.yml:2:" in error
    shell.nothing_left()
