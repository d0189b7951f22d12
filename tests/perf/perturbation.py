"""Does measuring change what is measured? pgbench through the agent against pgbench by hand, same server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

from benchctl.benchmark.connection import AgentConnection, connect
from benchctl.benchmark.fleet import Fleet
from benchctl.configure import AnsibleRunner
from benchctl.configure.converge import converge
from benchctl.plan import make
from benchctl.provision import LocalProvisioner
from benchctl.spec import load
from benchctl.statistics import intervals
from tests.perf.rows import Row

PAIRS = 20
SECONDS = 3
SETS = ("workload.warmup=0s", f"workload.duration={SECONDS}s")


class Bench:
    """One running server of the quickstart and two ways to load it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plan = make(load("quickstart", sets=SETS))
        inventory = LocalProvisioner().provision(self.plan.experiment)
        host = inventory.hosts[0]
        self.agent: AgentConnection = connect(host, "perturbation", owner="perf", ttl=600)
        converged = converge(
            self.plan,
            inventory,
            Fleet({host.name: self.agent}),
            AnsibleRunner(),
            run_dir=folder,
            on_event=lambda _: None,
        )
        self.instance = self.plan.instances[0].id
        self.path = converged.descriptors[host.name][self.instance]
        loader = json.loads(Path(converged.descriptors[host.name]["pgbench"]).read_text(encoding="utf-8"))
        self.pgbench = loader["binaries"]["pgbench"]

    def start(self) -> None:
        prepare = [*self._argv(), "-i", "-q", "-s", "5"]
        image = {"descriptor": self.path, "image": "perturbation", "prepare": {"argv": prepare, "env": {}}}
        self.agent.call("image", timeout=300, **image)
        self.agent.call("reset", timeout=300, descriptor=self.path, image="perturbation")
        self.agent.call("start", timeout=60, descriptor=self.path, settings={"synchronous_commit": "off"})

    def through_agent(self, number: int) -> tuple[float, Path]:
        """Transactions per second as pgbench itself says, and the raw folder."""
        raw = Path(self.agent.hello["work"]) / "trials" / str(number)
        task, place = {"task": f"perf-{number}"}, {"cwd": str(raw), "service": self.instance}
        self.agent.call("launch", timeout=60, **task, **place, argv=self._load(), limit=60, hold=True)
        at = self.agent.call("clock", timeout=60)["m"]
        self.agent.call("go", timeout=60, **task, at=at)
        window = {"start": at, "warmup": 0, "duration": SECONDS, "hz": 1.0}
        self.agent.call("watch", timeout=60, watch=task["task"], **task, **place, **window)
        self.agent.call("await", timeout=60, **task)
        self.agent.call("unwatch", timeout=60, watch=task["task"])
        return _rate(raw), raw

    def by_hand(self, number: int) -> float:
        raw = self.folder / f"hand-{number}"
        raw.mkdir()
        with (raw / "stdout").open("wb") as out, (raw / "stderr").open("wb") as err:
            subprocess.run(self._load(), cwd=raw, stdout=out, stderr=err, check=True)
        return _rate(raw)

    def end(self) -> None:
        self.agent.call("stop", timeout=60, descriptor=self.path)
        self.agent.call("remove", timeout=60, path=self.agent.hello["work"])
        self.agent.call("end", timeout=60)
        self.agent.close()

    def _load(self) -> list[str]:
        words = ["-n", "-T", str(SECONDS), "-P", "1", "--progress-timestamp", "-l", "--log-prefix=tx"]
        return [*self._argv(), *words, "-c", "4", "-j", "1"]

    def _argv(self) -> list[str]:
        runtime = self.agent.hello["runtime"]
        target = json.loads(Path(self.path).read_text(encoding="utf-8"))["target"]
        return [
            self.pgbench,
            "-h",
            runtime,
            "-p",
            str(target["port"]),
            "-U",
            target["user"],
            target["database"],
        ]


def run() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="bp") as folder:
        for name in ("BENCHCTL_CACHE", "BENCHCTL_LEASE_DIR"):
            os.environ[name] = str(Path(folder) / name.lower())
        bench = Bench(Path(folder))
        try:
            bench.start()
            bench.by_hand(0)
            ratios, shares = _pairs(bench)
        finally:
            bench.end()
    estimate = intervals.paired(intervals.log_ratios([1.0] * len(ratios), ratios))
    holds = estimate.low <= 0 <= estimate.high
    inside = "contains 1" if holds else "does not contain 1"
    interval = f"{1 + estimate.effect:.4f} [{1 + estimate.low:.4f}, {1 + estimate.high:.4f}]"
    share = 100 * max(shares)
    return [
        Row(f"pgbench through benchctl / by hand, {PAIRS} pairs", inside, "", interval, "contains 1", holds),
        Row(
            "supervisor and sampler, share of one CPU, worst trial",
            f"{share:.2f} %",
            "",
            "",
            "<= 1 %",
            share <= 1,
        ),
    ]


def _pairs(bench: Bench) -> tuple[list[float], list[float]]:
    """Ratios of rates, and the agent's CPU as a share of the trial; the order alternates."""
    ratios, shares = [], []
    for number in range(1, PAIRS + 1):
        hand = bench.by_hand(number) if number % 2 else 0.0
        ours, raw = bench.through_agent(number)
        hand = hand or bench.by_hand(number)
        ratios.append(ours / hand)
        shares.append(_share(raw))
    return ratios, shares


def _share(raw: Path) -> float:
    samples = [
        json.loads(line) for line in (raw / "host.samples").read_text(encoding="utf-8").splitlines()[1:]
    ]
    first, last = samples[0], samples[-1]
    return float((last["agent"]["cpu"] - first["agent"]["cpu"]) / (last["m"] - first["m"]))


def _rate(raw: Path) -> float:
    """Pgbench's own figure, the same way for both."""
    match = re.search(r"^tps = ([0-9.]+)", (raw / "stdout").read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise ValueError(f"{raw}: pgbench printed no rate")
    return float(match[1])
