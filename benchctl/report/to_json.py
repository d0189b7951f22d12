"""The versioned JSON that `run`, `report`, `compare` and `runs show` share (docs/reference/json.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from benchctl.model.comparison import Comparison
    from benchctl.results.view import RunView

SCHEMA = 1
COMPARISON_KEYS = (
    "factor", "at", "baseline", "contender", "metric", "unit", "verdict", "effect", "low", "high", "p",
    "p_permutation", "n", "detectable", "delta", "paired", "validity",
)  # fmt: skip


def shape(view: RunView) -> dict[str, Any]:
    """The run as plain values, keys in the documented order."""
    summary = view.summary
    return {
        "schema": SCHEMA,
        "run": summary.run,
        "path": str(view.path),
        "state": summary.state,
        "validity": summary.validity,
        "grade": summary.grade,
        "trials": msgspec.to_builtins(summary.trials),
        "comparisons": [comparison_shape(comparison) for comparison in summary.comparisons],
        "metrics": msgspec.to_builtins(summary.metrics),
        "gates": msgspec.to_builtins(summary.gates),
        "series": msgspec.to_builtins(summary.series),
        "counters": msgspec.to_builtins(summary.counters),
        "events": msgspec.to_builtins(summary.events),
        "hosts": msgspec.to_builtins(summary.hosts),
        "start": msgspec.to_builtins(summary.start),
        "pilot": msgspec.to_builtins(summary.pilot),
        "tuning": msgspec.to_builtins(summary.tuning),
    }


def render(view: RunView) -> str:
    """Indented JSON with a final newline; a figure that is not there is null."""
    return msgspec.json.format(msgspec.json.encode(shape(view)), indent=2).decode() + "\n"


def comparison_shape(comparison: Comparison) -> dict[str, Any]:
    """One comparison with the documented keys."""
    return {key: getattr(comparison, key) for key in COMPARISON_KEYS}
