# ruff: noqa: INP001 - a script of the instance, no part of a package
"""Ask a running etcd over HTTP, as a descriptor needs it: `ask_etcd.py URL VERB [DATA LOG]`.

ping succeeds or fails; version, contents (its keys), stats (its metrics without labels) and settings are
printed, the last three as one JSON object. etcd tells some settings in the log of its
start, by the names of its flags; those that it does not tell are taken from the arguments of its process.
Runs on Python 3.9.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

SECONDS = 30
VERBS = ("contents", "ping", "settings", "stats", "version")
STARTED = '"msg":"starting an etcd server"'
MILLISECONDS = ("heartbeat-interval", "election-timeout")  # flags in ms, told as 100ms or 1s
# What the line tells besides: of itself, and of the program.
NO_SETTINGS = ("level", "ts", "caller", "msg", "etcd-version", "git-sha", "go-version", "go-os", "go-arch")
OTHERWISE = {"quota-size-bytes": "quota-backend-bytes"}  # in the log -> its flag


class EtcdError(Exception):
    """What etcd does not tell."""


def get(url: str, path: str, data: bytes | None = None) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}/{path}", data, timeout=SECONDS) as answer:
        return answer.read().decode()


def ping(url: str) -> str:
    if json.loads(get(url, "health"))["health"] != "true":
        raise EtcdError("not healthy")
    return ""


def stats(url: str) -> str:
    pairs = (line.split(" ", 1) for line in get(url, "metrics").splitlines() if line[:1].isalpha())
    return json.dumps({name: float(value) for name, value in pairs if "{" not in name and value != "NaN"})


def contents(url: str) -> str:
    """The number of all keys, from the byte 0 on."""
    asked = json.dumps({"key": "AA==", "range_end": "AA==", "count_only": True}).encode()
    return json.dumps({"keys": int(json.loads(get(url, "v3/kv/range", asked)).get("count", 0))})


def arguments(data: str) -> dict[str, str]:
    """The flags of the process that has this data folder."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text(errors="backslashreplace").split("\0")
        except OSError:  # it has ended
            continue
        if f"--data-dir={data}" in words and "--name=bench" in words:
            return dict(word[2:].partition("=")[::2] for word in words if word.startswith("--"))
    raise EtcdError(f"no process has {data}")


def told(log: str) -> dict[str, str]:
    """What etcd said at its last start."""
    lines = [line for line in Path(log).read_text(errors="backslashreplace").splitlines() if STARTED in line]
    if not lines:
        raise EtcdError(f"{log} does not tell the settings")
    found = {OTHERWISE.get(name, name): as_flag(name, value) for name, value in json.loads(lines[-1]).items()}
    return {
        name: value for name, value in found.items() if isinstance(value, str) and name not in NO_SETTINGS
    }


def as_flag(name: str, value: object) -> object:
    if name in MILLISECONDS:
        text = str(value)
        return text[:-2] if text.endswith("ms") else f"{float(text[:-1]) * 1000:g}"
    if isinstance(value, (dict, list)):
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def act(url: str, verb: str, *places: str) -> str:
    if verb == "settings":
        data, log = places
        return json.dumps({**told(log), **{k: told(log).get(k, v) for k, v in arguments(data).items()}})
    if verb == "version":
        return json.loads(get(url, "version"))["etcdserver"]
    return {"contents": contents, "ping": ping, "stats": stats}[verb](url)


def main(url: str, verb: str, *places: str) -> None:
    if verb not in VERBS:
        sys.exit(f"{verb!r} is none of {', '.join(VERBS)}")
    try:
        sys.stdout.write(act(url, verb, *places) + "\n")
    except (OSError, EtcdError, KeyError, ValueError) as error:
        sys.exit(f"{url}: {verb}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
