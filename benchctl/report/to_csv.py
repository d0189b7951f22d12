"""One row for each finished trial and metric, for spreadsheets and other programs.

Values are written whole (shortest text that reads back to the same number), and names as they are.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchctl.results.view import RunView

COLUMNS = (
    "run", "ordinal", "block", "position", "treatment", "host", "validity", "open_loop",
    "metric", "value", "unit",
)  # fmt: skip


def render(view: RunView) -> str:
    """CSV with a header; after the fixed columns one for each factor, with the trial's level."""
    factors = [factor.name for factor in view.plan.factors]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*COLUMNS, *factors])
    for trial in view.trials:
        for metric, quantity in trial.result.metrics.items():
            writer.writerow([
                view.summary.run, trial.ordinal, trial.block, trial.position, trial.treatment, trial.host,
                trial.validity, str(trial.result.open_loop).lower(), metric,
                "" if quantity.value is None else repr(quantity.value), quantity.unit,
                *(trial.levels.get(name, "") for name in factors),
            ])  # fmt: skip
    return out.getvalue()
