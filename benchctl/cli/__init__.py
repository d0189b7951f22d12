"""The `benchctl` command: one module per verb, options declared once, errors turned into words and codes.

Owns everything that people see. Data goes to stdout, messages and progress to stderr.
"""

from benchctl.cli.main import cli, main

__all__ = ["cli", "main"]
