"""How numbers enter a summary: with nine significant digits.

That is more than any measurement has, and fewer than the digits in which mathematical libraries differ, so a
summary made again elsewhere has the same bytes.
"""

from __future__ import annotations

import math


def rounded(value: float | None) -> float | None:
    """Nine significant digits; None for what JSON cannot hold."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.9g}")
