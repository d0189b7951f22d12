"""Prices of hosts, from a file of the user's: benchctl guesses none.

The file maps provider -> instance type -> USD per hour: BENCHCTL_PRICES, else ~/.config/benchctl/prices.yml.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from benchctl.errors import UnfitError


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
