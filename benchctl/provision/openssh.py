"""How OpenSSH reaches a host: what `ssh -G` makes of configuration and inventory, and the words for it.

Owns every argument that ssh gets, and which values may become one. Opens no connection.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchctl.errors import SpecError, UnfitError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchctl.model.host import Host
    from benchctl.model.record import Scalar

CONNECT_TIMEOUT = 10  # seconds, where neither the experiment nor ssh_config says
_RESOLVE_LIMIT = 20  # seconds; `Match exec` in a configuration may take its time
_ADDRESS = r"[A-Za-z0-9_:][A-Za-z0-9_.:%-]{0,252}"
_USER = r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}\$?"
_HOP = rf"(?:{_USER}@)?(?:{_ADDRESS}|\[[0-9A-Fa-f:.%]+\])(?::\d{{1,5}})?"
_PATTERNS = {
    "address": _ADDRESS,
    "host_key_alias": _ADDRESS,
    "private_address": _ADDRESS,
    "user": _USER,
    "become_user": _USER,
    "become_method": r"[a-z][a-z0-9_.]{0,63}",
    "proxy_jump": rf"{_HOP}(?:,{_HOP}){{0,7}}",
    "python": r"[A-Za-z0-9_/][A-Za-z0-9_./+-]{0,254}",
    "identity_file": r"[^\x00-\x1f\x7f\"]{1,4096}",
    "known_hosts_file": r"[^\x00-\x1f\x7f\"]{1,4096}",
    "config_file": r"[^\x00-\x1f\x7f\"]{1,4096}",
    "proxy_command": r"[^\x00-\x1f\x7f]{1,4096}",
}
_MAX_PORT = 65_535
_DEFAULT_KEY = re.compile(r"/\.ssh/id_[a-z0-9_]+$")


class Wanted(NamedTuple):
    """What the experiment file or the inventory asks of SSH; None: as ssh_config has it."""

    address: str
    user: str | None = None
    port: int | None = None
    key: str | None = None
    jump: str | None = None
    known_hosts: str | None = None
    config: str | None = None
    arguments: tuple[str, ...] = ()  # ansible_ssh_common_args and their like, in words


def checked(host: str, options: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return the options as they are; SpecError for a value that is no address, user, port or path.

    So nothing that a shell, ssh or a template could take for its own gets further than this.
    """
    for name, value in options.items():
        if name == "port":
            fit = isinstance(value, int) and 0 < value <= _MAX_PORT
        else:
            pattern = _PATTERNS.get(name)
            fit = pattern is None or (isinstance(value, str) and bool(re.fullmatch(pattern, value, re.ASCII)))
        if not fit or (isinstance(value, str) and ("{{" in value or "{%" in value)):
            raise SpecError(
                f"{host}: {name} is {str(value)[:80]!a}, which cannot be one",
                remedy="correct it in the inventory, in hosts.ssh of the experiment, or in ssh_config",
            )
    return dict(options)


def resolve(host: str, wanted: Wanted) -> dict[str, Scalar]:
    """Ask `ssh -G` once what holds for a host: the options of Host that have to do with SSH.

    Raises SpecError for values that are refused, UnfitError without an OpenSSH client.
    """
    checked(host, {"address": wanted.address})
    found = _ask(host, [*_request(host, wanted), "--", wanted.address])
    known = found.get("userknownhostsfile", [""])[0]
    options: dict[str, Scalar] = {
        "address": found["hostname"][0],
        "port": int(found["port"][0]),
        "user": found["user"][0],
        "known_hosts_file": wanted.known_hosts or _known_hosts(known),
        "connect_timeout": _timeout(found.get("connecttimeout", ["none"])[0]),
    }
    if key := wanted.key or _identity(found.get("identityfile", [])):
        options["identity_file"] = str(Path(key).expanduser())
    if found.get("identitiesonly") == ["yes"]:
        options["identities_only"] = True
    if wanted.config:
        options["config_file"] = wanted.config
    for name in ("proxyjump", "proxycommand", "hostkeyalias"):
        value = found.get(name, ["none"])[0]
        if value != "none":
            options[{"hostkeyalias": "host_key_alias"}.get(name, name.replace("proxy", "proxy_"))] = value
    return checked(host, options)


def common_arguments(host: Host) -> list[str]:
    """Return the words that ssh needs for this host beside address, port, user and key.

    Host keys are always checked. A bastion gets the known hosts, key and configuration of the host: ssh's own
    ProxyJump would give it none of these.
    """
    options = host.options
    words = [*_file("-F", options.get("config_file")), *_checks(host)]
    if alias := options.get("host_key_alias"):
        words += ["-o", f"HostKeyAlias={alias}"]
    if options.get("identities_only"):
        words += ["-o", "IdentitiesOnly=yes"]
    words += ["-o", f"ConnectTimeout={options.get('connect_timeout', CONNECT_TIMEOUT)}"]
    if proxy := proxy_command(host):
        words += ["-o", f"ProxyCommand={proxy}"]
    return words


def ssh_command(host: Host, *command: str, extra: tuple[str, ...] = ()) -> list[str]:
    """Return the argv that executes a command on a host; ssh never asks for anything on the terminal.

    `command` is put together by the host's shell: quote what needs it. `extra` comes first and so wins.
    """
    options = host.options
    words = ["ssh", "-T", "-o", "BatchMode=yes", *extra, *common_arguments(host)]
    words += ["-o", f"Port={options.get('port', 22)}"]
    if user := options.get("user"):
        words += ["-o", f"User={user}"]
    words += _file("-i", options.get("identity_file"))
    return [*words, "--", str(options["address"]), *command]


def proxy_command(host: Host) -> str | None:
    """Return the shell line that gives a byte pipe to the host (%h:%p stand for its place), or None."""
    if jump := host.options.get("proxy_jump"):
        return _through(host, hops(str(jump)))
    command = host.options.get("proxy_command")
    return None if command is None else str(command)


def hops(jump: str) -> list[tuple[str, str, str]]:
    """Split [user@]host[:port],… into user, host and port of each; empty where not said."""
    found = []
    for hop in jump.split(",") if jump else []:
        user, _, place = hop.rpartition("@")
        found.append((user, *_place(place)))
    return found


def _through(host: Host, jumps: list[tuple[str, str, str]]) -> str:
    user, name, port = jumps[-1]
    words = [
        "ssh",
        "-T",
        "-o",
        "BatchMode=yes",
        *_file("-F", host.options.get("config_file")),
        *_checks(host),
    ]
    words += _file("-i", host.options.get("identity_file"))
    if host.options.get("identities_only"):
        words += ["-o", "IdentitiesOnly=yes"]
    if len(jumps) > 1:
        words += ["-o", f"ProxyCommand={_through(host, jumps[:-1])}"]
    words += ["-l", user] if user else []
    words += ["-p", port] if port else []
    escaped = [word.replace("%", "%%") for word in words]
    return f"{shlex.join(escaped)} -W '[%h]:%p' -- {shlex.quote(name.replace('%', '%%'))}"


def _place(place: str) -> tuple[str, str]:
    """Split host:port, [v6]:port and a bare address."""
    if place.startswith("["):
        name, _, rest = place[1:].partition("]")
        return name, rest.removeprefix(":")
    name, _, port = place.partition(":")
    return (place, "") if ":" in port else (name, port)


def _checks(host: Host) -> list[str]:
    words = ["-o", "StrictHostKeyChecking=yes", "-o", "UpdateHostKeys=no"]
    if known := host.options.get("known_hosts_file"):
        words += ["-o", f'UserKnownHostsFile="{str(known).replace("%", "%%")}"']
    return words


def _file(flag: str, path: Scalar | None) -> list[str]:
    return [flag, str(path)] if path else []


def _request(host: str, wanted: Wanted) -> list[str]:
    checked(host, {name: value for name, value in _named(wanted).items() if value is not None})
    words = [*_file("-F", wanted.config)]
    words += ["-p", str(wanted.port)] if wanted.port is not None else []
    words += ["-l", wanted.user] if wanted.user else []
    words += [*_file("-i", wanted.key), *_file("-J", wanted.jump)]
    return [*words, *wanted.arguments]


def _named(wanted: Wanted) -> dict[str, Scalar | None]:
    return {
        "port": wanted.port,
        "user": wanted.user,
        "identity_file": wanted.key,
        "proxy_jump": wanted.jump,
        "known_hosts_file": wanted.known_hosts,
        "config_file": wanted.config,
    }


def _ask(host: str, words: list[str]) -> dict[str, list[str]]:
    argv = ["ssh", "-G", *words]
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_RESOLVE_LIMIT,
            check=False,
        )
    except FileNotFoundError as error:
        raise UnfitError("there is no `ssh` in PATH", remedy="install the OpenSSH client") from error
    except subprocess.TimeoutExpired as error:
        raise UnfitError(f"{host}: `ssh -G` took more than {_RESOLVE_LIMIT} s") from error
    if done.returncode:
        raise SpecError(f"{host}: ssh refuses its options: {done.stderr.strip()[-500:]!r}")
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key, []).append(value)
    return found


def _identity(files: list[str]) -> str | None:
    """Return the key that someone asked for; ssh lists its defaults where nobody did."""
    own = [name for name in files if name != "none"]
    if len(own) > 1:
        own = [name for name in own if not _DEFAULT_KEY.search(name)]
    return own[0] if own else None


def _known_hosts(listed: str) -> str:
    """Return the first of ssh's list of files, which it writes without quotes."""
    first = listed.partition(" /")[0] if listed.startswith("/") else listed.split(" ", maxsplit=1)[0]
    return str(Path(first or "~/.ssh/known_hosts").expanduser())


def _timeout(text: str) -> int:
    return int(text) if text.isdigit() else CONNECT_TIMEOUT
