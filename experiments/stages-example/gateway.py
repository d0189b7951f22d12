"""A small HTTP gateway to Redis: `POST /KEY` counts KEY up, `GET /health` says whether Redis answers.

It ends at once when Redis is not there: a service that needs another one up first.
"""

from __future__ import annotations

import argparse
import asyncio
import sys


class Redis:
    """One connection, used by one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take an open connection."""
        self._reader = reader
        self._writer = writer
        self._free = asyncio.Lock()

    async def ask(self, *words: bytes) -> bytes:
        """Send a command; return the first line of its reply."""
        parts = [b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)]
        async with self._free:
            self._writer.write(b"".join(parts))
            await self._writer.drain()
            return (await self._reader.readuntil(b"\r\n")).rstrip()

    def close(self) -> None:
        """Let go of the connection."""
        self._writer.close()


async def connect(address: str) -> Redis:
    """Connect to HOST:PORT."""
    host, _, port = address.rpartition(":")
    return Redis(*await asyncio.open_connection(host, int(port)))


async def serve(options: argparse.Namespace) -> None:
    """Serve until the process is told to end."""
    shared = await connect(options.redis)
    if await shared.ask(b"PING") != b"+PONG":
        raise ConnectionError("this is no Redis")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        redis = shared if options.connections == "shared" else await connect(options.redis)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ", 2)[1]
                body = await (redis.ask(b"PING") if path == b"/health" else redis.ask(b"INCR", path[1:]))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went away
        finally:
            writer.close()
            if redis is not shared:
                redis.close()

    server = await asyncio.start_server(talk, options.listen, options.port)
    async with server:
        await server.serve_forever()


def main() -> int:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8390)
    parser.add_argument("--redis", default="127.0.0.1:6379", metavar="HOST:PORT")
    parser.add_argument("--connections", choices=("shared", "own"), default="own")
    options = parser.parse_args()
    try:
        asyncio.run(serve(options))
    except OSError as error:
        sys.stderr.write(f"{options.redis}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
