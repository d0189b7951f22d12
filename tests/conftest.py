"""One hypothesis profile for all tests (the same examples each time), Ctrl-C as on a terminal, the lab."""

from __future__ import annotations

import signal

from hypothesis import settings

from tests.lab.fixtures import fresh, lab

__all__ = ["fresh", "lab"]

settings.register_profile("benchctl", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("benchctl")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as under nohup or in the background of a script
    signal.signal(signal.SIGINT, signal.default_int_handler)  # else every program under test ignores it too
