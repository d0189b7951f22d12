"""The kernel's calls that Python has no function for, as far as knobs need them.

Owns numbers and layouts. Each raises OSError with the kernel's number; none knows what it is called for.
"""

import errno
import os
import struct
from typing import TYPE_CHECKING, Any, List, Optional

if TYPE_CHECKING:
    import socket

_SWAP_PREFER = 0x8000  # with a priority in the lower bits; without it the kernel gives the next lower one
_SIOCETHTOOL = 0x8946
_NETLINK_AUDIT, _AUDIT_GET, _AUDIT_SET = 9, 1000, 1001
_NLMSG_ERROR = 2
_AUDIT_LIMIT = 5.0  # seconds for an answer
_PAGE = 8192  # bytes; no answer is longer


def swapon(path: str, priority: int, flags: int = 0) -> None:
    """Swap to an area as well; with a negative priority the kernel chooses one below all others."""
    chosen = _SWAP_PREFER | priority if priority >= 0 else 0
    _c("swapon", path, os.fsencode(path), chosen | flags)


def swapoff(path: str) -> None:
    """Bring back what an area holds, and swap to it no more."""
    _c("swapoff", path, os.fsencode(path))


def mount_flags(point: str, flags: int) -> None:
    """Change the flags of a mount; those of its file system stay (mount(2): MS_REMOUNT with MS_BIND)."""
    import ctypes

    _c("mount", point, None, os.fsencode(point), None, ctypes.c_ulong(flags), None)


def ethtool(nic: str, words: List[int]) -> List[int]:
    """Ask or tell the driver of a card something: command and fields in 32 bits each (SIOCETHTOOL)."""
    import fcntl
    import socket
    from array import array

    buffer = array("I", words)
    request = struct.pack("16sP16x", nic.encode(), buffer.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        fcntl.ioctl(door, _SIOCETHTOOL, request)
    return buffer.tolist()


def audit(enabled: Optional[int]) -> int:
    """Return whether the kernel audits (0, 1; 2 locked), after it was set unless None (audit_netlink)."""
    with _audit_door() as door:
        door.settimeout(_AUDIT_LIMIT)
        if enabled is not None:
            door.send(_audit_message(_AUDIT_SET, 5, struct.pack("=11I", 1, enabled, *[0] * 9)))
            _audit_reply(door.recv(_PAGE), _NLMSG_ERROR)
        door.send(_audit_message(_AUDIT_GET, 1, b""))
        status = _audit_reply(door.recv(_PAGE), _AUDIT_GET)
        return int(struct.unpack_from("=2I", status)[1])


def _audit_door() -> "socket.socket":
    import socket

    try:
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_AUDIT)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # So say the filters of system calls that Docker and podman give containers.
        raise PermissionError(errno.EPERM, "this container may not ask for it") from error


def _audit_message(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body


def _audit_reply(message: bytes, wanted: int) -> bytes:
    kind = struct.unpack_from("=IH", message)[1]
    if kind == _NLMSG_ERROR:
        number = -struct.unpack_from("=i", message, 16)[0]
        if number:
            raise OSError(number, f"audit: {os.strerror(number)}")
    if kind != wanted:
        raise OSError(errno.EBADMSG, f"audit: answered with message {kind}")
    return message[16:]


def _c(name: str, about: str, *arguments: Any) -> None:  # noqa: ANN401 - what ctypes takes
    import ctypes  # it takes long to load, and few knobs need it

    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name} {about}: {os.strerror(number)}")
