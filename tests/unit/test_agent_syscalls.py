"""The kernel's calls: what they send, and what becomes of their answers."""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING, Self

import pytest

from benchctl.agent import syscalls

if TYPE_CHECKING:
    from collections.abc import Iterator


class Auditor:
    """The kernel's end of the audit socket."""

    def __init__(self) -> None:
        self.enabled = 1
        self.refuses = 0
        self.sent: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def settimeout(self, _: float) -> None:
        pass

    def send(self, message: bytes) -> None:
        length, kind = struct.unpack_from("=IH", message)
        assert length == len(message)
        self.sent.append(message)
        if kind == 1001 and not self.refuses:
            mask, self.enabled = struct.unpack_from("=2I", message, 16)
            assert mask == 1

    def recv(self, _: int) -> bytes:
        kind = struct.unpack_from("=IH", self.sent[-1])[1]
        if self.refuses or kind == 1001:
            return struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -self.refuses)
        return struct.pack("=IHHII", 60, 1000, 0, 1, 0) + struct.pack("=11I", 0, self.enabled, *[0] * 9)


@pytest.fixture
def auditor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Auditor]:
    made = Auditor()
    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", lambda *_: made)
        yield made


def test_audit_is_asked_for_and_set(auditor: Auditor) -> None:
    assert syscalls.audit(None) == 1
    assert syscalls.audit(0) == 0
    assert len(auditor.sent) == 3


def test_what_the_kernel_refuses_is_its_error(auditor: Auditor) -> None:
    auditor.refuses = errno.EPERM
    with pytest.raises(OSError, match="audit: Operation not permitted") as found:
        syscalls.audit(0)
    assert found.value.errno == errno.EPERM


def test_a_containers_filter_is_a_lack_of_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    def filtered(*_: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(socket, "socket", filtered)
    with pytest.raises(PermissionError, match="this container may not ask") as found:
        syscalls.audit(None)
    assert found.value.errno == errno.EPERM


def test_a_card_that_is_not_there_is_told() -> None:
    with pytest.raises(OSError, match="No such device"):
        syscalls.ethtool("no-such-card", [0x2B, 0])


def test_a_point_that_is_no_mount_is_told() -> None:
    with pytest.raises(OSError, match="mount /nowhere"):
        syscalls.mount_flags("/nowhere", 0x1020)
