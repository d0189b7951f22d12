"""The price list of Azure, which needs no credentials: prices of Linux without licences. Makes nothing."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING

import msgspec

from benchctl.provision.prices import Quote, only

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchctl.provision.prices import Offer

LIST = "https://prices.azure.com/api/retail/prices"
_LIMIT = 20.0  # seconds for an answer
_PAGES = 10  # one has a hundred lines, and a size in a location has about ten


class _Line(msgspec.Struct, rename="camel"):
    currency_code: str
    retail_price: float
    unit_of_measure: str
    product_name: str
    meter_name: str


class _Page(msgspec.Struct, rename="pascal"):
    items: list[_Line]
    next_page_link: str | None = None


def ask(offer: Offer) -> Quote:
    """Return the price by Azure's list of retail prices."""
    if offer.dedicated:
        return Quote(None, "a dedicated host is paid for as a whole, whatever it carries")
    try:
        prices = {line.retail_price for line in _lines(offer) if _is_meant(line, offer)}
    except OSError as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return Quote(None, f"{LIST} cannot be read: {reason}")
    except msgspec.MsgspecError as error:
        return Quote(None, f"Azure's price list is not as it was: {error}")
    return only({price for price in prices if price > 0}, "Azure's price list", offer)


def _lines(offer: Offer) -> Iterator[_Line]:
    wanted = {
        "serviceName": "Virtual Machines",
        "armSkuName": offer.kind,
        "armRegionName": offer.place,
        "priceType": "Consumption",
    }
    chosen = " and ".join(f"{key} eq '{value}'" for key, value in wanted.items())
    url = f"{LIST}?{urllib.parse.urlencode({'$filter': chosen}, quote_via=urllib.parse.quote)}"
    for _ in range(_PAGES):
        with urllib.request.urlopen(url, timeout=_LIMIT) as answer:  # noqa: S310 - of the list alone
            page = msgspec.json.decode(answer.read(), type=_Page)
        yield from page.items
        url = page.next_page_link or ""
        if not url.startswith(f"{LIST}?"):
            return


def _is_meant(line: _Line, offer: Offer) -> bool:
    """Tell whether a line is about an hour of Linux, on the capacity that is meant."""
    others = ("Windows", "CloudServices", "Cloud Services", "Dedicated Host")
    return (
        (line.unit_of_measure, line.currency_code) == ("1 Hour", "USD")
        and not any(word in line.product_name for word in others)
        and "Low Priority" not in line.meter_name
        and ("Spot" in line.meter_name) == offer.spot
    )
