"""The wish to stop: set once by a signal, heeded between acts, passed on to an act that waits."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchctl.errors import InterruptedRunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Cancel:
    """`request` may be called from a signal handler; everything else belongs to the working thread."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._interrupt: Callable[[], object] | None = None

    @property
    def requested(self) -> bool:
        return self.signal_number is not None

    def request(self, signal_number: int) -> None:
        """Note the signal; a waiting act is told from another thread, since this one may hold its locks."""
        self.signal_number = signal_number
        if self._interrupt is not None:
            threading.Thread(target=self._interrupt, daemon=True).start()

    def check(self) -> None:
        """Raise InterruptedRunError when a stop was asked for."""
        if self.signal_number is not None:
            raise InterruptedRunError(self.signal_number)

    @contextmanager
    def interrupting(self, interrupt: Callable[[], object]) -> Iterator[None]:
        """While the body waits, a request calls `interrupt`, which must make the body return soon."""
        self.check()
        self._interrupt = interrupt
        try:
            yield
        finally:
            self._interrupt = None
        self.check()
