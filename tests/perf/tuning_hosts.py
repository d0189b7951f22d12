"""Tune, verify and restore of a whole profile on 1 and 8 hosts over SSH, the agents connected.

A host is an sshd of its own on this machine with a generated two-socket machine's tree of files as its knobs.
The peer is the same writes, or reads, by a shell script over one ssh for each host, side by side; it keeps
nothing and says nothing of what came of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchctl.agent.profiles import PROFILES
from benchctl.benchmark.connection import connect_all
from benchctl.benchmark.fleet import Fleet
from tests.integration.sshd import PROGRAM, Sshd
from tests.machines import two_sockets
from tests.perf.rows import Row, median_ratio, milliseconds, rounds

if TYPE_CHECKING:
    from collections.abc import Sequence

ROUNDS = 10
LIMIT = 120.0
OPS: dict[str, dict[str, Any]] = {
    "tune": {"values": PROFILES["repeatable"], "profile": "repeatable", "kept": True},
    "drift": {},
    "restore": {"every": True},
}
NAMES = {"drift": "verify"}
LINES = {"tune": "echo '{new}' > {path}", "drift": "read -r x < {path}", "restore": "echo '{old}' > {path}"}


def run() -> list[Row]:
    """Three rows for one host and three for eight."""
    if not PROGRAM:
        return [Row("tuning of hosts", "–", "–", "–", "apt-get install openssh-server")]
    return [row for count in (1, 8) for row in _rows(count)]


def _rows(count: int) -> list[Row]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchctl-perf-")))
        servers = [_host(folder, number, stack) for number in range(count)]
        hosts = [server.host() for server in servers]
        fleet = Fleet(connect_all(hosts, f"perf-{os.getpid()}", owner="perf", ttl=LIMIT))
        stack.callback(fleet.close)
        stack.callback(fleet.each, "end", timeout=LIMIT)
        fleet.each("tune", OPS["tune"], timeout=LIMIT)
        entries = _entries(servers[0])
        fleet.each("restore", OPS["restore"], timeout=LIMIT)
        times: dict[str, list[tuple[float, float]]] = {op: [] for op in OPS}
        for _ in range(rounds(ROUNDS)):
            for op, args in OPS.items():
                begin = time.perf_counter()
                fleet.each(op, args, timeout=LIMIT)
                times[op].append((time.perf_counter() - begin, _by_ssh(servers, entries, LINES[op])))
        title = f"on {count} host{'s' if count > 1 else ''}, {len(entries)} places / ssh and a script"
    return [
        Row(
            f"{NAMES.get(op, op)} {title}",
            milliseconds([ours for ours, _ in pairs]),
            milliseconds([peer for _, peer in pairs]),
            f"{median_ratio(pairs):.2f}",
            "",
        )
        for op, pairs in times.items()
    ]


def _host(folder: Path, number: int, stack: ExitStack) -> Sshd:
    server = Sshd(folder, f"h{number}")
    stack.callback(server.close)
    for path, text in two_sockets().files.items():
        target = Path(f"{server.folder}/machine{path}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return server


def _entries(server: Sshd) -> list[dict[str, str]]:
    """The files that the profile sets, as the journal of a host names them."""
    lines = (server.folder / "state" / "tuning.jsonl").read_text("utf-8").splitlines()
    found = [line["entry"] for line in map(json.loads, lines) if "entry" in line]
    return [{"path": row[3], "old": row[4].strip(), "new": row[5]} for row in found if row[1] == "file"]


def _by_ssh(servers: Sequence[Sshd], entries: Sequence[dict[str, str]], line: str) -> float:
    """The seconds until one ssh for each host has fed a shell there with a line for each file."""
    scripts = []
    for server in servers:
        root = f"{server.folder}/machine"
        scripts.append("".join(line.format(**{**one, "path": root + one["path"]}) + "\n" for one in entries))
    begin = time.perf_counter()
    shells = [
        subprocess.Popen(_ssh(server), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for server in servers
    ]
    for shell, script in zip(shells, scripts, strict=True):
        shell.communicate(script)
        if shell.returncode:
            message = f"ssh: exit {shell.returncode}"
            raise RuntimeError(message)
    return time.perf_counter() - begin


def _ssh(server: Sshd) -> list[str]:
    options = server.host().options
    words = ["ssh", "-F", "none", "-i", str(server.key), "-p", str(server.port), "-o", "BatchMode=yes"]
    known = ["-o", f"UserKnownHostsFile={server.known_hosts}"]
    return [*words, *known, f"{options['user']}@127.0.0.1", "sh", "-s"]
