"""What asks a MySQL, on a stand-in that speaks the protocol; a real one is an acceptance test's."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from benchctl.spec.share import shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Ask = Callable[..., subprocess.CompletedProcess[str]]

SCRIPT = shared("roles") / "mariadb" / "files" / "ask_mysqld.py"
LIMIT = 30  # seconds
GREETING = b"\x0a8.0.12\0" + bytes(4) + b"saltsalt\0" + bytes(18) + b"saltsaltsalt\0caching_sha2_password\0"
OK, SWITCH = b"\0\0\0\x02\0\0\0", b"\xfemysql_native_password\0salt\0"
ERROR = b"\xff\x1e\x04#42S22Unknown column 'nope'"


def end(*, more: bool) -> bytes:
    return b"\xfe\0\0" + (b"\x0a\0" if more else b"\x02\0")


def packets(data: bytes, number: int) -> bytes:
    """As the protocol sends it: what is too long comes in several, the last of which is shorter."""
    largest = (1 << 24) - 1
    parts = [data[at : at + largest] for at in range(0, len(data) + 1, largest)]
    return b"".join(
        len(part).to_bytes(3, "little") + bytes([number + count]) + part for count, part in enumerate(parts)
    )


def text(value: str | None) -> bytes:
    if value is None:
        return b"\xfb"
    data = value.encode()
    size = len(data)
    for limit, head, width in ((251, b"", 1), (1 << 16, b"\xfc", 2), (1 << 24, b"\xfd", 3)):
        if size < limit:
            return head + size.to_bytes(width, "little") + data
    return b"\xfe" + size.to_bytes(8, "little") + data


def result(*rows: tuple[str | None, ...], more: bool = False) -> list[bytes]:
    columns = len(rows[0])
    return [
        bytes([columns]),
        *[b"def" for _ in range(columns)],
        end(more=False),
        *[b"".join(map(text, row)) for row in rows],
        end(more=more),
    ]


class Server:
    """Logs one client in and answers one query."""

    def __init__(self, path: Path, login: list[bytes], answers: list[bytes]) -> None:
        self.heard: list[bytes] = []
        self._login, self._answers = login, answers
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._thread.join(LIMIT)
        self._listener.close()

    def _serve(self) -> None:
        self._listener.settimeout(LIMIT)
        link, _ = self._listener.accept()
        link.settimeout(LIMIT)
        with link, link.makefile("rb") as stream:
            link.sendall(packets(GREETING, 0))
            number = 1
            for answer in self._login:
                self._hear(stream.read)
                link.sendall(packets(answer, number + 1))
                number += 2
            if not self._answers or self._login[-1] != OK:
                return
            self._hear(stream.read)
            for count, answer in enumerate(self._answers, 1):
                link.sendall(packets(answer, count))

    def _hear(self, read: Callable[[int], bytes]) -> None:
        self.heard.append(read(int.from_bytes(read(4)[:3], "little")))


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def start(login: list[bytes], answers: list[bytes]) -> Server:
        made.append(Server(tmp_path / "m.sock", login, answers))
        return made[-1]

    yield start
    for server in made:
        server.close()


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    def run(statements: str = "SELECT 1") -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-ISB", str(SCRIPT), str(tmp_path / "m.sock"), statements]
        return subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT, check=False)

    return run


def test_rows_of_all_statements_are_lines(serve: Callable[..., Server], ask: Ask) -> None:
    long = "x" * 70_000
    answers = [b"\0\0\0\x0a\0\0\0", *result(("8.0.12", None), ("", "ü"), more=True), *result((long,))]
    server = serve([OK], answers)
    done = ask("DO 1; SELECT 2; SELECT 3")
    assert (done.stdout, done.stderr) == (f"8.0.12\tNULL\n\tü\n{long}\n", "")
    login, query = server.heard
    assert login.endswith(b"bench\0\0caching_sha2_password\0")
    assert query == b"\x03DO 1; SELECT 2; SELECT 3"


def test_what_does_not_fit_into_a_packet_comes_in_several(serve: Callable[..., Server], ask: Ask) -> None:
    long = "x" * (1 << 24)
    serve([OK], result((long,)))
    assert ask().stdout == f"{long}\n"


def test_another_way_to_log_in_is_taken_without_a_password_too(
    serve: Callable[..., Server], ask: Ask
) -> None:
    server = serve([SWITCH, OK], result(("1",)))
    assert ask().stdout == "1\n"
    assert server.heard[1] == b""


@pytest.mark.parametrize(
    ("login", "answers", "message"),
    [
        ([OK], [ERROR], "ERROR 1054 (42S22): Unknown column 'nope'"),
        ([OK], [*result(("1",), more=True), ERROR], "ERROR 1054 (42S22): Unknown column 'nope'"),
        ([b"\xff\x15\x04#28000Access denied"], [], "ERROR 1045 (28000): Access denied"),
        ([OK], [b"\x01", b"def"], "the server closed the connection"),
    ],
)
def test_what_the_server_refuses_is_said_in_its_words(
    login: list[bytes], answers: list[bytes], message: str, serve: Callable[..., Server], ask: Ask
) -> None:
    serve(login, answers)
    done = ask()
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr


def test_nobody_listens(ask: Ask) -> None:
    done = ask()
    assert done.returncode == 1
    assert "m.sock: " in done.stderr
    assert "Traceback" not in done.stderr
