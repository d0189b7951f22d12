"""FerretDB with its data in a PostgreSQL, by the real command; test_catalogue.py has it on SQLite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ruamel.yaml import YAML

from tests import prefixes
from tests.acceptance.results import trials
from tests.acceptance.servers import serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Shell

pytestmark = [pytest.mark.postgres, pytest.mark.ansible, pytest.mark.slow]

LIMIT = 1500  # seconds; two programs are built in it, the first time
RECORDS = 100


def test_ferretdb_keeps_its_data_in_a_postgresql(shell: Shell, tmp_path: Path) -> None:
    prefixes.share(shell.cache)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    with serving(theirs) as server:
        url = f"postgres://owner@127.0.0.1:{server.port}/postgres"
        wanted = {
            "name": "ferretdb-postgresql",
            "dbms": {"role": "ferretdb", "postgresql": url, "reset": "copy"},
            "workload": {"role": "go_ycsb", "operations": 500, "records": RECORDS, "clients": 2},
            "factors": {"again": {"a": {}, "b": {}}},
            "design": {"blocks": 1},
        }
        path = shell.workspace / "ferretdb.yml"
        with path.open("w", encoding="utf-8") as file:
            YAML().dump(wanted, file)
        shell.run("run", str(path), code={0, 4}, limit=LIMIT)
        assert server.ask("SELECT schemaname FROM pg_tables WHERE tablename ~ '^usertable'") == "ycsb"
        table = server.ask(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'ycsb' AND tablename ~ '^usert'"
        )
        rows = server.ask(f'TABLE ycsb."{table}"').splitlines()
        assert len(rows) == RECORDS + 1  # go-ycsb's Zipf distribution asks for one more
    (run,) = (shell.workspace / "runs").iterdir()
    found = trials(run)
    assert [trial["server"]["settings"]["handler"] for trial in found] == ["postgresql"] * 2
    assert [trial["server"]["reset"] for trial in found] == ["copy"] * 2
    assert all(trial["result"]["metrics"]["throughput"]["value"] > 0 for trial in found)
    assert {trial["validity"] for trial in found} <= {"ok", "suspect"}
    shell.nothing_left()
