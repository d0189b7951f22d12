"""`make perf`: every figure, or those that are named: python -m tests.perf startup noop."""

from __future__ import annotations

import os
import sys
import traceback
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


def main() -> int:
    """Print each figure's rows when they are there; one that fails keeps no other from being taken."""
    failed, environment = [], dict(os.environ)
    for name in sys.argv[1:] or FIGURES:
        sys.stderr.write(f"{name} …\n")
        module = import_module(f"tests.perf.{name.replace('-', '_')}")
        try:
            sys.stdout.write(show(module.run()) + "\n")
            sys.stdout.flush()
        except Exception:  # noqa: BLE001 - a peer's, mostly; an hour's figures are not lost for it
            traceback.print_exc()
            failed.append(name)
        finally:
            os.environ.clear()
            os.environ.update(environment)  # some figures have folders of their own
    if failed:
        sys.stderr.write(f"failed: {', '.join(failed)}; again: python -m tests.perf {' '.join(failed)}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
