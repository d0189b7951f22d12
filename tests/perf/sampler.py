"""What sampling costs: the agent's sampler beside psutil, both at once so that they meet the same load."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

from tests.perf.rows import Row

SECONDS = 20
GOALS = {1: "<= 0.05 %", 10: "<= 0.4 %"}
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
    sampled = subprocess.Popen(["sleep", "600"])
    try:
        rows = [_row(hertz, sampled.pid) for hertz in GOALS]
        for hertz in GOALS:
            (share,) = _shares(
                [_OURS.replace("sampler = ", f"{_MANY_CPUS}\nsampler = ", 1)], hertz, sampled.pid
            )
            name = f"the same at {hertz} Hz with the files of {_CPUS} CPUs, simulated"
            rows.append(Row(name, f"{share:.3f} %", "", "", ""))
        return rows
    finally:
        sampled.kill()
        sampled.wait()


def _row(hertz: int, process: int) -> Row:
    programs = [_OURS, *([_PSUTIL] if importlib.util.find_spec("psutil") else [])]
    ours, *peers = _shares(programs, hertz, process)
    name = f"sampler at {hertz} Hz with one process, share of one CPU"
    peer = f"{peers[0]:.3f} % psutil" if peers else "psutil is not installed"
    return Row(name, f"{ours:.3f} %", peer, f"{ours / peers[0]:.2f}" if peers else "", GOALS[hertz])


def _shares(programs: list[str], hertz: int, process: int) -> list[float]:
    """Run the loops at once; percent of a CPU that each used."""
    words = [str(hertz), str(SECONDS), str(process)]
    loops = [
        subprocess.Popen([sys.executable, "-B", "-c", program, *words], stdout=subprocess.PIPE, text=True)
        for program in programs
    ]
    return [float(loop.communicate()[0]) for loop in loops]
