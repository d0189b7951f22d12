"""Libraries from a Maven repository, and what one of them packs; a program stands in for Maven's."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from benchctl.errors import SoftwareError
from benchctl.software import prefixes
from benchctl.software.wanted import Wanted, read

if TYPE_CHECKING:
    from pathlib import Path

MAVEN = """#!/bin/sh
for word; do case $word in -DoutputDirectory=*) into=${word#*=};; esac; done
mkdir -p "$into" && cp JAR "$into/"
"""
PACKED = "server-Linux.tar.gz"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A role's folder for Maven, and a Maven whose repository has a jar with a server's archive in it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, mode in (("bin/server", 0o755), ("share/errors", 0o600)):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(name), mode
            archive.addfile(member, io.BytesIO(name.encode()))
        link = tarfile.TarInfo("bin/lib.so")
        link.type, link.linkname = tarfile.SYMTYPE, "../lib/lib.so"
        archive.addfile(link)
    jar = tmp_path / "server-1.jar"
    with zipfile.ZipFile(jar, "w") as file:
        file.writestr(PACKED, packed.getvalue())
        file.writestr("notes.txt", "no archive")
    program = tmp_path / "bin" / "mvn"
    program.parent.mkdir()
    program.write_text(MAVEN.replace("JAR", str(jar)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("BENCHCTL_CACHE", str(tmp_path / "cache"))
    made = tmp_path / "maven"
    made.mkdir()
    (made / "pom.xml").write_text("<project/>")
    digest = hashlib.sha256(jar.read_bytes()).hexdigest()
    (made / "SHA256SUMS").write_text(f"{digest}  {jar.name}\n")
    return made


def wanted(folder: Path, unpack: str = "") -> Wanted:
    return read(json.dumps({"kind": "maven", "folder": str(folder), "unpack": unpack}).encode())


def members(made: Wanted) -> dict[str, tarfile.TarInfo]:
    prefixes.make(made)
    with tarfile.open(prefixes.prefix(made).archive) as archive:
        return {member.name: member for member in archive.getmembers()}


def test_libraries_are_brought_as_they_are(folder: Path) -> None:
    assert set(members(wanted(folder))) == {"lib/server-1.jar"}


def test_of_a_library_that_packs_a_server_the_server_is_brought(folder: Path) -> None:
    found = members(wanted(folder, PACKED))
    assert set(found) == {"bin/server", "bin/lib.so", "share/errors"}
    assert (found["bin/server"].mode, found["share/errors"].mode) == (0o755, 0o644)
    assert found["bin/lib.so"].linkname == "../lib/lib.so"
    assert prefixes.prefix(wanted(folder)).key != prefixes.prefix(wanted(folder, PACKED)).key


@pytest.mark.parametrize(
    ("unpack", "message"),
    [("other.tar.gz", "no library holds other.tar.gz"), ("notes.txt", "notes.txt cannot be unpacked")],
)
def test_what_is_not_packed_there_is_named(folder: Path, unpack: str, message: str) -> None:
    with pytest.raises(SoftwareError, match=message):
        prefixes.make(wanted(folder, unpack))
    assert not prefixes.prefix(wanted(folder, unpack)).made


def test_a_library_that_is_another_one_is_not_unpacked(folder: Path) -> None:
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  server-1.jar\n")
    with pytest.raises(SoftwareError, match=f"wanted is {'0' * 64}"):
        prefixes.make(wanted(folder, PACKED))
