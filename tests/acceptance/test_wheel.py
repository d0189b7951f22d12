"""From the wheel, in an empty environment, in another folder: the quickstart runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from tests.acceptance.conftest import QUICK

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.postgres, pytest.mark.ansible, pytest.mark.slow]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_carries_its_data_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "benchctl/_share/playbooks/site.yml",
        "benchctl/_share/playbooks/tune.yml",
        "benchctl/_share/molecule/snapshot.sh",
        "benchctl/_share/roles/bench_common/library/bench_tuning.py",
        "benchctl/_share/roles/postgresql/meta/bench.yml",
        "benchctl/_share/experiments/quickstart.yml",
        "benchctl/_share/inventories/lab.example/hosts.yml",
        "benchctl/_share/stacks/aws/bench_aws/program.py",
        "benchctl/_share/stacks/aws/policy.json",
        "benchctl/_share/stacks/azure/bench_azure/leave.py",
        "benchctl/_share/stacks/azure/role.json",
        "benchctl/_share/stacks/lab/Pulumi.yaml",
        "benchctl/_share/stacks/lab/__main__.py",
        "benchctl/provision/probe.py",
        "benchctl/report/page.css",
        "benchctl/py.typed",
    ):
        assert needed in names
    assert not [name for name in names if name.startswith(("tests/", "docs/")) or "__pycache__" in name]


def test_the_program_of_a_stack_comes_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path)
    asked = """
import sys
from benchctl.spec.share import shared
sys.path.insert(0, str(shared("stacks") / "lab"))
import bench_lab
assert callable(bench_lab.program)
print(bench_lab.__file__)
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", asked],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(tmp_path / "benchctl" / "_share" / "stacks")


def test_the_quickstart_runs_from_the_wheel_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    pip = [str(home / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), str(wheel)], check=True)
    elsewhere = tmp_path / "a folder"
    elsewhere.mkdir()
    with tempfile.TemporaryDirectory(prefix="bw") as runtime:
        environment = {
            "HOME": str(tmp_path),
            "PATH": os.defpath,
            "BENCHCTL_LEASE_DIR": str(tmp_path / "lease"),
            "XDG_RUNTIME_DIR": runtime,
        }
        done = subprocess.run(
            [str(home / "bin/benchctl"), "run", "quickstart", *QUICK, "--json"],
            cwd=elsewhere,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["state"] == "finished"
    assert (elsewhere / result["path"] / "report.html").exists()
