"""How far apart a command starts on 2, 4 and 8 hosts, idle and under load.

The command prints the time as its first act; all hosts share one clock. benchctl's figures are from its own
raw files of ordinary trials. The peers run the command on all hosts as people do: clush and Ansible's ad-hoc
command over kept connections, and ssh to all hosts side by side.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from tests.perf import peers
from tests.perf.hosts import busy, site, without_lab
from tests.perf.rows import Row, duration, rounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.lab.host import LabHost

HOSTS = (2, 4, 8)
CHUNKS = 5  # in which the rounds of all sides take turns
ROUNDS = {"ours": 100, "clush": 50, "ssh": 30, "ansible": 10}
GOALS = {2: 0.0001, 4: 0.001}  # the median, in seconds, idle
TIGHTER = 10  # times, than clush
LOOPS = 2  # hosts with an endless loop under load
NAME = "start skew"
SOURCE = Path(__file__).with_name("instant.c")
PROGRAM = "/lab/instant"  # the lab's folder for a host, as it sees it


def run() -> list[Row]:
    if rows := without_lab(NAME):
        return rows
    if (compiler := peers.found("cc")) is None:
        return [Row(NAME, peers.missing("cc"), "", "", "")]
    built = site().new_folder() / "instant"
    subprocess.run([compiler, "-O2", "-static", "-o", str(built), str(SOURCE)], check=True)
    for host in site().hosts(max(HOSTS)):
        shutil.copy(built, host.folder / "instant")
    return [row for load in (False, True) for count in HOSTS for row in skews(count, load=load)]


def skews(count: int, *, load: bool) -> list[Row]:
    hosts = site().hosts(count)
    peer = Peer(hosts)
    acts: dict[str, Callable[[], Iterable[str]]] = {"clush": peer.clush}
    if not load:
        acts |= {"ssh": peer.ssh, "ansible": peer.ansible}
    spreads: dict[str, list[float]] = {name: [] for name in ("ours", *acts)}
    experiment = site().experiment(count, rounds(ROUNDS["ours"]) // CHUNKS or 1, PROGRAM)
    with busy(hosts[:LOOPS]) if load else nullcontext():
        for act in acts.values():
            act()  # opens the connections
        for _ in range(CHUNKS):
            spreads["ours"] += trials(site().run(experiment), hosts)
            for name, act in acts.items():
                spreads[name] += [spread(act(), count) for _ in range(rounds(ROUNDS[name]) // CHUNKS or 1)]
    return rows_of(count, spreads, load=load)


def rows_of(count: int, spreads: dict[str, list[float]], *, load: bool) -> list[Row]:
    name = f"{NAME}, {count} hosts, {'under load' if load else 'idle'}, {len(spreads['ours'])} rounds"
    ours, clush = (statistics.median(spreads[side]) for side in ("ours", "clush"))
    rows = []
    if not load and count in GOALS:
        rows.append(
            Row(
                f"{name}: median",
                duration(ours),
                "",
                "",
                f"<= {duration(GOALS[count])}",
                ours <= GOALS[count],
            )
        )
    wanted = None if load else 1 / TIGHTER
    for side, values in spreads.items():
        if side == "ours":
            continue
        for title, figure in (("median", statistics.median), ("p95", p95)):
            mine, theirs = figure(spreads["ours"]), figure(values)
            goal = wanted if side == "clush" and title == "median" else None
            rows.append(
                Row(
                    f"{name}: {title} / {side}",
                    duration(mine),
                    duration(theirs),
                    f"{mine / theirs:.3f}",
                    "" if goal is None else f"<= {goal:g}",
                    None if goal is None else ours <= goal * clush,
                )
            )
    return rows


def p95(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, round(0.95 * len(values)))]


def trials(folder: Path, hosts: Sequence[LabHost]) -> list[float]:
    """The spread of each trial of a run."""
    return [
        spread([(raw / host.name / "stdout").read_text(encoding="ascii") for host in hosts], len(hosts))
        for raw in sorted(folder.glob("trials/*/raw"))
    ]


def spread(printed: Iterable[str], count: int) -> float:
    """Seconds from the first to the last of the instants in what was printed."""
    objects = [
        json.loads(line[line.index("{") :])
        for text in printed
        for line in text.splitlines()
        if '"ns"' in line
    ]
    if len(objects) != count:
        raise RuntimeError(f"{len(objects)} of {count} hosts answered")
    first = objects[0]["s"]
    instants = [(one["s"] - first) * 10**9 + one["ns"] for one in objects]
    return float(max(instants) - min(instants)) / 1e9


class Peer:
    """The command on all hosts, by other tools; what each host printed."""

    def __init__(self, hosts: Sequence[LabHost]) -> None:
        self.hosts = hosts
        self.inventory = site().lab.inventory({"nodes": hosts})
        self.folder = site().new_folder()

    def clush(self) -> list[str]:
        words = ["-F", str(site().lab.ssh_config), *site().multiplexed()]
        options = " ".join(words).replace("%", "%%")  # clush puts its own words in for those with one
        names = ",".join(host.name for host in self.hosts)
        return [output([peers.program("clush"), "-w", names, "-f", "64", "-o", options, PROGRAM])]

    def ssh(self) -> list[str]:
        running = [
            subprocess.Popen(
                [*site().ssh(), host.name, PROGRAM],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
            )
            for host in self.hosts
        ]
        return [process.communicate()[0] for process in running]

    def ansible(self) -> list[str]:
        words = [
            str(Path(sys.executable).with_name("ansible")),
            "all",
            "-i",
            str(self.inventory),
            "-m",
            "raw",
        ]
        options = {
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_HOME": str(self.folder / "home"),
            "ANSIBLE_FORKS": str(len(self.hosts)),
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=120",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp"),
        }
        return [output([*words, "-a", PROGRAM], **options)]


def output(argv: Sequence[str], **environment: str) -> str:
    done = subprocess.run(
        argv,
        env={**site().environment, **environment},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
