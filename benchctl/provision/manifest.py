"""A CloudLab (GENI RSpec) manifest as an Ansible inventory.

Owns what is taken from a manifest: nodes, their logins and their own links. The file is somebody else's: it
is bounded, has no entities, and its values are checked like any others.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple
from xml.parsers import expat

from benchctl.errors import SpecError
from benchctl.provision.openssh import checked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_MAX_BYTES = 4 * 1024**2
_MAX_NODES = 4096
_MAX_DEPTH = 64
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}", re.ASCII)


class Node(NamedTuple):
    """One machine of a manifest."""

    name: str
    address: str
    port: int
    user: str
    private: str | None  # its first address on the experiment's own links


def read_manifest(path: Path, user: str | None = None) -> list[Node]:
    """Return the nodes that can be logged in to, in the order of the file; `user` chooses among logins.

    Raises SpecError for what is no manifest, what is too large, and values that are refused.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}") from error
    if len(content) > _MAX_BYTES:
        raise SpecError(f"{path} has more than {_MAX_BYTES // 1024**2} MB, which no manifest has")
    reader = _Reader(user)
    try:
        reader.parse(content)
    except (expat.ExpatError, ValueError) as error:
        raise SpecError(
            f"{path} is no manifest: {error}", remedy="save the experiment's manifest as it is"
        ) from error
    if not reader.nodes:
        who = f" for the user {user}" if user else ""
        raise SpecError(f"{path} has no node with a login{who}", remedy="wait until the experiment is ready")
    return reader.nodes


def to_yaml(nodes: Sequence[Node], groups: Mapping[str, Sequence[str]]) -> str:
    """Render an inventory; without groups the first node is dbms and the others are loader."""
    names = [node.name for node in nodes]
    chosen = groups or {"dbms": names[:1], "loader": names[1:] or names}
    lines = ["---", "all:", "  hosts:"]
    for node in nodes:
        lines += [f"    {json.dumps(node.name)}:", f"      ansible_host: {json.dumps(node.address)}"]
        lines += [f"      ansible_port: {node.port}", f"      ansible_user: {json.dumps(node.user)}"]
        lines += [f"      bench_address: {json.dumps(node.private)}"] if node.private else []
    lines.append("  children:")
    for group, members in chosen.items():
        if not _NAME.fullmatch(group):
            raise SpecError(f"{group[:80]!a} cannot be the name of a group")
        for member in members:
            if member not in names:
                raise SpecError(
                    f"the manifest has no node {member[:80]!a}", remedy=f"it has: {', '.join(names)}"
                )
        lines += [f"    {json.dumps(group)}:", "      hosts:"]
        lines += [f"        {json.dumps(member)}:" for member in members]
    return "\n".join(lines) + "\n"


class _Reader:
    def __init__(self, user: str | None) -> None:
        self.nodes: list[Node] = []
        self._user = user
        self._path: list[str] = []
        self._name = ""
        self._login: dict[str, str] | None = None
        self._private: str | None = None

    def parse(self, content: bytes) -> None:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.Parse(content, True)  # noqa: FBT003 - expat's own signature

    def _refuse(self, *_: object) -> None:
        raise ValueError("it declares a document type, which manifests do not")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(" ")[2]
        self._path.append(name)
        if len(self._path) > _MAX_DEPTH or len(self.nodes) > _MAX_NODES:
            raise ValueError("it is nested too deeply, or has too many nodes")
        if len(self._path) == 1 and name != "rspec":
            raise ValueError(f"its first element is {name[:80]!a} and not rspec")
        if name == "node":
            self._name, self._login, self._private = attributes.get("client_id", ""), None, None
        elif name == "login" and "node" in self._path:
            wanted = self._user in {None, attributes.get("username")}
            self._login = self._login or (attributes if wanted else None)
        elif name == "ip" and "interface" in self._path:
            self._private = self._private or attributes.get("address")

    def _end(self, _tag: str) -> None:
        if self._path.pop() == "node" and self._login is not None:
            self.nodes.append(_node(self._name, self._login, self._private))


def _node(name: str, login: Mapping[str, str], private: str | None) -> Node:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name[:80]!a} cannot be the name of a host")
    port = login.get("port", "22")
    node = Node(
        name,
        login.get("hostname", ""),
        int(port) if port.isascii() and port.isdigit() else 0,
        login.get("username", ""),
        private,
    )
    checked(name, {"address": node.address, "port": node.port, "user": node.user})
    checked(name, {"private_address": private} if private else {})
    return node
