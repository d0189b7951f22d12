"""Azure for the stand-in: resources in a dictionary, and its REST interface on a port of this machine."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tests.stacks.server import served

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SUBSCRIPTION = "0c0ffee0-0000-4000-8000-000000000000"
SIZES = ("Standard_D8ds_v5", "Standard_L8s_v3")
REFUSED = "Standard_M416ms_v2"  # offered, and not to this subscription
_VERSION = "0.20261101.1"


class Azure:
    """The cloud of the stand-in for package azure-native: id -> state, everything inside its group."""

    computed: Mapping[str, tuple[str, ...]] = MappingProxyType(
        {"azure-native:network:PublicIPAddress": ("ipAddress",)}
    )

    def __init__(self) -> None:
        self.there: dict[str, dict[str, Any]] = {}
        self.next_link = ""  # where a listing says that more of it is

    def create(self, kind: str, name: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        short = kind.rsplit(":", maxsplit=1)[-1]
        group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{inputs.get('resourceGroupName')}"
        if short == "ResourceGroup":
            made = group
        elif short == "RoleAssignment":
            made = f"{inputs['scope']}/roleAssignments/{inputs['roleAssignmentName']}"
        else:
            if group not in self.there:
                raise KeyError(f"ResourceGroupNotFound: {group}")
            made = f"{group}/{short}/{name}"
        state: dict[str, Any] = {"name": made.rsplit("/", maxsplit=1)[-1]}
        if short == "PublicIPAddress":
            state["ipAddress"] = "198.51.100.8"
        elif short == "NetworkInterface":
            addresses = [{**one, "privateIPAddress": "10.98.0.8"} for one in inputs["ipConfigurations"]]
            state["ipConfigurations"] = addresses
        elif short == "VirtualMachine":
            profile = inputs["storageProfile"]
            image = {**profile["imageReference"], "exactVersion": _VERSION}
            state["storageProfile"] = {**profile, "imageReference": image}
            state["identity"] = {**inputs.get("identity", {}), "principalId": f"principal-{name}"}
        self.there[made] = {**inputs, **state}
        return made, state

    def exists(self, kind: str, name: str) -> bool:
        return name in self.there

    def tag(self, kind: str, name: str, tags: dict[str, str]) -> None:
        self.there[name]["tags"] = tags

    def delete(self, kind: str, name: str, state: dict[str, Any]) -> None:
        for made in [made for made in self.there if made == name or made.startswith(f"{name}/")]:
            del self.there[made]

    def invoke(self, token: str, args: dict[str, Any]) -> dict[str, Any]:
        raise KeyError(token)

    def groups(self) -> dict[str, dict[str, Any]]:
        """Return the resource groups by name."""
        found = re.compile(r"/subscriptions/[^/]+/resourceGroups/[^/]+")
        return {state["name"]: state for made, state in self.there.items() if found.fullmatch(made)}


class _Handler(BaseHTTPRequestHandler):
    cloud: Azure

    def log_message(self, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        said = self.rfile.read(int(self.headers["Content-Length"])).decode()
        right = "client_secret=right" in said
        self._answer(200 if right else 401, {"access_token": "token"} if right else {"error": "wrong"})

    def do_GET(self) -> None:
        self._answer(*self._found())

    def do_DELETE(self) -> None:
        name = urlsplit(self.path).path.rsplit("/", maxsplit=1)[-1]
        code = 202 if name in self.cloud.groups() else 404
        self.cloud.delete("", f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}", {})
        self._answer(code, {})

    def _found(self) -> tuple[int, dict[str, Any]]:
        if self.headers["Authorization"] != "Bearer token":
            return 401, {"error": "no token"}
        url = urlsplit(self.path)
        wanted = parse_qs(url.query).get("$filter", [""])[0]
        if url.path.endswith("/locations"):
            names = [{"name": "westeurope"}, {"name": "northeurope"}]
            return 200, {"value": names, "nextLink": self.cloud.next_link}
        if url.path.endswith("/skus"):
            sizes = [{"name": name, "resourceType": "virtualMachines"} for name in SIZES]
            why = [{"type": "Location", "reasonCode": "NotAvailableForSubscription"}]
            refused = {"name": REFUSED, "resourceType": "virtualMachines", "restrictions": why}
            return 200, {"value": [*sizes, refused, {"name": "Premium_LRS", "resourceType": "disks"}]}
        if url.path.endswith("/resourcegroups"):
            tags = re.findall(r"'([^']*)'", wanted)
            groups = [
                group
                for group in self.cloud.groups().values()
                if tags[0] in group["tags"] and tags[1:] in ([], [group["tags"][tags[0]]])
            ]
            return 200, {"value": groups}
        name = url.path.rsplit("/", maxsplit=1)[-1]
        return (200, self.cloud.groups()[name]) if name in self.cloud.groups() else (404, {})

    def _answer(self, code: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def arm(cloud: Azure) -> Iterator[str]:
    """Serve Azure's REST interface and its sign-in over a cloud; yields the address."""
    with served(type("Handler", (_Handler,), {"cloud": cloud})) as address:
        yield address
