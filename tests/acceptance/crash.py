"""The command with a crash built in: kill -9 of itself right after a chosen entry of the journal is on disk.

`python crash.py ACT PHASE NUMBER word…` is `benchctl word…` until the journal holds that many such entries.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from benchctl.cli import main
from benchctl.journal import Journal

if TYPE_CHECKING:
    from benchctl.journal.journal import Phase


def crash_after(point: tuple[str, str], number: int) -> None:
    append = Journal._append  # noqa: SLF001 - the one place that every entry goes through
    seen = 0

    def crashing(self: Journal, act: str, phase: Phase, of: int | None, data: dict[str, Any]) -> int:
        nonlocal seen
        seq = append(self, act, phase, of, data)
        seen += (act, phase) == point
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return seq

    Journal._append = crashing  # type: ignore[method-assign]  # noqa: SLF001


if __name__ == "__main__":
    crash_after((sys.argv[1], sys.argv[2]), int(sys.argv[3]))
    sys.argv = ["benchctl", *sys.argv[4:]]
    main()
