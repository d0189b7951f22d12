"""One command on a host over OpenSSH: what it said, or what went wrong. Opens no connection that stays."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, NamedTuple

from benchctl.provision.openssh import ssh_command

if TYPE_CHECKING:
    from benchctl.model.host import Host


class Answer(NamedTuple):
    """`wrong` is empty when the command ended well, else its last word or ssh's."""

    said: str
    wrong: str


def ask(host: Host, command: str, *, limit: float, text: str = "") -> Answer:
    """Have the host's shell execute the command within `limit` seconds; `text` is its input. Never raises."""
    try:
        done = subprocess.run(
            ssh_command(host, command),
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer("", f"no answer in {limit:.0f} s")
    if done.returncode == 0:
        return Answer(done.stdout, "")
    words = done.stderr.strip().splitlines()
    return Answer(done.stdout, words[-1] if words else f"exit code {done.returncode}")
