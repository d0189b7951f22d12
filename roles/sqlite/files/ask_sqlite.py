# ruff: noqa: INP001 - a script of the instance, no part of a package
"""Ask SQLite itself, as a descriptor needs it: `ask_sqlite.py VERB [FILE DATABASE]`.

It is the library that this Python's own module uses. FILE has the settings, a line a JSON object of a
PRAGMA's name to its value; DATABASE is the file of the data, and a new one stands in for it where there is
none. check says what SQLite has against the settings; settings are read back from a connection that has taken
them, as one JSON object; names are those of all PRAGMAs; version is printed, and build with its hash.
SQLite passes over names and values that it does not know: so a name has to be in its own list, and a value
has to be read back as it was given. Runs on Python 3.9.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
from pathlib import Path

VERBS = ("build", "check", "names", "settings", "version")
ACTS = (  # these do something to the data, or look at all of it
    *("foreign_key_check", "incremental_vacuum", "integrity_check", "optimize", "quick_check"),
    *("shrink_memory", "wal_checkpoint"),
)
BOOLEANS = {"on": "1", "true": "1", "yes": "1", "off": "0", "false": "0", "no": "0"}


class SettingError(Exception):
    """What SQLite would pass over."""


def names(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM pragma_pragma_list ORDER BY name")]


def read(connection: sqlite3.Connection, name: str) -> str | None:
    """The value of a PRAGMA that has one; None for others."""
    rows = connection.execute(f"PRAGMA {name}").fetchall()
    return str(rows[0][0]) if len(rows) == 1 and len(rows[0]) == 1 else None


def apply(connection: sqlite3.Connection, path: str) -> None:
    known = names(connection)
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        for name, value in json.loads(line).items():
            if name not in known or name in ACTS:
                raise SettingError(f"there is no setting {name!r} among SQLite's PRAGMAs")
            connection.execute(f"PRAGMA {name} = {word(value)}")
            found = str(read(connection, name))
            if found.lower() not in {value.lower(), BOOLEANS.get(value.lower())}:
                raise SettingError(
                    f"PRAGMA {name} = {value} is read back as {found}: give it as SQLite shows it"
                )


def word(value: str) -> str:
    """A value as SQL has it: a number or a word."""
    if not value.lstrip("-").replace("_", "a").isalnum():
        raise SettingError(f"{value!r} is neither a number nor a word")
    return value


def settings(connection: sqlite3.Connection) -> dict[str, str]:
    found = {name: read(connection, name) for name in names(connection) if name not in ACTS}
    return {name: value for name, value in found.items() if value is not None}


def connected(verb: str, path: str, database: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        place = database if Path(database).is_file() else f"{folder}/new.sqlite"
        connection = sqlite3.connect(place, isolation_level=None)
        try:
            if verb == "names":
                return "\n".join(names(connection))
            if verb == "build":
                ((source,),) = connection.execute("SELECT sqlite_source_id()")
                return f"{sqlite3.sqlite_version} {source}"
            apply(connection, path)
            return json.dumps(settings(connection)) if verb == "settings" else ""
        finally:
            connection.close()


def main(verb: str, path: str = "", database: str = "") -> None:
    if verb not in VERBS:
        sys.exit(f"{verb!r} is none of {', '.join(VERBS)}")
    try:
        told = sqlite3.sqlite_version if verb == "version" else connected(verb, path, database)
        sys.stdout.write(told + "\n")
    except (OSError, ValueError, SettingError, sqlite3.Error) as error:
        sys.exit(f"{verb}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
