"""Whole runs on hosts that a stack makes: nothing is left behind, whatever is killed and whenever."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchctl.provision.cache import cache_folder
from benchctl.provision.janitor import leftovers
from benchctl.provision.lab.image import host_recipe, image
from benchctl.provision.lab.podman import REMEDY, possible
from benchctl.spec.share import shared
from tests.acceptance.conftest import FAST, PROGRAM
from tests.lab.host import await_true
from tests.lab.made import take_away
from tests.needs import engine_variables, need, wheel_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.conftest import Shell

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("BENCHCTL_TEST_KILLS", "4"))
EXPERIMENT = FAST + "hosts: {provider: lab, groups: {loader: {count: 2}}}\n"


@pytest.fixture
def lab_shell(shell: Shell, tmp_path: Path) -> Iterator[Shell]:
    """A workspace with an experiment on the lab; what its runs left is taken away by labels."""
    need("podman", REMEDY, available=possible())
    shell.environment |= engine_variables(tmp_path)
    image(host_recipe(), cache_folder() / "lab")
    (shell.workspace / "lab.yml").write_text(EXPERIMENT, encoding="utf-8")
    yield shell
    for run in shell.workspace.glob("runs/*"):
        take_away(run.name)


def made(shell: Shell) -> list[str]:
    """Containers and networks of the runs of this workspace."""
    runs = [path.name for path in shell.workspace.glob("runs/*")]
    return [f"{item.kind} {item.name}" for run in runs for item in leftovers("lab", run=run)]


def helpers(shell: Shell) -> list[tuple[int, str]]:
    """Engines, and what they started, for runs of this workspace."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                argv = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
                about = (entry / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if f"PULUMI_BACKEND_URL=file://{shell.workspace}" in about and argv:
                found.append((int(entry.name), argv))
    return found


def state(shell: Shell) -> list[str]:
    folder = shell.workspace / ".benchctl" / "state" / ".pulumi"
    return [str(path) for part in ("stacks", "locks") for path in folder.glob(f"{part}/**/*.json")]


def assert_nothing_left(shell: Shell) -> None:
    assert made(shell) == []
    await_true(lambda: not helpers(shell), "engines and providers are gone", limit=30)
    assert state(shell) == []
    assert not list((shell.cache / "lab" / "hosts").glob("*"))


@pytest.mark.postgres
@pytest.mark.ansible
def test_pg_lab_leaves_nothing_behind(lab_shell: Shell) -> None:
    wheel_prefix()
    done = lab_shell.run(
        "run",
        str(shared("experiments") / "pg-lab.yml"),
        *("--set=design.blocks=1", "--set=design.min_blocks=1", "--set=workload.scale=1"),
        *("--set=workload.warmup=0s", "--set=workload.duration=3s", "--set=design.on_failure=stop"),
        limit=900,
        code={0, 4},  # a busy machine may leave no valid block
    )
    assert "benchmark done" in done.stderr
    assert "the hosts of provider lab are gone" in done.stderr
    assert_nothing_left(lab_shell)
    assert lab_shell.run("destroy", "latest").returncode == 0  # safe to repeat


@pytest.mark.ansible
def test_one_step_at_a_time_and_kept_hosts(lab_shell: Shell) -> None:
    run = lab_shell.run("provision", "lab.yml", "--set=hosts.groups.loader.count=1").stdout.strip()
    assert len(made(lab_shell)) == 2
    listed = lab_shell.run("janitor")
    assert run not in listed.stdout  # not past its expiry
    checked = lab_shell.run("hosts", "check", "-i", f"runs/{run}/inventory.json")
    assert "loader-1" in checked.stdout
    kept = lab_shell.run("run", run, "--from", "configure", "--keep", limit=600)
    assert "the hosts stay for 8h00m" in kept.stderr
    assert len(made(lab_shell)) == 2
    assert run in lab_shell.run("janitor", "--all").stdout
    lab_shell.run("destroy", run)
    assert_nothing_left(lab_shell)


def test_the_janitor_removes_what_is_past_its_time(lab_shell: Shell) -> None:
    run = lab_shell.run("provision", "lab.yml", "--set=limits.run=700s").stdout.strip()
    for path in (lab_shell.cache / "lab" / "hosts" / run).glob("*/expires"):
        path.write_text("1000000000\n", encoding="ascii")  # the labels still say later
    assert run not in lab_shell.run("janitor").stdout
    assert run in lab_shell.run("janitor", "--run", run).stdout
    assert made(lab_shell)
    lab_shell.run("janitor", "--run", run, "--remove")
    assert made(lab_shell) == []
    lab_shell.run("destroy", run)  # the state still has them
    assert_nothing_left(lab_shell)


def test_ctrl_c_in_mid_provision_destroys(lab_shell: Shell) -> None:
    process = lab_shell.start("run", "lab.yml")
    await_true(lambda: made(lab_shell), "something is made", limit=120)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 130, output
    assert_nothing_left(lab_shell)


def test_without_an_engine_nothing_is_begun(lab_shell: Shell) -> None:
    lab_shell.environment["BENCHCTL_PULUMI_ROOT"] = str(lab_shell.workspace)
    done = lab_shell.run("run", "lab.yml", code=3)
    assert "make engine" in done.stderr
    assert not list(lab_shell.workspace.glob("runs/2*"))


@pytest.mark.parametrize("victim", ["benchctl", "engine"])
def test_killed_at_any_instant_destroy_leaves_nothing(lab_shell: Shell, victim: str) -> None:
    chance = random.Random(f"{victim} {KILLS}")
    begin = time.monotonic()
    lab_shell.run("provision", "lab.yml")
    length = time.monotonic() - begin
    gone: set[str] = set()
    struck = 0
    for number in range(KILLS // 2):
        if number % 2:  # after an even one nothing is there
            process = lab_shell.start("provision", "lab.yml")
            struck += kill_after(process, lab_shell, chance.uniform(0, length), victim)
        else:
            if not made(lab_shell):
                lab_shell.run("provision", "lab.yml")
            process = lab_shell.start("destroy", "latest")
            struck += kill_after(process, lab_shell, chance.uniform(0, length / 2), victim)  # it takes half
        for run in sorted({path.name for path in lab_shell.workspace.glob("runs/2*")} - gone):
            destroy(lab_shell, run)
            gone.add(run)
        assert_nothing_left(lab_shell)
    print(f"{victim}: {struck} of {KILLS // 2} struck before the end")  # noqa: T201 - for who counts


def kill_after(process: subprocess.Popen[str], shell: Shell, seconds: float, victim: str) -> bool:
    """Kill benchctl, or the next engine that it starts, so long after its start; False: it was over."""

    def what_happened() -> str:
        if kill_engine(shell):
            return "struck"
        return "" if process.poll() is None else "over"

    try:
        process.wait(seconds)
        happened = "over"
    except subprocess.TimeoutExpired:
        if victim == "benchctl":
            process.kill()
        happened = "struck" if victim == "benchctl" else await_true(what_happened, "an engine", limit=300)
    process.communicate(timeout=300)
    return happened == "struck"


def kill_engine(shell: Shell) -> bool:
    for pid, argv in helpers(shell):
        if "/bin/pulumi " in argv:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return True
    return False


def destroy(shell: Shell, run: str) -> None:
    """As a person would who reads what benchctl says."""
    words = ["destroy", run]
    said: list[str] = []

    def gone() -> bool:
        done = subprocess.run(
            [PROGRAM, *words],
            cwd=shell.workspace,
            env=shell.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        said.append(done.stderr)
        if "which is dead" in done.stderr:
            words[2:] = ["--unlock"]
        return done.returncode == 0

    try:
        await_true(gone, f"destroy {run}", limit=120)
    except TimeoutError as error:
        pytest.fail(f"{error}; at last: {said[-1]}")
