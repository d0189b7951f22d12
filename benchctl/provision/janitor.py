"""What runs left behind, found by tags alone, whatever became of their state; and how it goes away.

Each provider is a module of its own, imported when it is asked: `benchctl.provision.<provider>`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from benchctl.model.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchctl.model.experiment import Hosts

PROVIDERS = ("lab", "aws", "azure")


class Leftover(Record, frozen=True, kw_only=True):
    """Something that carries a run's tags; `expires` in s since the epoch, price in USD, None: not known."""

    provider: str
    kind: str
    name: str  # what its provider calls it; unique with zone and kind
    run: str
    owner: str
    expires: float
    zone: str = ""
    price_per_hour: float | None = None


class Provider(Protocol):
    """What a provider's module offers.

    One may also have `fallback(request, message) -> Request | None`: what to ask for after a failure, and
    `settle(run, hosts, made, expires, cancelled)`: waits for hosts that were made and tells them their time.
    """

    def check(self, hosts: Hosts) -> None:
        """Raise an error for what can be told before anything is made."""

    def leftovers(self, run: str | None, hosts: Hosts | None) -> Sequence[Leftover]:
        """Return all that carries benchctl's tags, of one run or of all, in the order in which it can go.

        `hosts` says where to look, where that is not the same for all. Raises UnfitError without credentials.
        """

    def remove(self, leftover: Leftover) -> None:
        """Remove it; nothing happens when it is gone. Raises StackError with the provider's words."""


def leftovers(provider: str, *, run: str | None = None, hosts: Hosts | None = None) -> Sequence[Leftover]:
    """Return what a provider still has of a run, or of all runs."""
    return provider_module(provider).leftovers(run, hosts)


def remove(leftover: Leftover) -> None:
    """Remove one thing by its provider."""
    provider_module(leftover.provider).remove(leftover)


def provider_module(provider: str) -> Provider:
    """Return the module of a provider's own, imported when it is asked for."""
    return cast("Provider", import_module(f"benchctl.provision.{provider}"))
