"""How a process came to its end, in words."""

from __future__ import annotations

import signal


def ending(status: int | None, *, timed_out: bool = False) -> str:
    """Say it of an exit status, negative for a signal: the rest of a sentence that begins with a name."""
    if timed_out:
        return "was stopped at its limit"
    if status is None:
        return "ended"
    if status >= 0:
        return f"ended with exit code {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:  # one of the real-time signals
        return f"was killed by signal {-status}"
