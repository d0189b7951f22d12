"""Key pairs for SSH, made here: a run's own, and those of hosts that a stack makes."""

from __future__ import annotations

import hmac
import os
import secrets
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class KeyPair(NamedTuple):
    """Private key as OpenSSH's PEM text, public key as type and base64, without a comment."""

    private: str
    public: str


def make_key() -> KeyPair:
    """Return a new ed25519 key pair."""
    return _pair(secrets.token_bytes(32))


def derived_key(seed: str, name: str) -> KeyPair:
    """Return the ed25519 key pair of a host: always the same for a seed, and no use for other names.

    The private key's text differs from time to time all the same: OpenSSH's form has a random number in it.
    """
    return _pair(hmac.digest(seed.encode(), b"ssh-host-key:" + name.encode(), "sha256"))


def _pair(private_bytes: bytes) -> KeyPair:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.from_private_bytes(private_bytes)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return KeyPair(private.decode("ascii"), public.decode("ascii"))


def kept_key(path: Path) -> str:
    """Return the public key of the private one in `path`, which is made (mode 600) when it is missing."""
    public = path.with_suffix(".pub")
    if not public.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        made = make_key()
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(made.private)
        public.write_text(f"{made.public}\n", encoding="ascii")
    return public.read_text(encoding="ascii").strip()
