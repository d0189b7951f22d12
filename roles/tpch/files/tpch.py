# ruff: noqa: INP001 - a script of the role, no part of a package
"""TPC-H's tables and 22 queries on DuckDB, SQLite or PostgreSQL: `tpch.py WANTED`, a JSON object.

`verb` is prepare (fill the system) or run. `packages` is the folder with the Python packages duckdb and
duckdb_extension_tpch, which bring data, queries and answers; nothing is fetched. On DuckDB and SQLite
`database` is the file and `settings` the file of its settings; on PostgreSQL `psql` is the client's argv.
A run writes one JSON object a query to stdout, as it ends, and one at its end. Runs on Python 3.9.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KEYS = {
    "region": "r_regionkey",
    "nation": "n_nationkey",
    "supplier": "s_suppkey",
    "customer": "c_custkey",
    "part": "p_partkey",
    "partsupp": "ps_partkey, ps_suppkey",
    "orders": "o_orderkey",
    "lineitem": "l_orderkey, l_linenumber",
}
INDEXES = {  # of foreign keys, which TPC-H allows
    "lineitem": ("l_partkey, l_suppkey",),
    "orders": ("o_custkey",),
    "customer": ("c_nationkey",),
    "supplier": ("s_nationkey",),
    "partsupp": ("ps_suppkey",),
}
# SQLite has neither a type for dates, which it compares as the texts that they are, nor these forms.
SQLITE_FORMS = (
    (re.compile(r"\bCAST\(('[0-9-]+') AS date\)|\bdate ('[0-9-]+')", re.IGNORECASE), r"\1\2"),
    (re.compile(r"\bextract\(year FROM (\w+)\)", re.IGNORECASE), r"CAST(strftime('%Y', \1) AS INTEGER)"),
    (re.compile(r"\bsubstring\((\w+) FROM (\d+) FOR (\d+)\)", re.IGNORECASE), r"substr(\1, \2, \3)"),
    (re.compile(r"\bcount\((\w+)\)(?=[^()]*FROM\s+customer)"), r"count(\1) AS c_count"),  # query 13 alone
    (re.compile(r"\bAS c_orders \([^)]*\)"), "AS c_orders"),
)
TOLERANCE = 1e-9  # relative: sums of floating numbers have no order
MARK = "tpch-end-of-answer"


class TpchError(Exception):
    """What cannot be done."""


def engine(wanted: dict, database: str = ":memory:") -> object:
    """A DuckDB that knows TPC-H."""
    sys.path.insert(0, wanted["packages"])
    import duckdb

    (extension,) = Path(wanted["packages"]).glob("duckdb_extension_tpch/extensions/*/tpch.duckdb_extension")
    connection = duckdb.connect(database)
    connection.execute(f"LOAD '{extension}'")
    return connection


class DuckDb:
    """The engine in this process."""

    def __init__(self, wanted: dict) -> None:
        self.connection = engine(wanted, wanted["database"])
        for line in Path(wanted["settings"]).read_text(encoding="utf-8").splitlines():
            for name, value in json.loads(line).items():
                self.connection.execute(f"SET {name} = '{value.replace(chr(39), chr(39) * 2)}'")

    def ask(self, query: str) -> list:
        return [list(map(text_of, row)) for row in self.connection.execute(query).fetchall()]


class Sqlite:
    """The engine in this process, the one of Python's own module."""

    def __init__(self, wanted: dict) -> None:
        self.connection = sqlite3.connect(wanted["database"], isolation_level=None)
        for line in Path(wanted["settings"]).read_text(encoding="utf-8").splitlines():
            for name, value in json.loads(line).items():
                self.connection.execute(f"PRAGMA {name} = {value}")

    def ask(self, query: str) -> list:
        for form, replacement in SQLITE_FORMS:
            query = form.sub(replacement, query)
        return [list(map(text_of, row)) for row in self.connection.execute(query).fetchall()]


class PostgreSql:
    """A psql that takes one query after the other."""

    def __init__(self, wanted: dict) -> None:
        argv = [*wanted["psql"], "--csv", "--tuples-only", "--quiet", "--no-psqlrc", "-v", "ON_ERROR_STOP=1"]
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - as long as psql
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            encoding="utf-8",
        )

    def ask(self, query: str) -> list:
        self.process.stdin.write(f"{query}\n\\echo {MARK}\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line.rstrip("\n") == MARK:
                return [row or [""] for row in csv.reader(io.StringIO("".join(lines)))]  # of one field, NULL
            lines.append(line)
        self.process.wait()
        self.errors.seek(0)
        raise TpchError(f"psql: {self.errors.read().strip()[:500]}")


SYSTEMS = {"duckdb": DuckDb, "sqlite": Sqlite, "postgresql": PostgreSql}


def text_of(value: object) -> str:
    return "" if value is None else str(value)


def prepare(wanted: dict) -> None:
    if wanted["engine"] == "duckdb":
        connection = engine(wanted, wanted["database"])
        connection.execute(f"CALL dbgen(sf={wanted['scale']})")
        connection.execute("CHECKPOINT")
        connection.close()
        return
    connection = engine(wanted)
    connection.execute(f"CALL dbgen(sf={wanted['scale']})")
    if wanted["engine"] == "sqlite":
        fill_sqlite(wanted, connection)
        return
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        for table, key in KEYS.items():
            path = f"{folder}/{table}.csv"
            connection.execute(f"COPY {table} TO '{path}' (FORMAT csv, HEADER false)")
            psql(
                wanted,
                statement_of(connection, table),
                f"\\copy {table} FROM '{path}' CSV",
                f"ALTER TABLE {table} ADD PRIMARY KEY ({key})",
            )
            Path(path).unlink()
            psql(wanted, *(f"CREATE INDEX ON {table} ({columns})" for columns in INDEXES.get(table, ())))
    psql(wanted, "VACUUM ANALYZE")


def statement_of(connection: object, table: str) -> str:
    """What made the table."""
    named = "SELECT sql FROM duckdb_tables() WHERE table_name = ?"
    ((created,),) = connection.execute(named, [table]).fetchall()
    return created


def fill_sqlite(wanted: dict, connection: object) -> None:
    """Texts go in, and become numbers in columns that are declared so."""
    database = sqlite3.connect(wanted["database"], isolation_level=None)
    database.execute("BEGIN")
    for table, key in KEYS.items():
        database.execute(statement_of(connection, table))
        rows = connection.execute(f"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM {table}")  # noqa: S608 - names of KEYS
        while batch := rows.fetchmany(10_000):
            places = ", ".join("?" * len(batch[0]))
            database.executemany(f"INSERT INTO {table} VALUES ({places})", batch)  # noqa: S608
        database.execute(f"CREATE UNIQUE INDEX {table}_key ON {table} ({key})")
        for number, columns in enumerate(INDEXES.get(table, ())):
            database.execute(f"CREATE INDEX {table}_{number} ON {table} ({columns})")
    database.execute("COMMIT")
    database.execute("ANALYZE")
    database.close()


def psql(wanted: dict, *commands: str) -> None:
    words = [word for command in commands for word in ("-c", command)]
    if words:
        argv = [*wanted["psql"], "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise TpchError(f"psql: {done.stderr.strip()[:500]}")


def run(wanted: dict) -> None:
    book = engine(wanted)
    queries = dict(book.execute("SELECT query_nr, query FROM tpch_queries()").fetchall())
    answers = answers_of(book, wanted["scale"]) if wanted["check"] else {}
    book.close()
    system = SYSTEMS[wanted["engine"]](wanted)
    order = random.Random(wanted["seed"])  # noqa: S311 - no secret
    for number in range(wanted["rounds"]):
        chosen = list(wanted["queries"] or sorted(queries))
        if wanted["shuffle"]:
            order.shuffle(chosen)
        for query in chosen:
            began = time.monotonic()
            rows = system.ask(queries[query])
            seconds = time.monotonic() - began
            right = same(rows, answers[query]) if query in answers else None
            tell(
                round=number + 1,
                query=query,
                seconds=seconds,
                rows=len(rows),
                right=right,
                sha256=hash_of(rows),
            )
    tell(done=True, engine=wanted["engine"], scale=wanted["scale"], checked=bool(answers))


def answers_of(book: object, scale: float) -> dict:
    """The extension's own answers; nothing for a scale that it has none of."""
    found = book.execute(
        "SELECT query_nr, answer FROM tpch_answers() WHERE scale_factor = ?", [scale]
    ).fetchall()
    return {query: [line.split("|") for line in answer.splitlines()[1:]] for query, answer in found}


def same(rows: list, answer: list) -> bool:
    """Whether two answers are one: numbers by value, other fields as they are."""
    return len(rows) == len(answer) and all(
        len(one) == len(other) and all(map(same_field, one, other))
        for one, other in zip(rows, answer)  # noqa: B905 - Python 3.9
    )


def same_field(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        return math.isclose(float(one), float(other), rel_tol=TOLERANCE)
    except ValueError:
        return (one in ("", "NULL")) and (other in ("", "NULL"))


def hash_of(rows: list) -> str:
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def tell(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    try:
        {"prepare": prepare, "run": run}[given["verb"]](given)
    except (TpchError, OSError, sqlite3.Error) as error:
        sys.exit(f"tpch: {error}")
