"""The proof that a host is the one meant: the key it shows is on record.

Owns which files are asked and what an unknown, another or a revoked key means. Must not write to them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchctl.benchmark import known_hosts
from benchctl.errors import HostKeyError

if TYPE_CHECKING:
    import paramiko

    from benchctl.model.host import Host

SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")
_RSA = ("rsa-sha2-512", "rsa-sha2-256")


class Expected:
    """What is on record for one host."""

    def __init__(self, host: Host, port: int) -> None:
        """Read the files that the host's options name, else the user's, and the system's."""
        self._host = host.name
        self._name = str(host.options.get("host_key_alias") or host.options["address"])
        self._port = port
        own = host.options.get("known_hosts_file")
        self._files = [Path(str(own or "~/.ssh/known_hosts")).expanduser(), SYSTEM_KNOWN_HOSTS]
        self._known = known_hosts.look_up(self._files, self._name, port)

    def prefer(self, transport: paramiko.Transport) -> None:
        """Ask for the kinds of key on record, as ssh does: else another one would look like a change."""
        options = transport.get_security_options()
        kinds = [kind for kind, _ in self._known.keys]
        wanted = [name for kind in kinds for name in (_RSA if kind == "ssh-rsa" else (kind,))]
        first = [name for name in dict.fromkeys(wanted) if name in options.key_types]
        options.key_types = [*first, *(name for name in options.key_types if name not in first)]

    def check(self, kind: str, shown: bytes) -> None:
        """Compare the key that the host shows. Raises HostKeyError."""
        who = f"{self._host}: {known_hosts.label(self._name, self._port)} shows the {kind} key"
        mark = known_hosts.fingerprint(shown)
        known = self._known
        if shown in known.revoked:
            raise HostKeyError(f"{who} {mark}, which is revoked", remedy="do not use this host")
        if any(blob == shown for _, blob in known.keys):
            return
        files = " or ".join(str(path) for path in self._files)
        if known.keys:
            recorded = ", ".join(f"{kind} {known_hosts.fingerprint(blob)}" for kind, blob in known.keys)
            raise HostKeyError(
                f"{who} {mark}, and not the one in {files} ({recorded}): it is another host, or somebody "
                "listens in between",
                remedy="find out why; `benchctl hosts trust` records a new key after asking",
            )
        if known.authorities:
            raise HostKeyError(
                f"{who} {mark}; {known.authorities[0]} wants a certificate, which is not supported",
                remedy="record the host's own key beside it: `benchctl hosts trust`",
            )
        raise HostKeyError(
            f"{who} {mark}, which is not in {files}",
            remedy="compare it with the host's own, then record it: `benchctl hosts trust`",
        )
