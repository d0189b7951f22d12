"""Who listens at a port, on sockets of this process and of nobody."""

from __future__ import annotations

import os
import socket

import pytest

from benchctl.agent import listening, service
from benchctl.agent.context import Context
from benchctl.agent.refusal import RefusalError
from benchctl.testing.server import descriptor


def listener(family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    made = socket.create_server(("" if family == socket.AF_INET6 else "127.0.0.1", 0), family=family)
    made.listen()
    return made


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_who_listens_is_named(family: socket.AddressFamily) -> None:
    with listener(family) as made:
        port = made.getsockname()[1]
        assert str(listening.at(port)).startswith(f"process {os.getpid()} (")
    assert listening.at(port) is None


def test_a_connection_at_a_port_is_no_listener() -> None:
    with listener() as made, socket.create_connection(made.getsockname()) as other:
        assert listening.at(other.getsockname()[1]) is None


def test_a_server_whose_port_is_taken_does_not_start_and_the_other_lives(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCHCTL_CACHE", str(tmp_path))
    with listener() as made:
        port = made.getsockname()[1]
        given = descriptor(target={"host": "127.0.0.1", "port": port})
        with pytest.raises(RefusalError, match=rf"port {port} .*process {os.getpid()} "):
            service.start(Context("run-1", supervised=False), given)
        socket.create_connection(("127.0.0.1", port)).close()
