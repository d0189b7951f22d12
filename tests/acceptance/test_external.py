"""A server that is already there, by the real command: asked, filled, loaded, and left as it is."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

from benchctl.spec.share import shared
from tests.acceptance.results import trials
from tests.acceptance.servers import LIMIT, Server, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.acceptance.conftest import Shell

pytestmark = [pytest.mark.postgres, pytest.mark.ansible, pytest.mark.slow]

PASSWORD = "not:so \\secret"  # noqa: S105 - with what a password file has to escape
SCRIPT = shared("roles") / "external" / "files" / "ask_sql.py"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A PostgreSQL of somebody else, who gave a password."""
    with serving(tmp_path_factory.mktemp("theirs"), PASSWORD) as found:
        yield found


def written(shell: Shell, server: Server, **more: Any) -> str:
    there = {"role": "external", "kind": "postgresql", "address": "127.0.0.1", "port": server.port}
    wanted = {
        "name": "theirs",
        "dbms": {**there, "user": "owner", "database": "postgres", "password_env": "THEIR_PASSWORD", **more},
        "workload": {"role": "pgbench", "scale": 1, "clients": 2, "warmup": "1s", "duration": "2s"},
        "factors": {"again": {"a": {}, "b": {}}},
        "design": {"blocks": 1},
    }
    path = shell.workspace / "theirs.yml"
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(wanted, file)
    return str(path)


def test_a_server_that_is_there_is_loaded_and_stays(shell: Shell, server: Server) -> None:
    shell.run("run", written(shell, server), THEIR_PASSWORD=PASSWORD, code={0, 4})
    (run,) = (shell.workspace / "runs").iterdir()
    found = trials(run)
    assert [trial["server"]["version"] for trial in found] == [server.ask("SHOW server_version")] * 2
    assert [trial["server"]["image"] for trial in found] == ["", ""]  # the data stayed as they were
    assert all(trial["result"]["metrics"]["throughput"]["value"] > 0 for trial in found)
    assert server.ask("SELECT count(*) FROM pgbench_accounts") == "100000"
    kept = [path for path in shell.workspace.rglob("*") if path.is_file()]
    assert [path for path in kept if PASSWORD.encode() in path.read_bytes()] == []
    shell.nothing_left()


def test_its_data_are_reset_by_the_command_that_its_owner_gave(shell: Shell, server: Server) -> None:
    reset = [*server.psql("nobody-else"), "postgres"]
    done = shell.run("run", written(shell, server, reset=reset), THEIR_PASSWORD=PASSWORD, code=1)
    assert "reset ended with 2" in done.stdout + done.stderr  # psql said that it may not connect
    server.ask("CREATE TABLE resets (at timestamptz)")
    url = f"host=127.0.0.1 port={server.port} user=owner dbname=postgres passfile={shell.workspace}/pass"
    (shell.workspace / "pass").write_text(
        "*:*:*:*:" + PASSWORD.replace("\\", "\\\\").replace(":", "\\:") + "\n"
    )
    (shell.workspace / "pass").chmod(0o600)
    reset = [str(server.bin / "psql"), url, "-c", "INSERT INTO resets VALUES (now())"]
    shell.run("run", written(shell, server, reset=reset), THEIR_PASSWORD=PASSWORD, code={0, 4})
    assert server.ask("SELECT count(*) FROM resets") == "2"  # before each of two trials


def test_what_keeps_it_from_being_measured_is_said(shell: Shell, server: Server) -> None:
    done = shell.run("run", written(shell, server), THEIR_PASSWORD="wrong", code=1)  # noqa: S106
    assert 'password authentication failed for user "owner"' in " ".join((done.stdout + done.stderr).split())
    assert "wrong" not in done.stdout + done.stderr
    done = shell.run("run", written(shell, server, password_env="NO_SUCH_VARIABLE"), code=1)  # noqa: S106
    assert "variable that the controller's environment has" in " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"kind": "mariadb"}, "found the dbms mariadb to drive"),
        ({"settings": {"work_mem": "4MB"}}, "dbms.settings"),
        ({"port": 70000}, "dbms.port"),
    ],
)
def test_what_cannot_be_is_said_at_once(
    shell: Shell, server: Server, more: dict[str, Any], said: str
) -> None:
    assert said in shell.run("validate", written(shell, server, **more), code=2).stderr


@pytest.mark.parametrize(
    ("user", "database", "line", "said"),
    [
        ("owner", "missing", "right", 'database "missing" does not exist'),
        ("owner", "postgres", "", "wants a password, and none was given"),
        ("owner", "postgres", "*:*:*:*:wrong", "password authentication failed"),
    ],
)
def test_the_server_is_asked_as_its_clients_ask_it(
    server: Server, tmp_path: Path, user: str, database: str, line: str, said: str
) -> None:
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    if line:
        (tmp_path / "pgpass").write_text(f"*:*:*:*:{escaped}\n" if line == "right" else f"{line}\n")
    place = ["postgresql", "127.0.0.1", str(server.port), user, database, str(tmp_path / "pgpass"), "version"]
    argv = [sys.executable, "-ISB", str(SCRIPT), *place]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=LIMIT)
    assert (done.returncode, said in done.stderr) == (1, True)
