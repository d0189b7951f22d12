# ruff: noqa: INP001 - a script of the load generator's host, no part of a package
"""Run BenchBase once: `run_benchbase.py WISH`, one JSON object; it becomes BenchBase.

The benchmark's own sample of a configuration is filled in with the server, the size and the time of the wish.
It goes to BenchBase through memory: the password in it, from the file that PGPASSFILE names, never lies in a
file of the run. Results go to the folder that this starts in. Runs on Python 3.9.
"""

from __future__ import annotations

import json
import os
import sys
import xml.etree.ElementTree as ET
from pathlib import Path


def configuration(wish: dict, password: str) -> bytes:
    """The sample of the benchmark, filled in. Raises FileNotFoundError for a benchmark that there is not."""
    sample = Path(wish["home"]) / "config" / "postgres" / f"sample_{wish['benchmark']}_config.xml"
    root = ET.parse(sample).getroot()  # noqa: S314 - a file of BenchBase's own
    url = f"jdbc:postgresql://{wish['host']}:{wish['port']}/{wish['database']}?sslmode=disable&reWriteBatchedInserts=true"
    chosen = {"url": url, "username": wish["user"], "password": password}
    chosen.update(
        {
            name: wish[key]
            for name, key in (
                ("scalefactor", "scale"),
                ("terminals", "terminals"),
                ("isolation", "isolation"),
            )
            if key in wish
        }
    )
    for name, value in chosen.items():
        put(root, name, value)
    works = root.find("works")
    for work in [] if works is None else works.iter("work"):
        put(work, "time", wish["time"])
        put(work, "warmup", wish["warmup"])
        for name in ("rate", "weights"):
            if name in wish:
                put(work, name, wish[name])
    return ET.tostring(root, encoding="utf-8", xml_declaration=True)


def put(parent: ET.Element, name: str, value: object) -> None:
    """Give a child its text; the child is made where there is none."""
    child = parent.find(name)
    (ET.SubElement(parent, name) if child is None else child).text = str(value)


def password(wish: dict) -> str:
    """The password of the server, by the rules of libpq's file; empty when no line fits."""
    path = os.environ.get("PGPASSFILE", "")
    wanted = [wish["host"], wish["port"], wish["database"], wish["user"]]
    for line in Path(path).read_text(encoding="utf-8").splitlines() if path and Path(path).is_file() else ():
        *fields, secret = line.replace("\\:", "\0").split(":")
        if len(fields) == len(wanted) and all(a in {"*", b} for a, b in zip(fields, wanted)):  # noqa: B905 - Python 3.9
            return secret.replace("\0", ":").replace("\\\\", "\\")
    return ""


def main() -> None:
    wish = json.loads(sys.argv[1])
    results = str(Path.cwd())
    try:
        text = configuration(wish, password(wish))
    except FileNotFoundError as error:
        sys.exit(
            f"BenchBase has no benchmark {wish['benchmark']!r} for PostgreSQL: {error.filename} is not there"
        )
    memory = os.memfd_create("benchbase", 0)
    os.write(memory, text)
    os.set_inheritable(memory, True)  # noqa: FBT003 - it takes no name
    os.chdir(wish["home"])  # where it looks for its parts
    argv = [wish["java"], "-jar", "benchbase.jar", "-b", wish["benchmark"], "-c", f"/proc/self/fd/{memory}"]
    argv += ["-d", results, "-s", "1", "--create=true", "--load=true", "--execute=true"]
    os.execv(argv[0], argv)  # noqa: S606 - none is wanted


if __name__ == "__main__":
    main()
