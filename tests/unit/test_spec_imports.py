"""`validate` starts fast because reading an experiment loads next to nothing."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "ansible_runner",
    "boto3",
    "dataclasses",
    "jinja2",
    "numpy",
    "pandas",
    "plotly",
    "pulumi",
    "pyarrow",
    "rich",
    "scipy",
    "yaml",
)


def test_reading_an_experiment_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom benchctl.spec import load\nload('quickstart')\n"
        f"print(*[name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == []
