"""`make perf`: every figure, or those that are named: python -m tests.perf startup noop."""

from __future__ import annotations

import sys
from importlib import import_module

from tests.perf.rows import show

FIGURES = (
    "startup",
    "noop",
    "perturbation",
    "parse_log",
    "parse",
    "sampler",
    "tuning",
    "tuning_hosts",
    "tuning_vm",
    "noop_hosts",
    "noop_growth",
    "converge",
    "site",
    "skew",
    "fetch",
    "images",
    "lab_stack",
    "lab_vm",
)


def main() -> None:
    rows = []
    for name in sys.argv[1:] or FIGURES:
        sys.stderr.write(f"{name} …\n")
        rows += import_module(f"tests.perf.{name.replace('-', '_')}").run()
    sys.stdout.write(show(rows) + "\n")


if __name__ == "__main__":
    main()
