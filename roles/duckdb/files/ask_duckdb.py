# ruff: noqa: INP001 - a script of the instance, no part of a package
"""Ask DuckDB itself, as a descriptor needs it: `ask_duckdb.py PACKAGES VERB [FILE]`.

PACKAGES is the folder with the Python package duckdb. FILE has the settings, a line a JSON object of name to
value. version is printed; check says what DuckDB has against the settings; settings are read back from an
engine that has taken them, as one JSON object; names are those of all settings. Runs on Python 3.9.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

VERBS = ("version", "check", "settings", "names")


def apply(connection: object, path: str) -> None:
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        for name, value in json.loads(line).items():
            connection.execute(f"SET {name} = '{value.replace(chr(39), chr(39) * 2)}'")


def act(duckdb: object, verb: str, path: str) -> str:
    if verb == "version":
        return duckdb.__version__
    with duckdb.connect() as connection:
        if verb != "names":
            apply(connection, path)
        rows = connection.execute("SELECT name, value FROM duckdb_settings()").fetchall()
    if verb == "names":
        return "\n".join(name for name, _ in rows)
    return json.dumps(dict(rows)) if verb == "settings" else ""


def main(packages: str, verb: str, path: str = "") -> None:
    if verb not in VERBS:
        sys.exit(f"{verb!r} is none of {', '.join(VERBS)}")
    sys.path.insert(0, packages)
    import duckdb

    try:
        sys.stdout.write(act(duckdb, verb, path) + "\n")
    except (OSError, ValueError, duckdb.Error) as error:
        sys.exit(f"{verb}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
