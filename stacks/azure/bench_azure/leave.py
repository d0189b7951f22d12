"""Deletes the resource group that this host is in, with the identity that Azure gave the host.

Runs on the host, with its own Python; nothing imports it.
"""

import json
import urllib.request

METADATA = "http://169.254.169.254/metadata"
ARM = "https://management.azure.com"
LIMIT = 30  # seconds


def ask(url: str, method: str = "GET", **headers: str) -> bytes:
    request = urllib.request.Request(url, method=method, headers=headers)  # noqa: S310 - the two above
    with urllib.request.urlopen(request, timeout=LIMIT) as answer:  # noqa: S310 - the same
        return bytes(answer.read())


def main() -> None:
    here = json.loads(ask(f"{METADATA}/instance/compute?api-version=2021-02-01", Metadata="true"))
    wanted = f"{METADATA}/identity/oauth2/token?api-version=2018-02-01&resource={ARM}/"
    token = json.loads(ask(wanted, Metadata="true"))["access_token"]
    group = f"subscriptions/{here['subscriptionId']}/resourcegroups/{here['resourceGroupName']}"
    ask(f"{ARM}/{group}?api-version=2021-04-01", "DELETE", Authorization=f"Bearer {token}")


main()
