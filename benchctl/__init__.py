"""benchctl: from one experiment file to a number you can defend.

Owns the version and the two names a notebook needs; everything else lives in the rooms (docs/design).
"""

__version__ = "0.1.0"
