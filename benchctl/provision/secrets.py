"""Secrets by name: looked up at the last moment, handed to who needs them, never stored and never printed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from benchctl.errors import UnfitError

if TYPE_CHECKING:
    from benchctl.model.experiment import Secret

KEYRING_SERVICE = "benchctl"


def resolve(secret: Secret) -> str:
    """Return the value of {env: NAME} or {keyring: NAME}. Raises UnfitError when there is none."""
    if secret.env is not None:
        value = os.environ.get(secret.env)
        if not value:
            raise UnfitError(
                f"the environment variable {secret.env} is not set, and a secret should be in it",
                remedy=f"set {secret.env} for this command; benchctl never stores it",
            )
        return _one_line(value, secret.env)
    return _one_line(_from_keyring(str(secret.keyring)), str(secret.keyring))


def _from_keyring(name: str) -> str:
    try:
        import keyring  # late and optional
        import keyring.errors
    except ImportError as error:
        raise UnfitError(
            f"the secret {name} is in a keyring, but the package keyring is not installed",
            remedy="pip install 'benchctl[keyring]', or use {env: NAME}",
        ) from error
    try:
        value = keyring.get_password(KEYRING_SERVICE, name)
    except keyring.errors.KeyringError as error:
        raise UnfitError(f"the keyring cannot be asked for {name}: {error}", remedy="unlock it") from error
    if not value:
        raise UnfitError(
            f"the keyring has no entry {name} of service {KEYRING_SERVICE}",
            remedy=f"keyring set {KEYRING_SERVICE} {name}",
        )
    return str(value)


def _one_line(value: str, name: str) -> str:
    if "\n" in value or "\0" in value:
        raise UnfitError(f"the secret {name} has more than one line, which no password prompt takes")
    return value
