"""Prices of hosts, from a file of the user's: benchctl guesses none.

The file maps provider -> instance type -> USD per hour: BENCHCTL_PRICES, else ~/.config/benchctl/prices.yml.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from benchctl.errors import UnfitError
from benchctl.model.experiment import InventoryHosts, LocalHosts

if TYPE_CHECKING:
    from benchctl.model.experiment import Hosts


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


class Cost(NamedTuple):
    """What one group of hosts costs; None where the price is not known."""

    group: str
    hosts: int
    instance_type: str
    per_hour: float | None  # USD, all hosts of the group


def estimate(hosts: Hosts) -> list[Cost]:
    """Return the cost of each group, by the user's prices; the lab's hosts cost nothing.

    Raises UnfitError for a broken file of prices.
    """
    provider = str(type(hosts).__struct_config__.tag)
    prices = read_prices().get(provider, {})
    costs = []
    for name, group in hosts.groups.items():
        options = hosts if isinstance(hosts, LocalHosts | InventoryHosts) else hosts.of(name)
        kind = getattr(options, "instance_type", None) or getattr(options, "size", None) or "container"
        price = 0.0 if provider == "lab" else prices.get(str(kind))
        costs.append(Cost(name, group.count, str(kind), None if price is None else price * group.count))
    return costs
