"""Secrets by name: from the environment, from a keyring, and clear words when there is none."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from benchctl.errors import UnfitError
from benchctl.model.experiment import Secret
from benchctl.provision.secrets import resolve


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A keyring of the test's own."""
    entries: dict[str, str] = {}
    module, errors = ModuleType("keyring"), ModuleType("keyring.errors")
    errors.KeyringError = type("KeyringError", (Exception,), {})  # type: ignore[attr-defined]

    def get_password(service: str, name: str) -> str | None:
        assert service == "benchctl"
        if name == "locked":
            raise errors.KeyringError("it is locked")
        return entries.get(name)

    module.get_password = get_password  # type: ignore[attr-defined]
    module.errors = errors  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", module)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    return entries


def test_the_environment_gives_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO", "sesame ä")
    assert resolve(Secret(env="SUDO")) == "sesame ä"
    monkeypatch.delenv("SUDO")
    with pytest.raises(UnfitError, match="SUDO is not set"):
        resolve(Secret(env="SUDO"))


def test_a_password_is_one_line_and_never_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO", "sesame\nid")
    with pytest.raises(UnfitError, match="more than one line") as caught:
        resolve(Secret(env="SUDO"))
    assert "sesame" not in str(caught.value)


def test_a_keyring_gives_what_it_has(keyring: dict[str, str]) -> None:
    keyring["lab"] = "sesame"
    assert resolve(Secret(keyring="lab")) == "sesame"
    with pytest.raises(UnfitError, match="no entry other") as caught:
        resolve(Secret(keyring="other"))
    assert caught.value.remedy == "keyring set benchctl other"
    with pytest.raises(UnfitError, match="it is locked"):
        resolve(Secret(keyring="locked"))


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(UnfitError, match="keyring is not installed") as caught:
        resolve(Secret(keyring="lab"))
    assert "benchctl[keyring]" in caught.value.remedy
