"""One hypothesis profile for all tests: the same examples each time, no clock."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("benchctl", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("benchctl")
