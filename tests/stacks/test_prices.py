"""What hosts cost: the user's file first, then the provider's list; what is not known is said, with why."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from moto import mock_aws

from benchctl.provision import aws, azure_prices
from benchctl.provision.prices import KEPT, Offer, estimate, quote, quotes
from tests.stacks.ec2 import REGION
from tests.stacks.mocks import request
from tests.stacks.price_lists import Prices, of_aws, of_azure, price_list

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGE = Offer("aws", REGION, "c7i.large")
SIZE = Offer("azure", "westeurope", "Standard_D8ds_v5")
OTHERS_OF_AWS = [
    of_aws("0.9", operatingSystem="Windows"),
    of_aws("0.8", preInstalledSw="SQL Std"),
    of_aws("0.7", capacitystatus="AllocatedCapacityReservation"),
    of_aws("0.6", regionCode="us-east-1"),
    of_aws("0.5", instanceType="c7i.xlarge"),
    of_aws("0.0000000000"),
]
OTHERS_OF_AZURE = [
    of_azure(0.9, productName="Virtual Machines Ddsv5 Series Windows"),
    of_azure(0.8, productName="Ddsv5 Series Cloud Services"),
    of_azure(0.7, meterName="D8ds v5 Low Priority"),
    of_azure(0.6, armRegionName="northeurope"),
    of_azure(0.5, type="Reservation"),
    of_azure(0.4, unitOfMeasure="1 GB"),
]


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cache and a file of prices of the test's own; credentials that nobody takes."""
    monkeypatch.setenv("BENCHCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BENCHCTL_PRICES", str(tmp_path / "prices.yml"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    aws.session.cache_clear()
    yield
    aws.session.cache_clear()
    aws.client.cache_clear()


@pytest.fixture
def prices(monkeypatch: pytest.MonkeyPatch) -> Iterator[Prices]:
    found = Prices([])
    with price_list(found) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", address)
        monkeypatch.setattr(azure_prices, "LIST", f"{address}/api/retail/prices")
        yield found


def test_aws_on_demand_is_linux_without_licences(prices: Prices) -> None:
    prices.lines = [*OTHERS_OF_AWS, of_aws("0.1"), of_aws("0.1"), of_aws("0.2", tenancy="Dedicated")]
    assert quote(LARGE) == (0.1, "AWS's price list")
    assert quote(LARGE._replace(dedicated=True)).per_hour == 0.2


def test_azure_is_linux_without_licences(prices: Prices) -> None:
    prices.lines = [*OTHERS_OF_AZURE, of_azure(0.3), of_azure(0.2, meterName="D8ds v5 Spot")]
    assert quote(SIZE) == (0.3, "Azure's price list")
    assert quote(SIZE._replace(spot=True)).per_hour == 0.2


def test_spot_capacity_on_aws_costs_what_it_costs_now() -> None:
    with mock_aws():
        found = quote(LARGE._replace(spot=True))
        assert found.per_hour is not None  # Moto's own figure
        assert 0 < found.per_hour < 0.001
        assert quote(LARGE._replace(spot=True, zone=f"{REGION}a")).per_hour == found.per_hour
        nowhere = quote(LARGE._replace(spot=True, kind="c9x.large"))
        assert nowhere == (None, f"AWS's spot market has no c9x.large spot in {REGION}")


@pytest.mark.parametrize(("offer", "line"), [(LARGE, of_aws("0.1")), (SIZE, of_azure(0.1))])
def test_an_answer_is_kept_for_a_day(
    offer: Offer, line: dict[str, object], prices: Prices, tmp_path: Path
) -> None:
    prices.lines = [line]
    found = [quote(offer), quote(offer)]
    assert prices.asked == 1
    (kept,) = (tmp_path / "cache" / "prices").iterdir()
    yesterday = time.time() - KEPT - 60
    os.utime(kept, (yesterday, yesterday))
    assert [*found, quote(offer)] == [found[0]] * 3
    assert prices.asked == 2
    kept.write_text("{")
    assert quote(offer) == found[0]
    assert prices.asked == 3


@pytest.mark.parametrize(
    ("offer", "lines", "why"),
    [
        (LARGE, OTHERS_OF_AWS, "AWS's price list has no c7i.large in eu-central-1"),
        (LARGE, [of_aws("0.1"), of_aws("0.2")], "has 0.1 and 0.2 USD/h for c7i.large in eu-central-1"),
        (LARGE, [{**of_aws("0.1"), "terms": 1}], "AWS's price list is not as it was"),
        (SIZE, OTHERS_OF_AZURE, "Azure's price list has no Standard_D8ds_v5 in westeurope"),
        (SIZE, [of_azure(0.1), of_azure(0.2)], "has 0.1 and 0.2 USD/h for Standard_D8ds_v5"),
        (SIZE, [{**of_azure(0.1), "retailPrice": "cheap"}], "Azure's price list is not as it was"),
        (SIZE._replace(dedicated=True), [of_azure(0.1)], "a dedicated host is paid for as a whole"),
    ],
)
def test_what_a_list_does_not_tell_is_not_known_and_not_kept(
    offer: Offer, lines: list[dict[str, object]], why: str, prices: Prices, tmp_path: Path
) -> None:
    prices.lines = lines
    found = quote(offer)
    assert found.per_hour is None
    assert why in found.about
    assert not (tmp_path / "cache" / "prices").exists()


def test_another_server_is_not_asked_for_the_rest(prices: Prices) -> None:
    prices.lines = [of_azure(0.1)]
    prices.next_page = "http://127.0.0.2:1/more"
    assert quote(SIZE).per_hour == 0.1


def test_a_list_out_of_reach_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", "http://127.0.0.1:9")
    monkeypatch.setattr(azure_prices, "LIST", "http://127.0.0.1:9/api/retail/prices")
    for offer, why in (
        (LARGE, "AWS does not tell its prices: Could not connect"),
        (SIZE, "cannot be read: "),
    ):
        found = quote(offer)
        assert found.per_hour is None
        assert why in found.about


def test_without_credentials_aws_is_not_asked(prices: Prices, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert quote(LARGE) == (None, "there are no credentials for AWS")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    aws.session.cache_clear()
    assert "nobody" in quote(LARGE).about
    assert prices.asked == 0


def test_the_users_price_wins_and_each_group_has_its_own(prices: Prices, tmp_path: Path) -> None:
    prices.lines = [of_aws("0.1")]
    (tmp_path / "prices.yml").write_text("aws: {c7i.xlarge: 0.5, c7i.large spot: 0.03}\n")
    hosts = request(
        f"""
  provider: aws
  region: {REGION}
  instance_type: c7i.large
  groups: {{dbms: {{instance_type: c7i.xlarge, spot: only}}, loader: {{spot: prefer, count: 2}}}}"""
    ).hosts
    assert {name: found.per_hour for name, found in quotes(hosts).items()} == {"dbms": 0.5, "loader": 0.03}
    assert quotes(hosts, on_demand=True)["loader"].per_hour == 0.1
    mine = str(tmp_path / "prices.yml")
    assert [tuple(cost) for cost in estimate(hosts)] == [
        ("dbms", 1, "c7i.xlarge spot", 0.5, mine),
        ("loader", 2, "c7i.large spot", 0.06, mine),
    ]
