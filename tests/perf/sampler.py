"""What sampling costs: the agent's sampler beside psutil, sadc and node_exporter, all at once: the same load.

sadc samples at most each second; node_exporter samples when it is asked over HTTP, which is done here.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Self

from tests.lab.host import await_true
from tests.perf import peers
from tests.perf.rows import Row

SECONDS = 20
GOALS = {1: 0.05, 10: 0.4}  # percent of a CPU, by samples per second
TICK = os.sysconf("SC_CLK_TCK")
_LOOP = """
import gc, os, sys, tempfile, threading, time
hertz, seconds, process = float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
folder = tempfile.TemporaryDirectory()
{setup}
gc.collect(); gc.freeze(); gc.disable()
tick, at, spent = threading.Event(), time.monotonic(), time.process_time()
for _ in range(round(hertz * seconds)):
    at += 1 / hertz
    tick.wait(max(0.0, at - time.monotonic()))
    {take}
print((time.process_time() - spent) / seconds * 100)
"""
_OURS = _LOOP.format(
    setup="""
from pathlib import Path
from benchctl.agent.sampler import Sampler
sampler = Sampler(Path(folder.name) / "host.samples", process)
sampler.take(None, edge=True)""",
    take="sampler.take(None, edge=False)",
)
_CPUS = 64
_MANY_CPUS = f"""
from pathlib import Path
from benchctl.agent import sources, surroundings
host = Path(folder.name) / "host"
for number in range({_CPUS}):
    for name in ("core", "package"):
        count = host / f"cpu{{number}}/thermal_throttle/{{name}}_throttle_count"
        count.parent.mkdir(parents=True, exist_ok=True)
        count.write_text("0\\n")
    frequency = host / f"cpufreq/policy{{number}}/scaling_cur_freq"
    frequency.parent.mkdir(parents=True)
    frequency.write_text("2400000\\n")
head, *rest = open("/proc/stat").read().splitlines(True)
one = next(line for line in rest if line.startswith("cpu0 ")).partition(" ")[2]
others = [line for line in rest if not line.startswith("cpu")]
(host / "stat").write_text(head + "".join(f"cpu{{n}} {{one}}" for n in range({_CPUS})) + "".join(others))
sources.FILES["stat"] = str(host / "stat")
sources._CPUS, surroundings._CPUFREQ = host, host / "cpufreq"
"""
_PSUTIL = _LOOP.format(
    setup="""
import json, psutil
one = psutil.Process(process)
out = open(folder.name + "/samples", "w")
def sample():
    found = [psutil.cpu_times(percpu=True), psutil.cpu_stats(), psutil.virtual_memory(), psutil.swap_memory(),
             psutil.disk_io_counters(perdisk=True), psutil.net_io_counters(pernic=True), psutil.getloadavg()]
    with one.oneshot():
        found += [one.cpu_times(), one.memory_info(), one.io_counters(), one.num_ctx_switches()]
    out.write(json.dumps(found) + "\\n")
sample()""",
    take="sample()",
)


def run() -> list[Row]:
    with ExitStack() as stack:
        sampled = subprocess.Popen(["sleep", "600"])
        stack.callback(sampled.wait)
        stack.callback(sampled.kill)
        exporter = stack.enter_context(Exporter()) if peers.found("prometheus-node-exporter") else None
        return [row for hertz in GOALS for row in rows_at(hertz, sampled.pid, exporter)]


def rows_at(hertz: int, process: int, exporter: Exporter | None) -> list[Row]:
    """Ours against each peer, and ours with the files of many CPUs."""
    python, theirs = sys.executable, peers.program("python")
    many = _OURS.replace("sampler = ", f"{_MANY_CPUS}\nsampler = ", 1)
    words = [str(hertz), str(SECONDS), str(process)]
    loops = [
        subprocess.Popen([interpreter, "-B", "-c", program, *words], stdout=subprocess.PIPE, text=True)
        for interpreter, program in ((python, _OURS), (theirs, _PSUTIL), (python, many))
    ]
    others: dict[str, float | None] = {}
    with ExitStack() as stack:
        sadc = stack.enter_context(Sadc()) if hertz == 1 and peers.found("sadc") else None
        if exporter is not None:
            others["node_exporter"] = exporter.share(hertz)
        ours, psutil, simulated = (float(loop.communicate()[0]) for loop in loops)
        if hertz == 1:
            others["sadc"] = sadc.share() if sadc is not None else None
    name = f"sampler at {hertz} Hz with one process, share of one CPU"
    goal = GOALS[hertz]
    rows = [Row(name, f"{ours:.3f} %", "", "", f"<= {goal:g} %", ours <= goal)]
    for peer, share in {"psutil": psutil, "node_exporter": None, **others}.items():
        if share is None:
            package = "sadc" if peer == "sadc" else "prometheus-node-exporter"
            rows.append(Row(f"{name} / {peer}", f"{ours:.3f} %", peers.missing(package), "", ""))
        else:
            rows.append(Row(f"{name} / {peer}", f"{ours:.3f} %", f"{share:.3f} %", f"{ours / share:.2f}", ""))
    with_many = f"the same at {hertz} Hz with the files of {_CPUS} CPUs, simulated"
    return [*rows, Row(with_many, f"{simulated:.3f} %", "", "", "")]


class Exporter:
    """A node_exporter on a port of its own."""

    def __enter__(self) -> Self:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        program = str(peers.found("prometheus-node-exporter"))
        self.process = subprocess.Popen(
            [program, f"--web.listen-address={self.address}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        await_true(self.answers, "node_exporter answers")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def answers(self) -> bool:
        try:
            self.ask()
        except OSError:
            return False
        return True

    def ask(self) -> None:
        connection = HTTPConnection(self.address, timeout=30)
        connection.request("GET", "/metrics")
        connection.getresponse().read()
        connection.close()

    def share(self, hertz: int) -> float:
        """Percent of a CPU while it is asked so often."""
        before, at = cpu(self.process.pid), time.monotonic()
        for _ in range(hertz * SECONDS):
            at += 1 / hertz
            self.ask()
            time.sleep(max(0.0, at - time.monotonic()))
        return (cpu(self.process.pid) - before) / SECONDS * 100


class Sadc:
    """Each second all that it knows, into a file."""

    def __enter__(self) -> Self:
        self.folder = tempfile.TemporaryDirectory()
        words = [str(peers.found("sadc")), "-S", "ALL", "1", str(10 * SECONDS), f"{self.folder.name}/sa"]
        self.process = subprocess.Popen(words)
        await_true(lambda: any(Path(self.folder.name).iterdir()), "sadc has begun")
        self.before, self.begin = cpu(self.process.pid), time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()

    def share(self) -> float:
        """Percent of a CPU since it began."""
        return (cpu(self.process.pid) - self.before) / (time.monotonic() - self.begin) * 100


def cpu(process: int) -> float:
    """Seconds of CPU that a process used, all its threads; finer than ticks when it has one."""
    tasks = list(Path(f"/proc/{process}/task").iterdir())
    if len(tasks) == 1:
        return int((tasks[0] / "schedstat").read_text(encoding="ascii").split()[0]) / 1e9
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK
