#!/usr/bin/env python3
"""KairosDB in the foreground, from a folder with its libraries, on its own store (H2) or on Cassandra.

`kairosdb.json` beside this program says where Java and the libraries are. A line of --settings is
`name: value`, the value in JSON; it wins. Runs on Python 3.9.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

STORES = {
    "h2": "org.kairosdb.datastore.h2.H2Module",
    "cassandra": "org.kairosdb.datastore.cassandra.CassandraModule",
}
LOGGING = """<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{HH:mm:ss.SSS} [%thread] %-5level [%file:%line] - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="OUT"/></root>
</configuration>
"""


def read_words() -> argparse.Namespace:
    reader = argparse.ArgumentParser(description=__doc__.partition("\n")[0], allow_abbrev=False)
    reader.add_argument("--data", type=Path, required=True, help="folder for all that KairosDB writes")
    reader.add_argument("--listen", default="127.0.0.1", help="address for clients")
    reader.add_argument("--port", type=int, default=8080, help="port for HTTP")
    reader.add_argument("--cassandra", default="", help="HOST:PORT of a Cassandra for the points")
    reader.add_argument("--heap", default="512m", help="size of Java's heap")
    reader.add_argument("--settings", type=Path, help="file with lines `name: value`, as in kairosdb.conf")
    return reader.parse_args()


def settings(words: argparse.Namespace) -> dict[str, object]:
    store = {"kairosdb.datastore.h2.database_path": str(words.data / "h2" / "store")}
    if words.cassandra:
        host, _, port = words.cassandra.partition(":")
        cluster = "kairosdb.datastore.cassandra.write_cluster"
        store = {f"{cluster}.cql_host_list": [f"{host}:{port or 9042}"]}
    return {
        "kairosdb.jetty.address": words.listen,
        "kairosdb.jetty.port": words.port,
        "kairosdb.service.telnet": "<disabled>",
        "kairosdb.queue_processor.queue_path": str(words.data / "queue"),
        "kairosdb.query_cache.cache_dir": str(words.data / "cache"),
        "kairosdb.service.datastore": STORES["cassandra" if words.cassandra else "h2"],
        **store,
    }


def configure(words: argparse.Namespace) -> Path:
    """Write the configuration, alone in its folder; return its path."""
    given = words.settings.read_text(encoding="utf-8").splitlines() if words.settings else []
    theirs = {line.partition(":")[0].strip() for line in given}
    own = [f"{name}: {json.dumps(value)}" for name, value in settings(words).items() if name not in theirs]
    path = words.data / "conf" / "kairosdb.conf"
    for folder in (path.parent, words.data / "h2", words.data / "queue", words.data / "cache"):
        folder.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*own, *given, ""]), encoding="utf-8")
    (words.data / "logback.xml").write_text(LOGGING, encoding="utf-8")
    return path


def main() -> None:
    place = json.loads(Path(__file__).resolve().with_name("kairosdb.json").read_text(encoding="utf-8"))
    words = read_words()
    words.data = words.data.resolve()
    conf = configure(words)
    argv = [place["java"], f"-Xms{words.heap}", f"-Xmx{words.heap}", "-XX:-UsePerfData"]
    argv += ["--add-opens", "java.base/java.lang=ALL-UNNAMED"]
    argv += [f"-Djava.io.tmpdir={words.data}", f"-Dlogback.configurationFile={words.data / 'logback.xml'}"]
    argv += ["-cp", f"{place['libraries']}/*", "org.kairosdb.core.Main", "-c", "run", "-p", str(conf)]
    os.chdir(words.data)
    sys.stdout.flush()
    os.execv(place["java"], argv)  # noqa: S606 - it becomes the server, and gets its signals


if __name__ == "__main__":
    main()
