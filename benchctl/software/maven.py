"""Libraries from Maven repositories: what a pom.xml pins, verified against a list of SHA-256.

Where they come from is the user's settings.xml to say.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchctl.errors import SoftwareError
from benchctl.software.commands import find, run
from benchctl.software.fetching import place

if TYPE_CHECKING:
    from benchctl.software.wanted import Maven

SUMS = "SHA256SUMS"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_NO_MAVEN = "install Maven and a Java (Debian: apt-get install maven), or take source prefix"
_NO_SOURCE = "where the repository cannot be reached, name a mirror in ~/.m2/settings.xml"


def collect(wanted: Maven, part: Path) -> None:
    """Fill part/prefix: lib with every library as the folder's SHA256SUMS has it, or what one of them packs.

    Raises SoftwareError.
    """
    program = find("mvn", _NO_MAVEN)
    pom = part / "pom.xml"
    shutil.copyfile(Path(wanted.folder) / "pom.xml", pom)
    lib = part / "lib" if wanted.unpack else part / "prefix" / "lib"
    argv = [
        str(program),
        _COPY,
        "-B",
        "-ntp",
        "-q",
        "-f",
        str(pom),
        "-DincludeScope=runtime",
        f"-DoutputDirectory={lib}",
    ]
    run(argv, folder=part, environment=os.environ, remedy=_NO_SOURCE)
    _verify(lib, Path(wanted.folder) / SUMS)
    if wanted.unpack:
        place(_inner(lib, wanted.unpack, part), "", unpack=True, prefix=part / "prefix")


def _inner(lib: Path, name: str, part: Path) -> Path:
    """The file of that name in one of the libraries, which are zip archives. Raises SoftwareError."""
    for library in sorted(lib.iterdir()):
        with zipfile.ZipFile(library) as packed:
            if name in packed.namelist():
                return Path(packed.extract(name, part))
    raise SoftwareError(f"no library holds {name}", remedy="the role has to name a file of one of them")


def _verify(lib: Path, listed: Path) -> None:
    wanted = _read(listed)
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(lib.iterdir())}
    problems = [
        f"{name}: SHA-256 {found.get(name, '- (not there)')}; wanted is {wanted.get(name, '- (not listed)')}"
        for name in sorted(wanted.keys() | found.keys())
        if wanted.get(name) != found.get(name)
    ]
    if problems:
        raise SoftwareError(
            "\n".join(("the repository has other libraries than wanted; none is kept:", *problems)),
            remedy=f"compare with Maven Central; {listed} is what was looked at when the role was written",
        )


def _read(listed: Path) -> dict[str, str]:
    """The form of sha256sum: a sum, two blanks, a name."""
    lines = listed.read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
