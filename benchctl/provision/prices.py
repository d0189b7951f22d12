"""What hosts cost: by a file of the user's, else by the provider's own price list. Nothing is guessed.

The file maps provider -> instance type -> USD per hour: BENCHCTL_PRICES, else ~/.config/benchctl/prices.yml.
What a provider said is kept for a day in benchctl's cache. Must not fail for want of a price.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

import msgspec

from benchctl.errors import UnfitError
from benchctl.model.aws import AwsHosts
from benchctl.model.azure import AzureHosts
from benchctl.model.experiment import InventoryHosts, LocalHosts
from benchctl.provision.cache import cache_folder

if TYPE_CHECKING:
    from benchctl.model.experiment import Hosts
    from benchctl.model.lab import LabHosts

KEPT = 24 * 3600.0  # seconds


class Offer(NamedTuple):
    """What is paid for: one host of a kind at a place; `zone` matters to spot capacity alone."""

    provider: str
    place: str  # region, location
    kind: str  # instance type, size
    spot: bool = False
    dedicated: bool = False
    zone: str | None = None

    @property
    def name(self) -> str:
        """What the user's file calls it."""
        return f"{self.kind} spot" if self.spot else self.kind


class Quote(NamedTuple):
    """The price of one host in USD per hour and who says so; None where it is not known, and why."""

    per_hour: float | None
    about: str


class Cost(NamedTuple):
    """What one group of hosts costs; None where the price is not known."""

    group: str
    hosts: int
    instance_type: str
    per_hour: float | None  # USD, all hosts of the group
    about: str  # who says so, or why it is not known


class PriceList(Protocol):
    """What the module `benchctl.provision.<provider>_prices` offers."""

    def ask(self, offer: Offer) -> Quote:
        """Return the price by the provider's own list; without a price whenever there is none to be had."""


def prices_file() -> Path:
    """Return where prices are looked for."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(os.environ.get("BENCHCTL_PRICES") or Path(base, "benchctl", "prices.yml"))


def read_prices() -> dict[str, dict[str, float]]:
    """Return provider -> type -> USD per hour; nothing without a file. Raises UnfitError for a broken one."""
    path = prices_file()
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UnfitError(f"{path}: {error.strerror}", remedy="make the file of prices readable") from error
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return msgspec.convert(YAML(typ="safe", pure=True).load(text) or {}, dict[str, dict[str, float]])
    except (YAMLError, msgspec.ValidationError) as error:
        raise UnfitError(
            f"{path} is no file of prices: {error}",
            remedy="write provider: {type: USD per hour}, such as aws: {c7i.metal-24xl: 4.28}",
        ) from error


def quote(offer: Offer) -> Quote:
    """Return what an offer costs: the user's word, else the provider's. Raises UnfitError for a broken file.

    The user's price of a type counts for its spot capacity too, where the file has none under `TYPE spot`.
    """
    if offer.provider == "lab":
        return Quote(0.0, "this machine")
    own = read_prices().get(offer.provider, {})
    for name in (offer.name, offer.kind):
        if name in own:
            return Quote(own[name], str(prices_file()))
    path = cache_folder() / "prices" / f"{hashlib.sha256(msgspec.json.encode(offer)).hexdigest()[:32]}.json"
    with suppress(OSError, msgspec.MsgspecError):  # not asked yet, or what is kept cannot be read
        if time.time() - path.stat().st_mtime < KEPT:
            return msgspec.json.decode(path.read_bytes(), type=Quote)
    found = cast("PriceList", import_module(f"benchctl.provision.{offer.provider}_prices")).ask(offer)
    if found.per_hour is not None:
        _keep(path, found)
    return found


def quotes(hosts: Hosts, *, on_demand: bool = False) -> dict[str, Quote]:
    """Return what one host of each group costs; nothing for hosts that nobody makes.

    `on_demand`: a group that only prefers spot capacity does not get it.
    """
    return {name: quote(offer) for name, offer in _offers(hosts, on_demand=on_demand).items()}


def estimate(hosts: Hosts) -> list[Cost]:
    """Return the cost of each group. Raises UnfitError for a broken file of prices."""
    costs = []
    for name, offer in _offers(hosts).items():
        price, about = quote(offer)
        count = hosts.groups[name].count
        costs.append(Cost(name, count, offer.name, None if price is None else price * count, about))
    return costs


def only(prices: set[float], whose: str, offer: Offer) -> Quote:
    """Return the one price that a list has for an offer; not known when it has none, or several."""
    if len(prices) == 1:
        return Quote(prices.pop(), whose)
    several = " and ".join(f"{price:g}" for price in sorted(prices))
    what = f"{offer.name} in {offer.place}"
    return Quote(None, f"{whose} has {several} USD/h for {what}" if several else f"{whose} has no {what}")


def _offers(hosts: Hosts, *, on_demand: bool = False) -> dict[str, Offer]:
    if isinstance(hosts, LocalHosts | InventoryHosts):
        return {}
    return {name: _offer(hosts, name, on_demand=on_demand) for name in hosts.groups}


def _offer(hosts: AwsHosts | AzureHosts | LabHosts, name: str, *, on_demand: bool) -> Offer:
    if isinstance(hosts, AwsHosts):
        machine = hosts.of(name)
        spot = _is_spot(machine.spot, on_demand=on_demand)
        dedicated = machine.tenancy == "dedicated"
        zone = hosts.zone if spot else None
        return Offer("aws", hosts.region, str(machine.instance_type), spot, dedicated, zone)
    if isinstance(hosts, AzureHosts):
        size = hosts.of(name)
        spot = _is_spot(size.spot, on_demand=on_demand)
        return Offer("azure", hosts.location, str(size.size), spot, hosts.dedicated_host is not None)
    return Offer("lab", "here", hosts.kind)


def _is_spot(wanted: str | None, *, on_demand: bool) -> bool:
    return wanted == "only" or (wanted == "prefer" and not on_demand)


def _keep(path: Path, found: Quote) -> None:
    with suppress(OSError):  # then it is asked again
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(msgspec.json.encode(found))
        part.replace(path)
