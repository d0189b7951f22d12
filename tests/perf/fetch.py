"""1 GB of raw files from 2 hosts at once, against rsync and scp. benchctl also hashes them on both ends."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.perf import peers
from tests.perf.hosts import site, without_lab
from tests.perf.rows import Row, compared, rounds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.lab.host import LabHost

HOSTS, FILES, MEGABYTES = 2, 4, 128  # together 1 GB
ROUNDS = 3
NAME = "fetch of 1 GB from 2 hosts"
FOLDER = "/var/tmp/perf"  # noqa: S108 - on hosts that only this figure has
MAKE = f"""
mkdir -p {FOLDER}
for i in $(seq {FILES}); do head -c {MEGABYTES}M /dev/urandom > {FOLDER}/$i; done
"""


def run() -> list[Row]:
    if rows := without_lab(NAME):
        return rows
    hosts = site().hosts(HOSTS)
    for host in hosts:
        host.shell(MAKE)
    acts: dict[str, Callable[[Path], None]] = {}
    rows = []
    for name, act in (("rsync", rsync), ("scp", scp)):
        if peers.found(name):
            acts[name] = lambda folder, act=act: act(hosts, folder)  # type: ignore[misc]
        else:
            rows.append(Row(f"{NAME} / {name}", "", peers.missing(name), "", ""))
    with Ours(hosts) as ours:
        times = measured({"ours": ours.fetch, **acts})
    for host in hosts:
        host.shell(f"rm -r {FOLDER}")
    mine = statistics.median(times.pop("ours"))
    return [
        *(compared(f"{NAME} / {name}", mine, statistics.median(theirs)) for name, theirs in times.items()),
        *rows,
    ]


def measured(acts: dict[str, Callable[[Path], None]]) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(rounds(ROUNDS)):
        for name, act in acts.items():
            times[name].append(took(act))
    return times


def took(act: Callable[[Path], None]) -> float:
    folder = site().new_folder()
    begin = time.perf_counter()
    act(folder)
    passed = time.perf_counter() - begin
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    shutil.rmtree(folder)
    if sizes != [MEGABYTES * 2**20] * HOSTS * FILES:
        raise RuntimeError(f"{act}: {len(sizes)} files, {sum(sizes)} bytes")
    return passed


class Ours:
    """Agents on the hosts; fetching as after a trial."""

    def __init__(self, hosts: Sequence[LabHost]) -> None:
        from benchctl.benchmark.connection import connect_all
        from benchctl.model.host import Host

        os.environ.update(site().names)
        known = [Host(name=host.name, transport="ssh", options=host.options()) for host in hosts]
        self.agents = connect_all(known, f"perf-{time.time_ns()}", owner="perf", ttl=600)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for agent in self.agents.values():
            agent.call("end", timeout=60)
            agent.close()

    def fetch(self, folder: Path) -> None:
        def all_of(name: str) -> None:
            (folder / name).mkdir()
            wanted = [(f"{FOLDER}/{i}", folder / name / str(i)) for i in range(1, FILES + 1)]
            self.agents[name].fetch_all(wanted)

        with ThreadPoolExecutor() as pool:
            list(pool.map(all_of, self.agents))


def rsync(hosts: Sequence[LabHost], folder: Path) -> None:
    """The hosts have none: they use this machine's, with its libraries."""
    program = str(peers.found("rsync"))
    for host in hosts:
        if not (host.folder / "rsync").exists():
            for library in libraries(program):
                shutil.copy(library, host.folder)
            shutil.copy(program, host.folder / "rsync")
    shell = " ".join(site().ssh())
    theirs = "--rsync-path=env LD_LIBRARY_PATH=/lab /lab/rsync"
    together(
        [
            [
                program,
                "--recursive",
                "--whole-file",
                theirs,
                "-e",
                shell,
                f"{host.name}:{FOLDER}/",
                str(folder / host.name),
            ]
            for host in hosts
        ]
    )


def scp(hosts: Sequence[LabHost], folder: Path) -> None:
    config = str(site().lab.ssh_config)
    together(
        [
            ["scp", "-q", "-r", "-F", config, f"{host.name}:{FOLDER}", str(folder / host.name)]
            for host in hosts
        ]
    )


def together(commands: Sequence[Sequence[str]]) -> None:
    running = [subprocess.Popen(words, stdin=subprocess.DEVNULL) for words in commands]
    if any(process.wait() for process in running):
        raise RuntimeError(f"{commands[0]} failed")


def libraries(program: str) -> list[Path]:
    """What the program loads beside the C library, which every host has."""
    printed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    found = [Path(line.split("=>")[1].split()[0]) for line in printed.splitlines() if "=> /" in line]
    return [path for path in found if not path.name.startswith("libc.")]
