"""The price list of AWS: on demand by the Price List API, spot by what it costs now.

Of Linux without licences. Needs credentials, which stacks/aws/policy.json lets ask for prices. Makes nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from benchctl.errors import UnfitError
from benchctl.provision.aws import client, session
from benchctl.provision.prices import Quote, only

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchctl.provision.prices import Offer

_HOME = "us-east-1"  # the list of all regions is there
_CONNECT, _READ = 5, 20  # seconds
_LINUX = ("Linux/UNIX", "Linux/UNIX (Amazon VPC)")


class _Dimension(msgspec.Struct, rename="camel"):
    unit: str
    price_per_unit: dict[str, str]


class _Term(msgspec.Struct, rename="camel"):
    price_dimensions: dict[str, _Dimension]


class _Product(msgspec.Struct):
    terms: dict[str, dict[str, _Term]]  # OnDemand, Reserved -> …


def ask(offer: Offer) -> Quote:
    """Return the price by AWS, of spot capacity that of its zone now, or of the dearest one."""
    try:
        if session().get_credentials() is None:
            return Quote(None, "there are no credentials for AWS")
    except UnfitError as error:
        return Quote(None, error.detail)
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        if offer.spot:
            return only(set(sorted(_spot(offer))[-1:]), "AWS's spot market", offer)
        return only({price for price in _on_demand(offer) if price > 0}, "AWS's price list", offer)
    except (BotoCoreError, ClientError) as error:
        return Quote(None, f"AWS does not tell its prices: {error}")
    except (KeyError, ValueError, msgspec.MsgspecError) as error:
        return Quote(None, f"AWS's price list is not as it was: {error}")


def _on_demand(offer: Offer) -> Iterator[float]:
    from botocore.config import Config

    limits = Config(connect_timeout=_CONNECT, read_timeout=_READ, retries={"total_max_attempts": 2})
    wanted = {
        "instanceType": offer.kind,
        "regionCode": offer.place,
        "operatingSystem": "Linux",
        "tenancy": "Dedicated" if offer.dedicated else "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
    }
    pages = (
        session()
        .client("pricing", _HOME, config=limits)
        .get_paginator("get_products")
        .paginate(
            ServiceCode="AmazonEC2",
            Filters=[{"Type": "TERM_MATCH", "Field": key, "Value": value} for key, value in wanted.items()],
        )
    )
    for page in pages:
        for product in page["PriceList"]:
            yield from _per_hour(msgspec.json.decode(product, type=_Product))


def _per_hour(product: _Product) -> Iterator[float]:
    for term in product.terms.get("OnDemand", {}).values():
        for dimension in term.price_dimensions.values():
            if dimension.unit == "Hrs" and "USD" in dimension.price_per_unit:
                yield float(dimension.price_per_unit["USD"])


def _spot(offer: Offer) -> Iterator[float]:
    zone = {"AvailabilityZone": offer.zone} if offer.zone else {}
    found = client(session(), offer.place).describe_spot_price_history(
        InstanceTypes=[offer.kind], ProductDescriptions=list(_LINUX), StartTime=datetime.now(UTC), **zone
    )
    for price in found["SpotPriceHistory"]:
        yield float(price["SpotPrice"])
