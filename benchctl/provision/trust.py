"""Host keys: what hosts show, fetched without believing it, and recorded when somebody said so.

Owns the fetch and the line in known_hosts. Never replaces a key that is there.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchctl.model.host import Host
from benchctl.provision.openssh import CONNECT_TIMEOUT, Wanted, hops, resolve, ssh_command

if TYPE_CHECKING:
    from collections.abc import Sequence

_ALIAS = "fetched"
_SPARE = 20.0  # seconds beside the connect time: bastions, slow hosts


class Shown(NamedTuple):
    """What a host showed: its key as known_hosts has it, or why there is none."""

    kind: str = ""  # such as ssh-ed25519
    key: str = ""  # base64
    failure: str = ""


def fetch(host: Host, kinds: Sequence[str] = ()) -> Shown:
    """Ask a host, through its bastions, for its key; nothing is recorded and nobody logs in.

    `kinds` are the signature algorithms to ask for, best first; default: ssh's own order.
    """
    with tempfile.TemporaryDirectory(prefix="benchctl-trust-") as folder:
        place = Path(folder, "known")
        wanted = {
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": f'"{place}"',
            "GlobalKnownHostsFile": "/dev/null",
            "HashKnownHosts": "no",
            "HostKeyAlias": _ALIAS,
            "PreferredAuthentications": "none",
            **({"HostKeyAlgorithms": ",".join(kinds)} if kinds else {}),
        }
        extra = tuple(word for key, value in wanted.items() for word in ("-o", f"{key}={value}"))
        limit = float(host.options.get("connect_timeout", CONNECT_TIMEOUT)) * 2 + _SPARE
        try:
            done = subprocess.run(
                ssh_command(host, "true", extra=extra),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=limit,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return Shown(failure=str(error))
        lines = place.read_text(encoding="ascii", errors="replace").split() if place.exists() else []
    if len(lines) < 3:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        return Shown(failure=said[-1] if said else f"ssh ended with {done.returncode}")
    return Shown(kind=lines[1], key=lines[2])


def record(host: Host, shown: Shown) -> None:
    """Add the key to the host's known_hosts file, which is made when it is missing."""
    path = Path(str(host.options["known_hosts_file"]))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        torn = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
        line = f"{name_of(host)} {shown.kind} {shown.key}\n"
        file.write((b"\n" if torn else b"") + line.encode("ascii"))


def name_of(host: Host) -> str:
    """Return how known_hosts calls the host."""
    if alias := host.options.get("host_key_alias"):
        return str(alias)
    address, port = str(host.options["address"]).lower(), host.options.get("port", 22)
    return address if port == 22 else f"[{address}]:{port}"


def bastions(hosts: Sequence[Host]) -> list[Host]:
    """Return the bastions of these hosts, each once, those first that others are reached through."""
    found: dict[str, Host] = {}
    for host in hosts:
        jump = str(host.options.get("proxy_jump") or "")
        names = jump.split(",") if jump else []
        for number, (user, name, port) in enumerate(hops(jump)):
            wanted = Wanted(
                name,
                user=user or None,
                port=int(port) if port else None,
                key=_text(host, "identity_file"),
                known_hosts=_text(host, "known_hosts_file"),
                config=_text(host, "config_file"),
            )
            options = resolve(name, wanted)
            if number:
                options["proxy_jump"] = ",".join(names[:number])
            one = Host(name=name, transport="ssh", options=options)
            found.setdefault(name_of(one), one)
    return list(found.values())


def _text(host: Host, option: str) -> str | None:
    value = host.options.get(option)
    return None if value is None else str(value)
