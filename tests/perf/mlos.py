"""mlos_bench over SSH on the lab's hosts: the peer for trials on many hosts.

It wants its configuration in a Git repository with a remote, one tunable, and runs hosts one after the other.
Its default storage, in memory, is the faster one.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

from tests.perf import peers
from tests.perf.hosts import seconds, site

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.lab.host import LabHost


class Mlos:
    """A no-op benchmark on some hosts."""

    def __init__(self, hosts: Sequence[LabHost]) -> None:
        self.folder = site().new_folder()
        git = ["git", "-C", str(self.folder), "-c", "user.name=perf", "-c", "user.email=perf@example.org"]
        for words in (
            ["init", "--quiet"],
            ["remote", "add", "origin", "https://example.org/perf.git"],
            ["commit", "--quiet", "--allow-empty", "--message=perf"],
        ):
            subprocess.run([*git, *words], check=True)
        for name, content in files(hosts, site().lab.client_key).items():
            (self.folder / name).write_text(json.dumps(content), encoding="utf-8")

    def run(self, trials: int) -> float:
        """Seconds for a whole run."""
        words = [
            "--config_path",
            str(self.folder),
            "--environment",
            "environment.json",
            "--service",
            "ssh.json",
        ]
        more = ["--trial_config_repeat_count", str(trials), "--experiment_id", "noop", "--log_level", "ERROR"]
        return seconds([peers.program("mlos_bench"), *words, *more], cwd=self.folder)


def files(hosts: Sequence[LabHost], key: Path) -> dict[str, dict[str, Any]]:
    return {
        "tunables.json": {
            "noop": {"cost": 1, "params": {"noop": {"type": "int", "range": [0, 1], "default": 0}}}
        },
        "ssh.json": {
            "class": "mlos_bench.services.remote.ssh.SshHostService",
            "config": {"ssh_username": "root", "ssh_priv_key_path": str(key)},
        },
        "environment.json": {
            "class": "mlos_bench.environments.CompositeEnv",
            "name": "all",
            "include_tunables": ["tunables.json"],
            "config": {"tunable_params": ["noop"], "children": [remote(host) for host in hosts]},
        },
    }


def remote(host: LabHost) -> dict[str, Any]:
    return {
        "class": "mlos_bench.environments.remote.RemoteEnv",
        "name": host.name,
        "config": {
            "tunable_params": ["noop"],
            "const_args": {"ssh_hostname": host.address},
            "run": ["printf 'score,1\\n'"],
            "results_stdout_pattern": r"(\w+),([0-9.]+)",
        },
    }
