"""The proof of who we are: a key that sshd takes.

Owns which keys are offered, in which order. Asks for nothing: what is neither in a key file without a
passphrase nor in an SSH agent is refused.
"""

from __future__ import annotations

import contextlib
import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING

from benchctl.benchmark.transport import reason
from benchctl.errors import AuthError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import paramiko

    from benchctl.model.host import Host

DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")


def authenticate(transport: paramiko.Transport, host: Host, place: str) -> None:
    """Prove to a host who we are; `place` is its address in messages. Raises AuthError."""
    import paramiko

    user = str(host.options.get("user") or getpass.getuser())
    tried: list[str] = []
    try:
        for origin, key in _keys(host, tried):
            if _offer(host.name, transport, user, key):
                return
            tried.append(f"{origin} (refused)")
    except (paramiko.SSHException, OSError, EOFError) as error:
        tried.append(f"then the connection ended: {reason(error)}")
    found = "; ".join(tried) or "there are none"
    raise AuthError(
        f"{host.name}: {user}@{place} takes none of the keys: {found}",
        remedy="name the right key (hosts.ssh.key), load it with ssh-add, or check authorized_keys there",
    )


def _offer(host: str, transport: paramiko.Transport, user: str, key: paramiko.PKey) -> bool:
    import paramiko

    try:
        further = transport.auth_publickey(user, key)
    except paramiko.BadAuthenticationType as error:
        further = error.allowed_types
    except paramiko.AuthenticationException:
        return False
    if further:
        raise AuthError(
            f"{host}: sshd wants more than a key of {user}: {', '.join(further)}",
            remedy="allow plain publickey authentication for this user",
        )
    return True


def _keys(host: Host, tried: list[str]) -> Iterator[tuple[str, paramiko.PKey]]:
    """Give the key named for the host, then the SSH agent's, then the default ones if none was named."""
    import paramiko

    named = host.options.get("identity_file")
    if named:
        yield from _from_file(Path(str(named)).expanduser(), tried)
    if os.environ.get("SSH_AUTH_SOCK") and not host.options.get("identities_only"):
        try:
            agent = paramiko.Agent()
        except (paramiko.SSHException, OSError) as error:
            tried.append(f"the SSH agent ({reason(error)})")
        else:
            with contextlib.closing(agent):
                yield from (("a key of the SSH agent", key) for key in agent.get_keys())
    if not named:
        for name in DEFAULT_KEYS:
            path = Path.home() / ".ssh" / name
            if path.exists():
                yield from _from_file(path, tried)


def _from_file(path: Path, tried: list[str]) -> Iterator[tuple[str, paramiko.PKey]]:
    import paramiko

    try:
        yield str(path), paramiko.PKey.from_path(path)
    except OSError as error:
        tried.append(f"{path} ({error.strerror})")
    except (TypeError, paramiko.PasswordRequiredException):
        tried.append(f"{path} (has a passphrase: load it with ssh-add)")
    except (ValueError, paramiko.SSHException, paramiko.pkey.UnknownKeyType) as error:
        tried.append(f"{path} (no private key: {reason(error)[:80]})")
