"""The few messages of D-Bus, against a systemd of the test's own; the real one answers in tests on a VM."""

from __future__ import annotations

import re
import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from benchctl.agent import unit_states

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

UNITS = ("man-db.timer", "fstrim.timer", "a.timer")
SIGNAL, RETURN, ERROR = 4, 2, 3


class Systemd:
    """Answers one question with the messages that it is given, in the byte order that it has."""

    def __init__(self, path: Path, greeting: bytes, answers: list[bytes]) -> None:
        self.asked = b""
        self._greeting = greeting
        self._answers = answers
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        link, _ = self._listener.accept()
        with link:
            said = b""
            while not said.endswith(b"BEGIN\r\n"):
                said += link.recv(1)
            link.sendall(self._greeting)
            if self._greeting.startswith(b"OK"):
                self.asked = link.recv(4096)
                link.sendall(b"".join(self._answers))

    def close(self) -> None:
        self._thread.join()
        self._listener.close()


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Systemd]]:
    made: list[Systemd] = []
    monkeypatch.setattr(unit_states, "SOCKET", str(tmp_path / "private"))

    def make(*answers: bytes, greeting: bytes = b"OK 0123\r\n") -> Systemd:
        made.append(Systemd(tmp_path / "private", greeting, list(answers)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def message(kind: int, body: bytes, order: str = "<") -> bytes:
    """With a header field, the serial that it answers, which is no multiple of eight long."""
    fields = (
        struct.pack(f"{order}BB1sBI", 5, 1, b"u", 0, 1)
        + b"\x06\x01s\0"
        + struct.pack(f"{order}I", 1)
        + b":\0"
    )
    mark = ord("l" if order == "<" else "B")
    head = struct.pack(f"{order}4BIII", mark, kind, 1, 1, len(body), 7, len(fields))
    return head + fields + bytes(-(len(head) + len(fields)) % 8) + body


def units(*names: str, order: str = "<") -> bytes:
    """An array of units as systemd gives it: texts and numbers aligned to four bytes, each unit to eight."""
    data = b""
    for name in names:
        data += bytes(-len(data) % 8)
        for text in (name, f"What {name} is for", "loaded", "active", "waiting", "", f"/unit/{name}"):
            data += bytes(-len(data) % 4) + struct.pack(f"{order}I", len(text)) + text.encode() + b"\0"
        data += bytes(-len(data) % 4) + struct.pack(f"{order}I", 0)
        for text in ("", "/"):
            data += bytes(-len(data) % 4) + struct.pack(f"{order}I", len(text)) + text.encode() + b"\0"
    return struct.pack(f"{order}I", len(data)) + bytes(4) + data


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("count", range(4))
def test_active_units_are_the_names_in_the_answer(
    systemd: Callable[..., Systemd], order: str, count: int
) -> None:
    signal = message(SIGNAL, b"a unit is new", order)
    asked = systemd(signal, message(RETURN, units(*UNITS[:count], order=order), order))
    assert unit_states.active_units("*.timer") == set(UNITS[:count])
    words = re.findall(rb"[\w./*]{3,}", asked.asked)
    assert words[-3:] == [b"asas", b"active", b"*.timer"]
    assert b"ListUnitsByPatterns" in words


def test_what_is_no_answer_is_an_error(systemd: Callable[..., Systemd]) -> None:
    systemd(greeting=b"REJECTED EXTERNAL\r\n")
    with pytest.raises(OSError, match="REJECTED"):
        unit_states.active_units("*.timer")


def test_an_error_is_told_in_systemds_words(systemd: Callable[..., Systemd]) -> None:
    systemd(message(ERROR, struct.pack("<I", 6) + b"Denied\0"))
    with pytest.raises(OSError, match="Denied"):
        unit_states.active_units("*.timer")


def test_an_answer_that_is_cut_off_is_an_error(systemd: Callable[..., Systemd]) -> None:
    systemd(message(RETURN, units(*UNITS))[:-1])
    with pytest.raises(OSError, match="in the middle"):
        unit_states.active_units("*.timer")


def test_without_systemd_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit_states, "SOCKET", str(tmp_path / "absent"))
    with pytest.raises(OSError, match="No such file"):
        unit_states.active_units("*.timer")
