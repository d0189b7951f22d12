"""Modules run by `python -m` from roles, molecule and make: errors end them as they end the command."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchctl.errors import BenchctlError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def errors_end_it() -> Iterator[None]:
    """Say an error of benchctl on stderr without a traceback, and exit with its code."""
    try:
        yield
    except BenchctlError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
