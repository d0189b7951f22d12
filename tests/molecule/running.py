"""Runs a role's scenarios as `make molecule` does."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchctl.provision.lab.podman import REMEDY, possible
from benchctl.spec.share import shared
from benchctl.testing.scenarios import SCENARIOS
from tests.needs import need

FOUR = {"redis": "a service", "duckdb": "embedded", "redis_benchmark": "a loader", "tune_quiet": "tuning"}
LIMIT = 900.0  # seconds of one scenario, beside other tests

each_scenario = pytest.mark.parametrize("scenario", SCENARIOS)
marks = [pytest.mark.ansible, pytest.mark.slow]


def succeed(role: str, scenario: str) -> None:
    need("podman", REMEDY, available=possible())
    argv = [sys.executable, "-m", "benchctl.testing.scenarios", str(shared("roles") / role), scenario]
    done = subprocess.run(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:]
