"""Ends a provider's process when the engine that started it is gone: else it would make hosts for nobody.

As a program (engine/pulumi-resource-pulumi-python starts it) it is Pulumi's own server of dynamic providers,
watched from its first moment. With Pulumi's own launcher the stack's providers ask for it themselves.
"""

from __future__ import annotations

import os
import runpy
import threading
import time
from functools import cache

_INTERVAL = 0.2  # seconds


@cache
def end_with_parent() -> None:
    """Watch from now on, once per process: it ends at once when its parent has."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_INTERVAL)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


if __name__ == "__main__":
    end_with_parent()
    runpy.run_module("pulumi.dynamic", run_name="__main__", alter_sys=True)
