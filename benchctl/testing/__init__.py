"""Fakes for the boundaries, shipped, and held to the same contract tests as the real ones.

Imported by tests only; must not be imported by any other room. Where pytest runs, it explains what the suites
for roles and load generators assert, as it does for tests.
"""

import sys

if "pytest" in sys.modules:
    import pytest

    pytest.register_assert_rewrite("benchctl.testing.loader_contract", "benchctl.testing.role_contract")
