"""S3 for programs that are not Python: what they ask over HTTP is asked of Moto in this process."""

from __future__ import annotations

from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import requests

from tests.stacks.server import served

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIMIT = 30  # seconds


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._forward()

    def do_HEAD(self) -> None:
        self._forward()

    def do_PUT(self) -> None:
        self._forward()

    def do_POST(self) -> None:
        self._forward()

    def do_DELETE(self) -> None:
        self._forward()

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        url = f"https://s3.amazonaws.com{self.path}"
        without = self.command == "HEAD"  # a body, and its length is that of what it stands for
        asked = "GET" if without else self.command
        answer = requests.request(asked, url, data=body, headers=headers, timeout=_LIMIT)
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        if not without:
            self.wfile.write(answer.content)


@contextmanager
def s3() -> Iterator[str]:
    """Serve S3; Moto has to be active. Yields the address."""
    with served(_Handler) as address:
        yield address
