"""The only door to Ansible: a plan becomes role variables, and hosts come to the wanted state.

Owns converging and when it can be skipped. Must not measure anything, and is never called between trials.
"""

from benchctl.configure.ansible import AnsibleRunner
from benchctl.configure.converge import Converged, converge
from benchctl.configure.runner import Access, Call, FleetLike, PlaybookRunner, Played

__all__ = [
    "Access",
    "AnsibleRunner",
    "Call",
    "Converged",
    "FleetLike",
    "PlaybookRunner",
    "Played",
    "converge",
]
