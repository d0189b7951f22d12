"""A trial of nothing in the local loop against the bare command in a shell loop beside it."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from benchctl.journal import read
from tests.perf.rows import Row, milliseconds

TRIALS = 200
COMMAND = ["printf", '{"ops": 1}\n']
EXPERIMENT = f"""
name: noop
workload:
  role: command
  run: >-
    printf '{{"ops": 1}}\\n'
  parse: {{json: true}}
  units: {{ops: 1/s}}
design: {{blocks: {TRIALS}}}
metrics: [{{name: ops, better: higher}}]
"""


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        trials = _trials(Path(folder))
    bare = _shell_loop()
    over = statistics.median(trials) - bare
    return [
        Row(
            "no-op trial / bare command in a shell loop",
            milliseconds(trials),
            f"{bare * 1000:.1f} ms",
            f"+{over * 1000:.1f} ms",
            "<= +10 ms",
            over <= 0.010,
        )
    ]


def _trials(folder: Path) -> list[float]:
    """Seconds from each trial's first journal entry to the next one's."""
    (folder / "noop.yml").write_text(EXPERIMENT, encoding="utf-8")
    program = str(Path(sys.executable).with_name("benchctl"))
    environment = {
        **os.environ,
        "BENCHCTL_CACHE": str(folder / "cache"),
        "BENCHCTL_LEASE_DIR": str(folder / "lease"),
        "BENCHCTL_WORKSPACE": str(folder),
    }
    subprocess.run(
        [program, "run", str(folder / "noop.yml")], check=True, capture_output=True, env=environment
    )
    (journal,) = folder.glob("runs/*/journal.jsonl")
    starts = [entry.time for entry in read(journal) if entry.act == "trial" and entry.phase == "meant"]
    return [after - before for before, after in pairwise(starts)]


def _shell_loop() -> float:
    """Seconds for one run of the command by /bin/sh, its start-up spread over the loop."""
    line = 'i=0; while [ $i -lt "$1" ]; do i=$((i+1)); /usr/bin/printf \'%s\' "$2" > /dev/null; done'
    begin = time.perf_counter()
    subprocess.run(["/bin/sh", "-c", line, "sh", str(TRIALS), COMMAND[1]], check=True)
    return (time.perf_counter() - begin) / TRIALS
