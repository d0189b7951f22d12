# ruff: noqa: INP001 - a script of the instance, no part of a package
"""Ask a running KairosDB over HTTP, as a descriptor needs it: `ask_kairosdb.py HOST PORT VERB`.

ping succeeds or fails; stats (how many metrics it knows) is printed as one JSON object, version as it is.
KairosDB does not tell its settings. Runs on Python 3.9.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request

SECONDS = 60
PATHS = {"ping": "health/check", "stats": "metricnames", "version": "version"}


def act(place: str, verb: str) -> str:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"http://{place}/api/v1/{PATHS[verb]}", timeout=SECONDS) as answer:
        text = answer.read().decode()
    if verb == "ping":
        return "healthy"
    found = json.loads(text)
    return json.dumps({"metrics": len(found["results"])}) if verb == "stats" else found["version"]


def main(host: str, port: str, verb: str) -> None:
    if verb not in PATHS:
        sys.exit(f"{verb!r} is none of {', '.join(PATHS)}")
    try:
        sys.stdout.write(act(f"{host}:{port}", verb) + "\n")
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"{host}:{port}: {verb}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
