"""`benchctl run --pilot` through the real executable."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.conftest import QUICK

if TYPE_CHECKING:
    from tests.acceptance.conftest import Shell


@pytest.mark.postgres
@pytest.mark.ansible
@pytest.mark.slow
def test_a_pilot_is_a_run_of_its_own_that_counts_blocks(shell: Shell) -> None:
    done = shell.run("run", "quickstart", "--pilot", *QUICK, "--json")
    shape = json.loads(done.stdout)
    assert "-quickstart-pilot-" in shape["run"]
    (throughput, latency) = shape["pilot"]
    assert (throughput["metric"], throughput["trials"]) == ("throughput", 6)
    assert throughput["cv_trial"] < throughput["cv_trial_high"]
    assert throughput["blocks"][0]["expected"] <= throughput["blocks"][1]["expected"]
    assert latency["cv_second"] is None
    assert json.loads(shell.run("status", "latest", "--json").stdout)["state"] == "finished"
    shell.nothing_left()


def test_a_pilot_goes_through_all_steps(shell: Shell) -> None:
    said = shell.run("run", "quickstart", "--pilot", "--until", "configure", code=2).stderr
    assert "leave --from and --until out" in said
