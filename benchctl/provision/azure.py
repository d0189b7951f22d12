"""Azure beside its stack: what can be told before anything is made, and what runs left behind there.

A run's resources lie in one resource group, which is found by its tags and goes as a whole. Asks Azure's own
REST interface with the standard library: the stack's SDK has no such questions. Must not make anything.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from benchctl.errors import SpecError, StackError, UnfitError
from benchctl.model.azure import AzureHosts
from benchctl.provision.janitor import Leftover
from benchctl.provision.request import EXPIRES, OWNER, RUN
from benchctl.provision.settle import settle as await_hosts
from benchctl.spec.problems import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchctl.model.experiment import Hosts
    from benchctl.model.host import Host
    from benchctl.provision.request import Request

ARM = "https://management.azure.com"
LOGIN = "https://login.microsoftonline.com"
_GROUPS = "2021-04-01"  # versions of the interface, by what is asked
_LOCATIONS = "2022-12-01"
_SKUS = "2021-07-01"
_MACHINES = "2024-07-01"
_LIMIT = 60.0  # seconds for an answer
_DELETE_LIMIT = 1800.0  # seconds for a resource group with everything in it
_PAUSE = 5.0  # seconds between two looks
_NO_CAPACITY = re.compile(
    r"SkuNotAvailable|AllocationFailed|OverconstrainedAllocationRequest|OverconstrainedZonalAllocationRequest"
    r"|LowPriorityCores|SpotQuotaExceeded"
)
_REMEDY = (
    "set ARM_SUBSCRIPTION_ID with ARM_CLIENT_ID, ARM_CLIENT_SECRET and ARM_TENANT_ID, or run `az login` "
    "and `az account set`"
)
_PERMISSIONS = "give the permissions of stacks/azure/role.json"


class _Account(NamedTuple):
    subscription: str
    token: str


def check(hosts: Hosts) -> None:
    """Raise UnfitError without SDK or credentials, SpecError for a location or size that is not offered."""
    if not isinstance(hosts, AzureHosts):
        raise SpecError("these hosts are not on Azure")
    missing = [name for name in ("pulumi", "pulumi_azure_native") if importlib.util.find_spec(name) is None]
    if missing:
        raise UnfitError(
            f"provider azure needs {', '.join(missing)}, not installed here",
            remedy="pip install 'benchctl[azure]'",
        )
    account = _account()
    known = [one["name"] for one in _pages(account, "/locations", _LOCATIONS)]
    if hosts.location not in known:
        raise SpecError(
            f"hosts.location: this subscription has no location {hosts.location}"
            f"{did_you_mean(hosts.location, known)}"
        )
    _check_sizes(account, hosts)


def fallback(request: Request, message: str) -> Request | None:
    """Return what to ask for after spot capacity was refused to a group that only prefers it, else None."""
    hosts = request.hosts
    if request.on_demand or not isinstance(hosts, AzureHosts) or _NO_CAPACITY.search(message) is None:
        return None
    prefers = any(hosts.of(name).spot == "prefer" for name in hosts.groups)
    return msgspec.structs.replace(request, on_demand=True) if prefers else None


def settle(
    run: str,
    hosts: Hosts,  # noqa: ARG001 - one subscription
    made: Sequence[Host],
    expires: float,
    cancelled: Callable[[], bool],
) -> None:
    """Wait for hosts that were made, and set their time; raises StackError with a silent host's console."""
    await_hosts(made, expires, console=lambda name: _console(run, name), cancelled=cancelled)


def leftovers(run: str | None, hosts: Hosts | None) -> Sequence[Leftover]:  # noqa: ARG001 - one subscription
    """Return the resource groups that carry a run's tags. Raises UnfitError without credentials."""
    account = _account()
    wanted = f"tagName eq '{RUN}'" + ("" if run is None else f" and tagValue eq '{run}'")
    return [
        Leftover(
            provider="azure",
            kind="resource group",
            name=group["name"],
            run=group["tags"][RUN],
            owner=group["tags"].get(OWNER, ""),
            expires=float(group["tags"][EXPIRES]) if group["tags"].get(EXPIRES, "").isdecimal() else 0.0,
            zone=group["location"],
        )
        for group in _pages(account, "/resourcegroups", _GROUPS, wanted)
    ]


def remove(leftover: Leftover) -> None:
    """Delete a resource group and wait until it is gone. Raises StackError with Azure's words."""
    account = _account()
    path = f"/resourcegroups/{leftover.name}"
    try:
        _ask(account, path, _GROUPS, method="DELETE")
        end = time.monotonic() + _DELETE_LIMIT
        while time.monotonic() < end:
            _ask(account, path, _GROUPS)
            time.sleep(_PAUSE)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            error.close()
            return
        raise StackError(
            f"the resource group {leftover.name} stays: {_said(error)}", remedy=_PERMISSIONS
        ) from error
    except OSError as error:
        raise StackError(f"the resource group {leftover.name} may stay: {error}") from error
    raise StackError(f"the resource group {leftover.name} is still there after {_DELETE_LIMIT:.0f} s")


def _console(run: str, name: str) -> str:
    """Return what a host's serial console has said so far."""
    machine = f"/resourcegroups/benchctl-{run}/providers/Microsoft.Compute/virtualMachines/{name}"
    try:
        found = _ask(_account(), f"{machine}/retrieveBootDiagnosticsData", _MACHINES, method="POST")
        place = str(found["serialConsoleLogBlobUri"]).removeprefix("https://")
        with urllib.request.urlopen(f"https://{place}", timeout=_LIMIT) as answer:
            return str(answer.read().decode(errors="replace"))
    except (OSError, KeyError, ValueError) as error:
        raise UnfitError(f"Azure does not give the console of {name}: {error}") from error


def _check_sizes(account: _Account, hosts: AzureHosts) -> None:
    offered = {
        one["name"]: one
        for one in _pages(
            account, "/providers/Microsoft.Compute/skus", _SKUS, f"location eq '{hosts.location}'"
        )
        if one.get("resourceType") == "virtualMachines"
    }
    for name in hosts.groups:
        size = str(hosts.of(name).size)
        if size not in offered:
            raise SpecError(
                f"hosts.groups.{name}: {hosts.location} has no size {size}{did_you_mean(size, offered)}",
                remedy="take a size or a location that has it: `az vm list-skus`",
            )
        why = [
            found["reasonCode"]
            for found in offered[size].get("restrictions", ())
            if found["type"] == "Location"
        ]
        if why:
            raise SpecError(
                f"hosts.groups.{name}: {size} is not for this subscription in {hosts.location}: {why[0]}",
                remedy="ask Azure for it, or take another size or location",
            )


def _pages(account: _Account, path: str, version: str, wanted: str = "") -> Iterator[dict[str, Any]]:
    """Yield what a listing of the subscription has. Raises UnfitError with Azure's words."""
    more = {"$filter": wanted} if wanted else {}
    try:
        page = _ask(account, path, version, more)
        yield from page["value"]
        while page.get("nextLink"):
            page = _open(page["nextLink"], account)
            yield from page["value"]
    except urllib.error.HTTPError as error:
        raise UnfitError(f"Azure does not answer {path}: {_said(error)}", remedy=_PERMISSIONS) from error
    except OSError as error:
        raise UnfitError(f"{ARM} cannot be reached: {error}") from error


def _ask(
    account: _Account, path: str, version: str, more: dict[str, str] | None = None, method: str = "GET"
) -> dict[str, Any]:
    query = urllib.parse.urlencode({"api-version": version, **(more or {})})
    return _open(f"{ARM}/subscriptions/{account.subscription}{path}?{query}", account, method)


def _open(url: str, account: _Account, method: str = "GET") -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {account.token}"}
    if not url.startswith(f"{ARM}/"):  # a token goes nowhere else
        raise UnfitError(f"Azure sends us to {url}, which is not {ARM}")
    asked = urllib.request.Request(url, method=method, headers=headers)  # noqa: S310 - as checked above
    with urllib.request.urlopen(asked, timeout=_LIMIT) as answer:  # noqa: S310 - the same
        body = answer.read()
    return dict(json.loads(body)) if body else {}


def _said(error: urllib.error.HTTPError) -> str:
    with error:
        return f"{error.code} {error.read(2000).decode(errors='replace')}"


def _account() -> _Account:
    """Return subscription and token: of the service principal in the environment, else of `az`."""
    names = ("ARM_CLIENT_ID", "ARM_CLIENT_SECRET", "ARM_TENANT_ID", "ARM_SUBSCRIPTION_ID")
    given = {name: os.environ.get(name, "") for name in names}
    if all(given.values()):
        return _Account(given["ARM_SUBSCRIPTION_ID"], _of_principal(given))
    return _of_az(given["ARM_SUBSCRIPTION_ID"])


def _of_principal(given: dict[str, str]) -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": given["ARM_CLIENT_ID"],
        "client_secret": given["ARM_CLIENT_SECRET"],
        "scope": "https://management.azure.com/.default",
    }
    url = f"{LOGIN}/{urllib.parse.quote(given['ARM_TENANT_ID'], safe='')}/oauth2/v2.0/token"
    try:
        with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode(), timeout=_LIMIT) as answer:  # noqa: S310 - https above
            return str(json.load(answer)["access_token"])
    except urllib.error.HTTPError as error:
        raise UnfitError(f"Azure takes no credentials from here: {_said(error)}", remedy=_REMEDY) from error
    except OSError as error:
        raise UnfitError(f"{LOGIN} cannot be reached: {error}") from error


def _of_az(subscription: str) -> _Account:
    program = shutil.which("az")
    if program is None:
        raise UnfitError("there are no credentials for Azure", remedy=_REMEDY)
    argv = [program, "account", "get-access-token", "--output", "json"]
    argv += ["--subscription", subscription] if subscription else []
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=_LIMIT)
        found = json.loads(done.stdout)
        return _Account(found["subscription"], found["accessToken"])
    except subprocess.CalledProcessError as error:
        raise UnfitError(f"az has no credentials: {error.stderr.strip()[-500:]}", remedy=_REMEDY) from error
    except (OSError, ValueError, KeyError, subprocess.TimeoutExpired) as error:
        raise UnfitError(f"az does not answer: {error}", remedy=_REMEDY) from error
