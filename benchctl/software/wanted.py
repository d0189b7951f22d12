"""What a role may want of the controller, as it says it: one JSON object, `kind` first.

All paths are the controller's. `told` is for people only: the name, and how long it takes.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from benchctl.errors import UsageError
from benchctl.model.record import Record

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Relative = Annotated[str, msgspec.Meta(pattern=r"^(?!/)(?!(?:.*/)?\.\.(?:/|$)).*$")]


class Fetch(Record, frozen=True, kw_only=True, tag_field="kind", tag="fetch"):
    """One file by its URL: put under the name `into`, or a tar archive that is unpacked into that folder."""

    url: str
    sha256: Sha256
    into: Relative = ""  # such as lib/benchbase.jar; what lies in bin/ may be executed
    unpack: bool = False
    told: str = ""


class Go(Record, frozen=True, kw_only=True, tag_field="kind", tag="go"):
    """Programs by name, each a package of a module that the folder's go.mod and go.sum pin, or of its own."""

    folder: str
    packages: dict[Annotated[str, msgspec.Meta(pattern=r"^[\w.+-]+$")], str]
    machine: str = "x86_64"  # of the host, as uname says it
    told: str = ""


class Maven(Record, frozen=True, kw_only=True, tag_field="kind", tag="maven"):
    """The runtime libraries of the folder's pom.xml; its SHA256SUMS lists every one of them.

    With `unpack`, the name of a tar archive in one of them, what the archive holds and nothing else.
    """

    folder: str
    unpack: Relative = ""
    told: str = ""


class Tree(Record, frozen=True, kw_only=True, tag_field="kind", tag="tree"):
    """Folders and files below `root` as they are."""

    root: str
    parts: tuple[Relative, ...]
    told: str = ""


Wanted = Fetch | Go | Maven | Tree
_DECODER: msgspec.json.Decoder[Wanted] = msgspec.json.Decoder(Wanted)


def read(text: bytes) -> Wanted:
    """Decode what a role wants. Raises UsageError with the place in the JSON."""
    try:
        return _DECODER.decode(text)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise UsageError(
            f"bench_built: {error}", remedy="benchctl/software/wanted.py has what may stand there"
        ) from error
