"""YAML text to a checked experiment: every error has its file, line and column, and a remedy.

Owns the experiment file's surface, the look-up of roles and experiments, and the published JSON Schema.
Must not install, run or measure anything; imports nothing that makes `validate` slow.
"""

from benchctl.spec.load import Spec, load
from benchctl.spec.roles import read_role
from benchctl.spec.schema import json_schema

__all__ = ["Spec", "json_schema", "load", "read_role"]
