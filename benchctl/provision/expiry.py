"""The dead man's switch of hosts that a stack makes: past their time, they shut themselves down.

Owns the file with the time and the units that watch it. How a shutdown becomes a termination is the
provider's (AWS: instance-initiated shutdown terminates; lab: the container removes itself).
"""

from __future__ import annotations

FOLDER = "/etc/benchctl"
FILE = f"{FOLDER}/expires"  # seconds since the epoch; whoever extends it replaces the content
_SERVICE = f"""[Unit]
Description=Shut down when the time of the benchmark host has passed
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'test "$(date +%%s)" -lt "$(cat {FILE})" || systemctl poweroff --no-block'
"""
_TIMER = """[Unit]
Description=Look at the expiry of the benchmark host
[Timer]
OnBootSec=20
OnUnitActiveSec=20
AccuracySec=1
[Install]
WantedBy=timers.target
"""


def units() -> dict[str, str]:
    """Return path -> content of the systemd units; benchctl-expiry.timer has to be enabled.

    An unreadable file counts as passed: a host that nobody gave a time must not stay for ever.
    """
    folder = "/etc/systemd/system"
    return {f"{folder}/benchctl-expiry.service": _SERVICE, f"{folder}/benchctl-expiry.timer": _TIMER}
