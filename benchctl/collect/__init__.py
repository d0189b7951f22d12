"""What is known of a host besides its trials: the fingerprint before them, logs after them.

Owns the files below hosts/ in the run directory. Must not change anything on a host.
"""

from benchctl.collect.host import fetch_fingerprints, fetch_logs

__all__ = ["fetch_fingerprints", "fetch_logs"]
