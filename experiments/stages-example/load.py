"""A small load generator for the gateway: each client asks, waits for the answer, and asks again.

Its last line is one JSON object of metric -> number, over the time after the warm-up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    """Send one request and read its answer."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise ConnectionError(head.split(b"\r\n", 1)[0].decode())
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
    await reader.readexactly(int(length))


async def client(options: argparse.Namespace, begin: float, end: float) -> list[float]:
    """Ask until `end`; return the seconds that each answer took, of the requests sent from `begin` on."""
    host, _, port = options.gateway.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    request = f"POST /{options.key} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n".encode()
    latencies = []
    while (sent := time.monotonic()) < end:
        await ask(reader, writer, request)
        if sent >= begin:
            latencies.append(time.monotonic() - sent)
    writer.close()
    return latencies


async def load(options: argparse.Namespace) -> dict[str, float]:
    """Run all clients through warm-up and window."""
    begin = time.monotonic() + options.warmup
    end = begin + options.duration
    found = await asyncio.gather(*(client(options, begin, end) for _ in range(options.clients)))
    latencies = sorted(latency for part in found for latency in part)
    if not latencies:
        raise ConnectionError("not one request was answered in the window")
    return {
        "throughput": len(latencies) / options.duration,
        "requests": len(latencies),
        "latency_mean": 1000 * sum(latencies) / len(latencies),
        "latency_p99": 1000 * latencies[min(len(latencies) - 1, int(len(latencies) * 0.99))],
    }


async def check(options: argparse.Namespace) -> dict[str, float]:
    """Ask once whether the gateway and what is behind it are there."""
    host, _, port = options.gateway.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    begin = time.monotonic()
    await ask(reader, writer, f"GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    writer.close()
    return {"round_trip": 1000 * (time.monotonic() - begin)}


def main() -> int:
    """Read the options, do the work, print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", default="127.0.0.1:8390", metavar="HOST:PORT")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--warmup", type=float, default=0.0, help="seconds")
    parser.add_argument("--duration", type=float, default=5.0, help="seconds")
    parser.add_argument("--key", default="key")
    parser.add_argument("--check", action="store_true", help="ask once, and end")
    options = parser.parse_args()
    try:
        found = asyncio.run(check(options) if options.check else load(options))
    except (OSError, asyncio.IncompleteReadError) as error:
        sys.stderr.write(f"{options.gateway}: {error}\n")
        return 1
    print(json.dumps(found))  # noqa: T201 - what it is for
    return 0


if __name__ == "__main__":
    sys.exit(main())
