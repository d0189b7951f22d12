"""The address that this machine has outside, which alone may connect to hosts in a cloud.

Asks one service of AWS, over HTTPS and with nothing of ours in the question; `hosts.ssh_from` makes it
unnecessary.
"""

from __future__ import annotations

import ipaddress
import urllib.error
import urllib.request

from benchctl.errors import UnfitError

SERVICE = "https://checkip.amazonaws.com/"
_LIMIT = 10  # seconds
_LONGEST = 64  # bytes of an address with its line's end


def address() -> str:
    """Return this machine's public IPv4 address as a network of one. Raises UnfitError without an answer."""
    try:
        with urllib.request.urlopen(SERVICE, timeout=_LIMIT) as answer:
            said = answer.read(_LONGEST).decode("ascii", "replace").strip()
        return str(ipaddress.IPv4Network(said))
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise UnfitError(
            f"{SERVICE} does not say which address this machine has outside: {reason}",
            remedy="name the networks that you connect from: hosts.ssh_from: [203.0.113.7/32]",
        ) from error
