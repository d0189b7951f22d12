"""The price lists of AWS and Azure as their servers give them, page by page, of a few made-up prices."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tests.stacks.server import served

if TYPE_CHECKING:
    from collections.abc import Iterator


class Prices:
    """What the list has, one line a page, and how often it was asked."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self.lines = lines
        self.asked = 0
        self.next_page = ""  # of Azure, where it is not the list itself that says more


def of_aws(usd: str, **attributes: str) -> dict[str, Any]:
    """One product as GetProducts has it: c7i.large on Linux, on demand, but for what is said."""
    plain = {
        "instanceType": "c7i.large",
        "regionCode": "eu-central-1",
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
    }
    dimension = {"unit": "Hrs", "pricePerUnit": {"USD": usd}}
    terms = {"OnDemand": {"SKU.JRTCKXETXF": {"priceDimensions": {"SKU.JRTCKXETXF.6YS6EN2CT7": dimension}}}}
    return {"product": {"attributes": {**plain, **attributes}}, "terms": terms}


def of_azure(usd: float, **changes: str) -> dict[str, Any]:
    """One line as the list of retail prices has it: Standard_D8ds_v5 on Linux, but for what is said."""
    return {
        "currencyCode": "USD",
        "retailPrice": usd,
        "armRegionName": "westeurope",
        "armSkuName": "Standard_D8ds_v5",
        "productName": "Virtual Machines Ddsv5 Series",
        "meterName": "D8ds v5",
        "serviceName": "Virtual Machines",
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        **changes,
    }


class _Handler(BaseHTTPRequestHandler):
    prices: Prices

    def log_message(self, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        """Answer as the Price List API of AWS."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        wanted = {one["Field"]: one["Value"] for one in asked["Filters"]}
        found = [
            line for line in self.prices.lines if wanted.items() <= line["product"]["attributes"].items()
        ]
        page = int(asked.get("NextToken", 0))
        more = {"NextToken": str(page + 1)} if page + 1 < len(found) else {}
        self._answer({"PriceList": [json.dumps(line) for line in found[page : page + 1]], **more})

    def do_GET(self) -> None:
        """Answer as Azure's list of retail prices."""
        query = parse_qs(urlsplit(self.path).query)
        wanted = dict(re.findall(r"(\w+) eq '([^']*)'", query["$filter"][0]))
        wanted["type"] = wanted.pop("priceType")
        found = [line for line in self.prices.lines if wanted.items() <= line.items()]
        page = int(query.get("$skip", ["0"])[0])
        here = f"http://{self.headers['Host']}{self.path.split('&$skip')[0]}"
        more = f"{here}&$skip={page + 1}" if page + 1 < len(found) else None
        self._answer({"Items": found[page : page + 1], "NextPageLink": self.prices.next_page or more})

    def _answer(self, content: dict[str, Any]) -> None:
        self.prices.asked += 1
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def price_list(prices: Prices) -> Iterator[str]:
    """Serve the list of both clouds; yields the address."""
    with served(type("Handler", (_Handler,), {"prices": prices})) as address:
        yield address
