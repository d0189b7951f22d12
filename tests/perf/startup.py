"""Start-up of the command against the least that a click program costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.perf.rows import Row, interleaved, median_ratio, milliseconds

ROUNDS = 20


def run() -> list[Row]:
    program = str(Path(sys.executable).with_name("benchctl"))
    return [_against_click(words, program) for words in (["--help"], ["validate", "quickstart"])]


def _against_click(words: list[str], program: str) -> Row:
    pairs = interleaved(
        lambda: _quiet([program, *words]), lambda: _quiet([sys.executable, "-c", "import click"]), ROUNDS
    )
    return Row(
        f"benchctl {' '.join(words)} / python -c 'import click'",
        milliseconds([ours for ours, _ in pairs]),
        milliseconds([peer for _, peer in pairs]),
        f"{median_ratio(pairs):.2f}",
        "<= 3",
        median_ratio(pairs) <= 3,
    )


def _quiet(argv: list[str]) -> None:
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
