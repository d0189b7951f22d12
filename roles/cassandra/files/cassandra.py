#!/usr/bin/env python3
"""Cassandra in the foreground, from a folder with its libraries: one node that is a cluster by itself.

`cassandra.json` beside this program says where Java and the libraries are. What it does not set stays as
Cassandra has it: see `settings`. A line of --settings is `name: value`, the value in JSON (which is YAML); it
wins. Runs on Python 3.9.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

EXPORTS = {
    "java.base": ("jdk.internal.misc", "jdk.internal.ref", "sun.nio.ch"),
    "java.management.rmi": ("com.sun.jmx.remote.internal.rmi",),
    "java.rmi": ("sun.rmi.registry", "sun.rmi.server", "sun.rmi.transport.tcp"),
}
OPENS = ("java.io", "java.lang", "java.nio", "java.util", "java.util.concurrent", "sun.nio.ch")
FOLDERS = {
    "cdc_raw_directory": "cdc_raw",
    "commitlog_directory": "commitlog",
    "hints_directory": "hints",
    "saved_caches_directory": "saved_caches",
}
LOGGING = """<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level [%thread] %date{ISO8601} %F:%L - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="OUT"/></root>
</configuration>
"""


def read_words() -> argparse.Namespace:
    reader = argparse.ArgumentParser(description=__doc__.partition("\n")[0], allow_abbrev=False)
    reader.add_argument("--data", type=Path, required=True, help="folder for all that Cassandra writes")
    reader.add_argument("--listen", default="127.0.0.1", help="address for clients and other nodes")
    reader.add_argument("--port", type=int, default=9042, help="port for clients")
    reader.add_argument("--storage-port", type=int, default=7000, help="port for other nodes")
    reader.add_argument("--jmx-port", type=int, default=7199, help="port for nodetool, on 127.0.0.1")
    reader.add_argument("--heap", default="512m", help="size of Java's heap")
    reader.add_argument("--settings", type=Path, help="file with lines `name: value`, as in cassandra.yaml")
    return reader.parse_args()


def settings(words: argparse.Namespace) -> dict[str, object]:
    """Return what a node of its own needs, small enough for a host that has other things to do."""
    seeds = [{"seeds": f"{words.listen}:{words.storage_port}"}]
    return {
        "cluster_name": "benchctl",
        "num_tokens": 1,
        "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
        "endpoint_snitch": "SimpleSnitch",
        "commitlog_sync": "periodic",
        "commitlog_sync_period": "10000ms",
        "commitlog_segment_size": "8MiB",
        "commitlog_total_space": "256MiB",
        "listen_address": words.listen,
        "rpc_address": words.listen,
        "storage_port": words.storage_port,
        "native_transport_port": words.port,
        "seed_provider": [
            {"class_name": "org.apache.cassandra.locator.SimpleSeedProvider", "parameters": seeds}
        ],
        "data_file_directories": [str(words.data / "data")],
        **{name: str(words.data / folder) for name, folder in FOLDERS.items()},
    }


def configure(words: argparse.Namespace) -> Path:
    """Write the configuration; return its path."""
    given = words.settings.read_text(encoding="utf-8").splitlines() if words.settings else []
    theirs = {line.partition(":")[0].strip() for line in given}
    own = [f"{name}: {json.dumps(value)}" for name, value in settings(words).items() if name not in theirs]
    words.data.mkdir(parents=True, exist_ok=True)
    path = words.data / "cassandra.yaml"
    path.write_text("\n".join([*own, *given, ""]), encoding="utf-8")
    (words.data / "logback.xml").write_text(LOGGING, encoding="utf-8")
    return path


def main() -> None:
    place = json.loads(Path(__file__).resolve().with_name("cassandra.json").read_text(encoding="utf-8"))
    words = read_words()
    words.data = words.data.resolve()
    exports = [f"{module}/{name}" for module, names in EXPORTS.items() for name in names]
    argv = [place["java"], f"-Xms{words.heap}", f"-Xmx{words.heap}", "-XX:+UseG1GC", "-XX:-UsePerfData"]
    argv += [word for name in exports for word in ("--add-exports", f"{name}=ALL-UNNAMED")]
    argv += [word for name in OPENS for word in ("--add-opens", f"java.base/{name}=ALL-UNNAMED")]
    argv += [
        f"-Dcassandra.config=file://{configure(words)}",
        f"-Dcassandra.storagedir={words.data}",
        f"-Dcassandra.jmx.local.port={words.jmx_port}",
        f"-Dlogback.configurationFile={words.data / 'logback.xml'}",
        "-Dcassandra-foreground=yes",
        f"-Djava.io.tmpdir={words.data}",
        f"-Duser.home={words.data}",
        *["-cp", f"{place['libraries']}/*", "org.apache.cassandra.service.CassandraDaemon"],
    ]
    sys.stdout.flush()
    os.execv(place["java"], argv)  # noqa: S606 - it becomes the server, and gets its signals


if __name__ == "__main__":
    main()
